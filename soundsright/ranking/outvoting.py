"""The validators that count in a federation's means over validators: all but the highest and the lowest ones.

So validators that lie, in whichever direction, move a mean no further than to what the others say among themselves,
if they are no more than those that are left out. Sums are whole numbers, so comparisons are exact and do not depend
on the machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from soundsright.ranking.verdict_table import UNITS, Flags, Passed, Units, VerdictTable, by_validator


def counting_validators(sums: Units, counts: Units, outvoted: int = 1) -> Flags:
    """The validators that count in each row, from their sums and their numbers of tasks: `(rows, validators)`.

    A validator without a task does not count. As many as `outvoted` with the highest means are left out, and as
    many with the lowest while another one is left. So of two the lower mean counts, and one alone does not count.
    Of equal means the first validator is the lowest, and the last is the highest.

    >>> counting_validators(np.array([[3, 1, 2], [3, 1, 0]]), np.array([[1, 1, 1], [1, 1, 0]])).tolist()
    [[False, False, True], [False, True, False]]
    """
    counting = counts > 0
    order = np.arange(sums.shape[1])
    for _ in range(outvoted):
        _leave_out(counting, sums, counts, order)
    for _ in range(outvoted):
        _leave_out(counting, -sums, counts, order[::-1], counting.sum(axis=1) > 1)
    return counting


def _leave_out(
    counting: Flags, values: Units, counts: Units, order: NDArray[np.intp], where: Flags | None = None
) -> None:
    """Let the last validator in `order` with the highest mean of those that count no longer count, by row."""
    rows = np.arange(len(values))
    if not values.size:
        return
    highest = _extreme(values, np.where(counting, counts, 0), order)
    counting[rows, highest] &= False if where is None else ~where


def _extreme(sums: Units, counts: Units, order: NDArray[np.intp]) -> NDArray[np.intp]:
    """The last validator in `order` with the highest mean, by row."""
    rows = np.arange(len(sums))
    best = np.full(len(sums), order[0], dtype=np.intp)
    for number in order[1:].tolist():
        own, other = sums[:, number] * counts[rows, best], sums[rows, best] * counts[:, number]
        is_higher = (counts[:, number] > 0) & ((counts[rows, best] == 0) | (own >= other))
        best[is_higher] = number
    return best


def counting_tasks(table: VerdictTable, values: Units, judged: Flags) -> Flags:
    """The tasks that count in each row of values, of those that are `judged`: `(rows, tasks)`."""
    if not (table.outvoted and values.size):
        return judged
    sums, counts = _sums_and_counts(table, values, judged)
    return judged & counting_validators(sums, counts, table.outvoted)[:, table.by]


def means_over(table: VerdictTable, values: Units, counted: Flags) -> list[Fraction]:
    """The mean of each row over validators and their counted tasks, in the metric's unit; 0 without a task."""
    sums, counts = _sums_and_counts(table, values, counted)
    means = []
    for own, tasks in zip(sums.tolist(), counts.tolist(), strict=True):
        common = math.lcm(*filter(None, tasks))
        total = sum(each * (common // number) for each, number in zip(own, tasks, strict=True) if number)
        means.append(Fraction(total, (common * sum(map(bool, tasks)) or 1) * UNITS))
    return means


def _sums_and_counts(table: VerdictTable, values: Units, judged: Flags) -> tuple[Units, Units]:
    """Each row's sum and number of judged tasks, by validator."""
    sums = by_validator(np.where(judged, values, 0), table.by, len(table.validators))
    return sums, by_validator(judged.astype(np.int64), table.by, len(table.validators))


def rated_validators(table: VerdictTable) -> Flags:
    """The validators whose rates count in each entrant's score: `(entrants, validators)`."""
    passed, judged = _sums_and_counts(table, table.passed.astype(np.int64), table.judged)
    return counting_validators(passed, judged, table.outvoted)


def counting_rates(by_validator: Sequence[Passed], outvoted: int = 1) -> list[Passed]:
    """The rates that count in a score, of an entrant's rates by validator, sorted by validator.

    >>> counting_rates([(9, 10), (1, 2), (30, 40)])
    [(30, 40)]
    """
    pairs = np.array(by_validator, dtype=np.int64).reshape(1, -1, 2)
    counting = counting_validators(pairs[:, :, 0], pairs[:, :, 1], outvoted)[0].tolist()
    return [rate for rate, counts in zip(by_validator, counting, strict=True) if counts]
