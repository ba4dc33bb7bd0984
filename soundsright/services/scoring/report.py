"""A set's scores as people and programs read them: the summary, the JSON report, per-clip lines and tables.

A clip that failed counts at the metric's floor in the mean, the interval and the median.
"""

from __future__ import annotations

import json
import math
import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from soundsright.core.errors import UsageError
from soundsright.core.results import ClipResult, Failure
from soundsright.metrics import metric
from soundsright.ranking import mean_estimate
from soundsright.services.scoring.folder import FileDigests, ScoredClip

MAX_REPORT_BYTES = 512_000_000

# What reading JSON of another form raises.
_OF_ANOTHER_FORM = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True)
class MetricSummary:
    """One metric over all `n` clips: mean with its 95 % interval, median, and how many clips failed."""

    mean: float
    low: float
    high: float
    median: float
    n: int
    failed: int


def values_of(clips: Sequence[ClipResult], name: str) -> list[float]:
    """One value per clip, the floor where it failed or lacks the metric."""
    floor = metric(name).floor
    return [floor if clip.scores is None else clip.scores.get(name, floor) for clip in clips]


def measured_metrics(clips: Sequence[ClipResult]) -> list[str]:
    """The names of the metrics that some clip has, in the order of the clips."""
    return list(dict.fromkeys(name for clip in clips if clip.scores is not None for name in clip.scores))


def summaries(
    clips: Sequence[ClipResult], names: Sequence[str], clusters: Sequence[str] | None = None
) -> dict[str, MetricSummary]:
    """The summary of each metric. Ends of an interval stay inside the metric's range.

    With `clusters`, one label per clip, the interval is the cluster-robust one.

    >>> results = [ClipResult("a", {"STOI": 0.5}), ClipResult("b", failure=Failure("missing", "no file"))]
    >>> summary = summaries(results, ["STOI"])["STOI"]
    >>> summary.mean, summary.n, summary.failed
    (-0.25, 2, 1)
    """
    failed = sum(clip.failure is not None for clip in clips)
    found = {}
    for name in names:
        values, known = values_of(clips, name), metric(name)
        estimate = mean_estimate(values, clusters)
        low, high = max(estimate.low, known.low), min(estimate.high, known.high)
        found[name] = MetricSummary(estimate.mean, low, high, statistics.median(values), len(values), failed)
    return found


@dataclass(frozen=True)
class ScoreReport:
    """A set's results, and what they were measured from: one entry of `files` and of `clusters` per clip.

    What an earlier version's report does not tell is None.
    """

    clips: tuple[ClipResult, ...]
    files: tuple[FileDigests, ...]
    sample_rate_hz: int | None = None
    align: bool | None = None
    clusters: tuple[str, ...] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)

    def differing(self, other: ScoreReport, side: Literal["clean", "noisy"]) -> list[str]:
        """Clips of both whose files of that side are known, and are not the same."""
        there = {clip.clip_id: getattr(each, side) for clip, each in zip(other.clips, other.files, strict=True)}
        return [
            clip.clip_id
            for clip, each in zip(self.clips, self.files, strict=True)
            if (here := getattr(each, side)) and there.get(clip.clip_id, here) not in (None, here)
        ]

    @property
    def names_its_files(self) -> bool:
        """Whether it tells of every clip which clean file it was measured against, and whether it was aligned."""
        return self.align is not None and all(each.clean is not None for each in self.files)


def report_json(report: ScoreReport, names: Sequence[str]) -> str:
    """The report: `{"sample_rate_hz", "align", "versions", "metrics": {name: summary}, "clips": […]}`.

    Each clip has `id`, `scores`, `failure`, `sha256` by side, and `cluster` where the intervals go by clusters.
    """
    rows = [_clip_fields(clip, files) for clip, files in zip(report.clips, report.files, strict=True)]
    for row, cluster in zip(rows, report.clusters or (), strict=report.clusters is not None):
        row["cluster"] = cluster
    document = {
        "sample_rate_hz": report.sample_rate_hz,
        "align": report.align,
        "versions": dict(report.versions),
        "metrics": {
            name: asdict(summary) for name, summary in summaries(report.clips, names, report.clusters).items()
        },
        "clips": rows,
    }
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def clip_line(clip: ScoredClip) -> str:
    """One line of JSON Lines, with the digest by which a later run knows the clip again."""
    fields = _clip_fields(clip.result, clip.files) | {"align": clip.align, "inputs": clip.inputs}
    return json.dumps(fields, allow_nan=False, ensure_ascii=False) + "\n"


def read_clip_lines(path: Path) -> dict[str, ScoredClip]:
    """The clips of a file of lines, as far as it goes: a last line that was cut by a crash is left out.

    Raises:
        UsageError: if the file is no such file.
    """
    scored = {}
    lines = _text_of(path).splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            fields = json.loads(line)
            scored[str(fields["id"])] = ScoredClip(
                _clip_of(fields), str(fields["inputs"]), _files_of(fields), _align_of(fields)
            )
        except _OF_ANOTHER_FORM as error:
            if number == len(lines):
                break
            raise UsageError(
                f"{path}, line {number} is no scored clip",
                "Give the file that --clips wrote, or leave out --resume.",
            ) from error
    return scored


