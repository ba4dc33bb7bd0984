"""A set's scores as people and programs read them: the summary, the JSON report, per-clip lines and tables.

A clip that failed counts at the metric's floor in the mean, the interval and the median.
"""

from __future__ import annotations

import json
import math
import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from soundsright.core.errors import UsageError
from soundsright.core.results import ClipResult, Failure
from soundsright.metrics.registry import metric
from soundsright.ranking.statistics import mean_estimate
from soundsright.services.scoring import ScoredClip

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


def summaries(clips: Sequence[ClipResult], names: Sequence[str]) -> dict[str, MetricSummary]:
    """The summary of each metric. Ends of an interval stay inside the metric's range.

    >>> results = [ClipResult("a", {"STOI": 0.5}), ClipResult("b", failure=Failure("missing", "no file"))]
    >>> summary = summaries(results, ["STOI"])["STOI"]
    >>> summary.mean, summary.n, summary.failed
    (-0.25, 2, 1)
    """
    failed = sum(clip.failure is not None for clip in clips)
    found = {}
    for name in names:
        values, known = values_of(clips, name), metric(name)
        estimate = mean_estimate(values)
        low, high = max(estimate.low, known.low), min(estimate.high, known.high)
        found[name] = MetricSummary(estimate.mean, low, high, statistics.median(values), len(values), failed)
    return found


def report_json(clips: Sequence[ClipResult], names: Sequence[str]) -> str:
    """The report: `{"metrics": {name: summary}, "clips": [{"id", "scores", "failure"}]}`."""
    report = {
        "metrics": {name: asdict(summary) for name, summary in summaries(clips, names).items()},
        "clips": [_clip_fields(clip) for clip in clips],
    }
    return json.dumps(report, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def clip_line(clip: ScoredClip) -> str:
    """One line of JSON Lines, with the digest by which a later run knows the clip again."""
    fields = _clip_fields(clip.result) | {"inputs": clip.inputs}
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
            scored[str(fields["id"])] = ScoredClip(_clip_of(fields), str(fields["inputs"]))
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
        if path is not None and str(path) != "-" and not os.access(path.parent, os.W_OK | os.X_OK):
            raise UsageError(f"{path} cannot be written", f"Make the folder {path.parent}, or name another.")


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


def read_report(path: Path) -> tuple[ClipResult, ...]:
    """The clips of a JSON report, or of a file of per-clip lines.

    Raises:
        UsageError: if it is neither.
    """
    text = _text_of(path)
    try:
        if path.suffix == ".jsonl":
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            rows = json.loads(text)["clips"]
        clips = tuple(_clip_of(row) for row in rows)
    except _OF_ANOTHER_FORM as error:
        raise UsageError(
            f"{path} is no report of scores ({error})", "Give a file that `soundsright score --json` wrote."
        ) from error
    if not clips:
        raise UsageError(f"{path} holds no clips", "Give a report of at least one clip.")
    if len({clip.clip_id for clip in clips}) != len(clips):
        raise UsageError(f"{path} holds a clip twice", "Score the set anew.")
    return clips


def clusters_of(path: Path, clip_ids: Sequence[str], field: str) -> list[str]:
    """What each clip shares with others (its speaker, say), from a set's manifest of JSON lines.

    Raises:
        UsageError: if the manifest lacks a clip or the field.
    """
    labels = {}
    for number, line in enumerate(_text_of(path).splitlines(), start=1):
        try:
            row = json.loads(line)
            labels[str(row["id"])] = str(row[field])
        except _OF_ANOTHER_FORM as error:
            raise UsageError(
                f"{path}, line {number} has no id and {field}",
                "Give the manifest of the set, one JSON object a line.",
            ) from error
    missing = [clip_id for clip_id in clip_ids if clip_id not in labels]
    if missing:
        raise UsageError(f"{path} lacks {len(missing)} clips, {missing[0]} first", "Give the manifest of this set.")
    return [labels[clip_id] for clip_id in clip_ids]


def _clip_fields(clip: ClipResult) -> dict[str, Any]:
    scores = None if clip.scores is None else dict(clip.scores)
    return {"id": clip.clip_id, "scores": scores, "failure": None if clip.failure is None else asdict(clip.failure)}


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
