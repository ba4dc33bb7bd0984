"""The scores of a set as a summary, a JSON report, lines per clip, and a Parquet table.

A failed clip counts as the metric's floor in the mean, the interval and the median.
"""

from __future__ import annotations

import json
import math
import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from soundsright.core.errors import UsageError
from soundsright.core.groups import ClipGroups
from soundsright.core.results import ClipResult, Failure
from soundsright.core.text_files import json_object, lines_of_file, object_of_file, objects_of_file
from soundsright.metrics import NoValue, metric
from soundsright.ranking import mean_estimate
from soundsright.services.scoring.folder import FileDigests, ScoredClip
from soundsright.services.scoring.listing import clip_name

MAX_REPORT_BYTES = 512_000_000
_REPORT_REMEDY = "Give a file that `soundsright score --json` wrote."
_RESUME_REMEDY = "Give the file that --clips wrote, or leave out --resume."

# The errors of reading JSON that has another structure.
_WRONG_STRUCTURE = (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError)
_LARGEST_SCORE = 1e9  # No score is larger, and squares of larger ones could overflow.


@dataclass(frozen=True)
class MetricSummary:
    """One metric over all `n` clips: mean, 95 % interval, median, and the number of failed clips.

    `low`, `high` and `effective_n` are those of `core.results.Estimate`. `undefined` counts clips that were scored
    but have no value under the metric; failed and undefined clips count as its floor. `mean_defined` is the mean
    over the `n_defined` clips whose clean and noisy recordings allow a value; None if there are none. Clips that
    the system failed on are among them, as floors, so that failing never raises it.
    """

    mean: float
    low: float | None
    high: float | None
    median: float
    n: int
    failed: int
    effective_n: float | None = None
    undefined: int = 0
    mean_defined: float | None = None
    n_defined: int = 0

    @property
    def half_width(self) -> float | None:
        """Half the width of the interval; None without one."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


def values_of(clips: Sequence[ClipResult], name: str) -> list[float]:
    """One value per clip. A clip that failed or lacks the metric gets the floor."""
    floor = metric(name).floor
    return [floor if clip.scores is None else clip.scores.get(name, floor) for clip in clips]


def has_no_reference(clip: ClipResult, name: str) -> bool:
    """Whether the clip's clean or noisy recording allows no value of the metric. A reason that is unknown does not
    say so."""
    why = clip.no_value.get(name)
    return why in set(NoValue) and NoValue(why).is_of_reference


def measured_metrics(clips: Sequence[ClipResult]) -> list[str]:
    """The names of all metrics in the clips, in the order in which they appear."""
    return list(dict.fromkeys(name for clip in clips if clip.scores is not None for name in clip.scores))


def summaries(
    clips: Sequence[ClipResult], names: Sequence[str], groups: ClipGroups | None = None
) -> dict[str, MetricSummary]:
    """The summary of each metric. Intervals are cut to the metric's range.

    With `groups`, intervals hold for new material: clips of one group are not independent. If no clip has a value,
    the equal floors have no interval.

    >>> results = [ClipResult("a", {"STOI": 0.5}), ClipResult("b", failure=Failure("missing", "no file"))]
    >>> summary = summaries(results, ["STOI"])["STOI"]
    >>> summary.mean, summary.n, summary.failed
    (-0.25, 2, 1)
    """
    failed = sum(clip.failure is not None for clip in clips)
    labels = None if groups is None else groups.labels([clip.clip_id for clip in clips])
    by_metric = {}
    for name in names:
        values, definition = values_of(clips, name), metric(name)
        estimate = mean_estimate(values, labels)
        if not any(clip.scores is not None and name not in clip.no_value for clip in clips):
            estimate = replace(estimate, low=None, high=None)
        defined = [value for clip, value in zip(clips, values, strict=True) if not has_no_reference(clip, name)]
        by_metric[name] = MetricSummary(
            estimate.mean,
            None if estimate.low is None else max(estimate.low, definition.low),
            None if estimate.high is None else min(estimate.high, definition.high),
            statistics.median(values),
            len(values),
            failed,
            estimate.effective_n,
            sum(name in clip.no_value for clip in clips),
            math.fsum(defined) / len(defined) if defined else None,
            len(defined),
        )
    return by_metric


@dataclass(frozen=True)
class ScoreReport:
    """The results of a set and the digests of its files. `files` has one item per clip.

    `groups` says what the clips share; None if each counts as independent. Another field is None if the report is
    from an earlier version that did not store it. `stopped` says why the report is partial: something stopped the
    run before every clip was scored. It is empty for a complete report.
    """

    clips: tuple[ClipResult, ...]
    files: tuple[FileDigests, ...]
    sample_rate_hz: int | None = None
    align: bool | None = None
    groups: ClipGroups | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    stopped: str = ""

    def differing(self, other: ScoreReport, side: Literal["clean", "noisy"]) -> list[str]:
        """The clips of both reports whose files on that side are known and differ."""
        others = {clip.clip_id: getattr(each, side) for clip, each in zip(other.clips, other.files, strict=True)}
        return [
            clip.clip_id
            for clip, each in zip(self.clips, self.files, strict=True)
            if (digest := getattr(each, side)) and others.get(clip.clip_id, digest) not in (None, digest)
        ]

    @property
    def names_its_files(self) -> bool:
        """Whether the report has the digest of every clean file, and says whether clips were aligned."""
        return self.align is not None and all(each.clean is not None for each in self.files)


def report_json(report: ScoreReport, names: Sequence[str]) -> str:
    """The report: `{"sample_rate_hz", "align", "versions", "metrics": {name: summary}, "clips": […]}`.

    A partial report begins with `stopped`, the reason.

    Each clip has `id`, `scores`, `failure`, `sha256` by side, and `groups` (its label by factor) if they are known.
    If a metric has no value, the clip also has `no_value`: the code of the reason (`metrics.NoValue`) by metric.
    """
    rows = [_clip_fields(clip, files) for clip, files in zip(report.clips, report.files, strict=True)]
    if report.groups is not None:
        labels = report.groups.labels([clip.clip_id for clip in report.clips])
        for number, row in enumerate(rows):
            row["groups"] = {f: own[number] for f, own in zip(report.groups.factors, labels, strict=True)}
    document: dict[str, Any] = {
        **({"stopped": report.stopped} if report.stopped else {}),
        "sample_rate_hz": report.sample_rate_hz,
        "align": report.align,
        "versions": dict(report.versions),
        "metrics": {
            name: _summary_fields(each) for name, each in summaries(report.clips, names, report.groups).items()
        },
        "clips": rows,
    }
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def clip_line(clip: ScoredClip) -> str:
    """One line of JSON, with the digest by which a later run detects changes."""
    fields = _clip_fields(clip.result, clip.files) | {"align": clip.align, "inputs": clip.inputs}
    return json.dumps(fields, allow_nan=False, ensure_ascii=False) + "\n"


def read_clip_lines(path: Path) -> dict[str, ScoredClip]:
    """The clips of a file that `clip_line` wrote. A last line that a crash cut short is left out.

    Raises:
        UsageError: the file has other content.
    """
    scored = {}
    problem: UsageError | None = None
    for number, line in lines_of_file(path, MAX_REPORT_BYTES, _RESUME_REMEDY, errors="replace"):
        if problem is not None:
            raise problem
        where = f"{path}, line {number}"
        try:
            fields = json_object(line, where, _RESUME_REMEDY)
            clip = _clip_of(fields)
            scored[clip.clip_id] = ScoredClip(clip, str(fields["inputs"]), _files_of(fields), _align_of(fields))
        except (*_WRONG_STRUCTURE, UsageError) as error:
            problem = UsageError(f"{where} is not a scored clip", _RESUME_REMEDY)
            problem.__cause__ = error
    return scored


def checked_targets(*paths: Path | None) -> None:
    """Check, before any work is done, that these files can be written.

    Raises:
        UsageError: a folder does not exist or is not writable.
    """
    for path in paths:
        if path is None or str(path) == "-":
            continue
        if not path.parent.is_dir():
            raise UsageError(f"{path} cannot be written", f"Make the folder {path.parent}, or give another path.")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise UsageError(
                f"{path} cannot be written: the folder {path.parent} is not writable",
                "Change its permissions, or give another path.",
            )


def write_parquet(path: Path, clips: Sequence[ClipResult], names: Sequence[str]) -> None:
    """One row per clip: id, one column per metric (empty if the clip failed), failure code and detail, `undefined`.

    `undefined` names the metrics without a value and why, such as `STOI=little_speech`.

    Raises:
        UsageError: the package pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise UsageError("Parquet needs pyarrow, which is not installed", "Run `pip install pyarrow`.") from error
    columns: dict[str, list[Any]] = {"id": [clip.clip_id for clip in clips]}
    for name in names:
        columns[name] = [None if clip.scores is None else clip.scores.get(name) for clip in clips]
    columns["failure_code"] = [None if clip.failure is None else clip.failure.code for clip in clips]
    columns["failure_detail"] = [None if clip.failure is None else clip.failure.detail for clip in clips]
    columns["undefined"] = [" ".join(f"{k}={why}" for k, why in clip.no_value.items()) or None for clip in clips]
    schema = pa.schema(
        [(name, pa.float64() if name in names else pa.string()) for name in columns],
    )
    pq.write_table(pa.table(columns, schema=schema), path)


