"""Decides a round again from its signed results, and says where the published table differs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

from soundsright.core.images import ImageMetrics, ImageRow
from soundsright.services.executor.context import JudgeOf
from soundsright.services.executor.judging import ImageJudge
from soundsright.services.executor.results import MeasuredEntry, RoundResults

TOLERANCE = 1e-6
"""How far a recomputed number may be from the published one."""

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
        MeasuredEntry(replace(entry.row, metrics=judge.metrics(entry.measured)), entry.measured)
        if entry.measured is not None
        else entry
        for entry in results.entries
    )
    rows = replace(results, entries=entries).ranked(judge)
    published = [entry.row for entry in results.entries]
    return Recomputed(rows, tuple(_differences(published, rows)))


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
        return math.isclose(said, computed, rel_tol=0.0, abs_tol=TOLERANCE)
    return said == computed