def checked_targets(*paths: Path | None) -> None:
    """Look, before any work is done, whether files can be written there.

    Raises:
        UsageError: if a folder does not exist or may not be written.
    """
    for path in paths:
        if path is None or str(path) == "-":
            continue
        if not path.parent.is_dir():
            raise UsageError(f"{path} cannot be written", f"Make the folder {path.parent}, or name another.")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise UsageError(
                f"{path} cannot be written: the folder {path.parent} may not be",
                "Change its permissions, or name another.",
            )


def write_parquet(path: Path, clips: Sequence[ClipResult], names: Sequence[str]) -> None:
    """One row per clip: id, one column per metric (empty where it failed), failure code and detail.

    Raises:
        UsageError: if pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise UsageError("Parquet needs pyarrow, which is not installed", "Run pip install pyarrow.") from error
    columns: dict[str, list[Any]] = {"id": [clip.clip_id for clip in clips]}
    for name in names:
        columns[name] = [None if clip.scores is None else clip.scores.get(name) for clip in clips]
    columns["failure_code"] = [None if clip.failure is None else clip.failure.code for clip in clips]
    columns["failure_detail"] = [None if clip.failure is None else clip.failure.detail for clip in clips]
    schema = pa.schema(
        [(name, pa.float64() if name in names else pa.string()) for name in columns],
    )
    pq.write_table(pa.table(columns, schema=schema), path)


def read_report(path: Path) -> ScoreReport:
    """A JSON report, or a file of per-clip lines.

    Raises:
        UsageError: if it is neither.
    """
    text = _text_of(path)
    try:
        if path.suffix == ".jsonl":
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
            facts = {"align": rows[0].get("align")} if len({row.get("align") for row in rows}) == 1 else {}
        else:
            facts = json.loads(text)
            rows = facts["clips"]
        clips = tuple(_clip_of(row) for row in rows)
        rate = facts.get("sample_rate_hz")
        clusters = tuple(str(row["cluster"]) for row in rows if "cluster" in row)
        found = ScoreReport(
            clips,
            tuple(_files_of(row) for row in rows),
            None if rate is None else int(rate),
            _align_of(facts),
            clusters if clusters and len(clusters) == len(clips) else None,
            {str(name): str(version) for name, version in facts.get("versions", {}).items()},
        )
    except _OF_ANOTHER_FORM as error:
        raise UsageError(
            f"{path} is no report of scores ({error})", "Give a file that `soundsright score --json` wrote."
        ) from error
    if not clips:
        raise UsageError(f"{path} holds no clips", "Give a report of at least one clip.")
    if len({clip.clip_id for clip in clips}) != len(clips):
        raise UsageError(f"{path} holds a clip twice", "Score the set anew.")
    return found


def clusters_of(
    path: Path, clip_ids: Sequence[str], field: str, clean_sha256: Sequence[str | None] = ()
) -> tuple[str, ...]:
    """What each clip shares with others (its speaker, say), from a set's manifest of JSON lines.

    Where the manifest has the SHA-256 of a clean file, it must be that of `clean_sha256`, if that is known.

    Raises:
        UsageError: if the manifest lacks a clip or the field, or is of other clean files.
    """
    labels, known = {}, {}
    for number, line in enumerate(_text_of(path).splitlines(), start=1):
        try:
            row = json.loads(line)
            labels[str(row["id"])] = str(row[field])
            known[str(row["id"])] = _files_of(row).clean
        except _OF_ANOTHER_FORM as error:
            raise UsageError(
                f"{path}, line {number} has no id and {field}",
                "Give the manifest of the set, one JSON object a line.",
            ) from error
    missing = [clip_id for clip_id in clip_ids if clip_id not in labels]
    if missing:
        raise UsageError(f"{path} lacks {len(missing)} clips, {missing[0]} first", "Give the manifest of this set.")
    others = [
        clip_id
        for clip_id, here in zip(clip_ids, clean_sha256, strict=bool(clean_sha256))
        if None not in (here, known[clip_id]) and here != known[clip_id]
    ]
    if others:
        raise UsageError(
            f"{path} names another clean file for {len(others)} of {len(clip_ids)} clips, {others[0]} first",
            "Give the manifest of this set; of files that were converted since, one without sha256.",
        )
    return tuple(labels[clip_id] for clip_id in clip_ids)


def _clip_fields(clip: ClipResult, files: FileDigests) -> dict[str, Any]:
    return {
        "id": clip.clip_id,
        "scores": None if clip.scores is None else dict(clip.scores),
        "failure": None if clip.failure is None else asdict(clip.failure),
        "sha256": {side: digest for side, digest in asdict(files).items() if digest is not None},
    }


def _files_of(fields: Mapping[str, Any]) -> FileDigests:
    known = fields.get("sha256") or {}
    return FileDigests(*(str(known[side]) if side in known else None for side in ("clean", "enhanced", "noisy")))


def _align_of(fields: Mapping[str, Any]) -> bool | None:
    align = fields.get("align")
    return None if align is None else bool(align)


def _clip_of(fields: Mapping[str, Any]) -> ClipResult:
    failure = fields.get("failure")
    if failure is not None:
        return ClipResult(str(fields["id"]), failure=Failure(str(failure["code"]), str(failure["detail"])))
    return ClipResult(str(fields["id"]), scores=dict(_finite_items(fields["scores"])))


def _finite_items(scores: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in scores.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"{name} is {value!r}")
        yield str(name), float(value)


def _text_of(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_REPORT_BYTES:
            raise UsageError(f"{path} is over {MAX_REPORT_BYTES} bytes", "Split the set.")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read ({error})", "Give a readable file.") from error