def read_report(path: Path) -> ScoreReport:
    """Read a JSON report, or a file with one line per clip.

    Raises:
        UsageError: the file is neither.
    """
    head: dict[str, Any]
    try:
        if path.suffix == ".jsonl":
            rows = [row for _, row in objects_of_file(path, MAX_REPORT_BYTES, _REPORT_REMEDY)]
            head = {"align": rows[0].get("align")} if len({row.get("align") for row in rows}) == 1 else {}
        else:
            head = object_of_file(path, MAX_REPORT_BYTES, _REPORT_REMEDY)
            rows = head["clips"]
        clips = tuple(_clip_of(row) for row in rows)
        if len({clip.clip_id for clip in clips}) != len(clips):
            raise UsageError(f"{path} has a clip twice", "Score the set again.")
        rate = head.get("sample_rate_hz")
        report = ScoreReport(
            clips,
            tuple(_files_of(row) for row in rows),
            None if rate is None else int(rate),
            _align_of(head),
            _groups_of([clip.clip_id for clip in clips], rows),
            {str(name): str(version) for name, version in head.get("versions", {}).items()},
            str(head.get("stopped") or ""),
        )
    except _WRONG_STRUCTURE as error:
        reason = f"it has no {error.args[0]!r}" if isinstance(error, KeyError) else str(error)
        raise UsageError(f"{path} is not a report of scores: {reason}", _REPORT_REMEDY) from error
    if not clips:
        raise UsageError(f"{path} has no clips", "Give a report of at least one clip.")
    return report


