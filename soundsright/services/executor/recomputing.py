"""Decides a round again from its signed results, and says where the published table differs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

from soundsright.copies import DuplicateRule
from soundsright.core.images import ImageMetrics, ImageRow
from soundsright.ranking import SCORE_TOLERANCE
from soundsright.services.executor.context import Judge, JudgeOf
from soundsright.services.executor.judged_copies import with_copies_judged
from soundsright.services.executor.judging import ImageJudge
from soundsright.services.executor.participants import NOT_EVALUATED
from soundsright.services.executor.results import MeasuredEntry, RoundResults

_NOT_DECIDED = frozenset({"updated_s", "detail", "challenge_metrics"})


@dataclass(frozen=True)
class Recomputed:
    """The rows that follow from the results, best first, and a sentence for each difference from what they say."""

    rows: tuple[ImageRow, ...]
    differences: tuple[str, ...]


def recomputed(results: RoundResults, judge_of: JudgeOf = ImageJudge) -> Recomputed:
    """Compute quality, factor, score and order again."""
    judge = judge_of(results.judged)
    entries = tuple(
        MeasuredEntry(replace(entry.row, metrics=_metrics(entry, judge)), entry.measured)
        for entry in results.entries
    )
    rows = with_copies_judged(replace(results, entries=entries), judge).ranked(judge)
    published = [entry.row for entry in results.entries]
    return Recomputed(rows, (*_differences_of_clips(results), *_differences(published, rows)))


def _metrics(entry: MeasuredEntry, judge: Judge) -> ImageMetrics:
    """The metrics that follow from what was measured. A score without any measurement does not count."""
    if entry.measured is not None:
        return judge.metrics(entry.measured)
    return entry.row.metrics if entry.row.metrics.error is not None else ImageMetrics(error=NOT_EVALUATED)


def _differences_of_clips(results: RoundResults) -> Iterator[str]:
    """The images whose scores are not those of all clips of their runs: a mean over fewer is another one."""
    scored: tuple[str, list[str]] | None = None
    for entry in results.entries:
        hotkey = entry.row.submission.hotkey
        failure = None if entry.measured is None else entry.measured.failure
        said = entry.row.metrics.error if entry.measured is None else failure and failure.code
        if said == DuplicateRule.NEAR_COPY:
            yield f"{hotkey}: it is refused as {said}, which only the test of its lead decides"
        if entry.measured is None or failure is not None:
            continue
        in_runs = sorted(clip_id for run in entry.measured.runs for clip_id in run.clip_ids)
        own = sorted(clip.clip_id for clip in entry.measured.clips)
        if own != in_runs:
            yield f"{hotkey}: the clips with scores are not those of its scoring runs"
        scored = scored or (hotkey, own)
        if own != scored[1]:
            yield f"{hotkey}: its scores are of other clips than those of {scored[0]}"


def _differences(published: list[ImageRow], own: tuple[ImageRow, ...]) -> Iterator[str]:
    by_hotkey = {row.submission.hotkey: row.metrics for row in own}
    for row in published:
        hotkey = row.submission.hotkey
        for name, said, computed in _values(row.metrics, by_hotkey[hotkey]):
            if not _is_close(said, computed):
                yield f"{hotkey}: {name} is {computed}, and the results say {said}"
    order, said_order = ([row.submission.hotkey for row in rows] for rows in (own, published))
    if order != said_order:
        place = next(n for n, (first, second) in enumerate(zip(order, said_order, strict=True)) if first != second)
        yield f"{order[place]} has rank {place + 1}, and the results have {said_order[place]} there"


def _values(said: ImageMetrics, computed: ImageMetrics) -> Iterator[tuple[str, object, object]]:
    for item in fields(ImageMetrics):
        if item.name not in _NOT_DECIDED:
            yield item.name, getattr(said, item.name), getattr(computed, item.name)


def _is_close(said: object, computed: object) -> bool:
    if isinstance(said, int | float) and isinstance(computed, int | float):
        return math.isclose(said, computed, rel_tol=0.0, abs_tol=SCORE_TOLERANCE)
    return said == computed