def _groups_of(clip_ids: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> ClipGroups | None:
    """The groups of a report's clips; None unless all have the same factors. Old reports have one, `cluster`."""
    own = [row.get("groups") or {name: row[name] for name in ("cluster",) if name in row} for row in rows]
    factors = list(own[0]) if own else []
    if not factors or any(list(labels) != factors for labels in own):
        return None
    return ClipGroups(tuple(clip_ids), {str(f): tuple(str(labels[f]) for labels in own) for f in factors})


def _summary_fields(summary: MetricSummary) -> dict[str, float | None]:
    fields = asdict(summary)
    if summary.effective_n is None:
        del fields["effective_n"]
    return fields


def _clip_fields(clip: ClipResult, files: FileDigests) -> dict[str, Any]:
    return {
        "id": clip.clip_id,
        "scores": None if clip.scores is None else dict(clip.scores),
        "failure": None if clip.failure is None else asdict(clip.failure),
        **({"no_value": dict(clip.no_value)} if clip.no_value else {}),
        "sha256": {side: digest for side, digest in asdict(files).items() if digest is not None},
    }


def _files_of(fields: Mapping[str, Any]) -> FileDigests:
    digests = fields.get("sha256") or {}
    return FileDigests(
        *(str(digests[side]) if side in digests else None for side in ("clean", "enhanced", "noisy"))
    )


def _align_of(fields: Mapping[str, Any]) -> bool | None:
    align = fields.get("align")
    return None if align is None else bool(align)


def _clip_of(fields: Mapping[str, Any]) -> ClipResult:
    clip_id = clip_name(str(fields["id"]))
    failure = fields.get("failure")
    if failure is not None:
        return ClipResult(clip_id, failure=Failure(str(failure["code"]), str(failure["detail"])))
    no_value = {str(name): str(why) for name, why in (fields.get("no_value") or {}).items()}
    return ClipResult(clip_id, scores=dict(_finite_items(fields["scores"])), no_value=no_value)


def _finite_items(scores: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in scores.items():
        if (
            isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LARGEST_SCORE
        ):  # Also NaN.
            raise ValueError(f"{name} is {repr(value)[:40]}")
        yield str(name), float(value)
