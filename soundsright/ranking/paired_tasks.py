"""The paired comparison of two entrants over the tasks of a federation in which both were judged.

Differences are whole numbers of units, `(rows, tasks)`; positive is better. Every validator weighs the same, and so
does each of its tasks: a task weighs 1 / (validators x tasks of its validator). So a validator with more turns, or
with easier clips, does not decide alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from soundsright.core.rulesets import Ruleset
from soundsright.ranking.leads import lead_test
from soundsright.ranking.scores import p_values_by_flips, p_values_by_hall
from soundsright.ranking.verdict_table import UNITS, Flags, Units, by_validator, units

Floats = NDArray[np.float64]

EXACT_UP_TO_TASKS = 14
"""So many tasks are flipped in every way; 2 to this power sums for each comparison are fast."""
MAX_FACTOR = 1 << 20
"""The largest weight of a task, so that sums of weighted differences stay exact."""


@dataclass(frozen=True)
class PairedLead:
    """The weighted mean of differences, exactly, and the one-sided p-value of the exact sign-flip test."""

    mean: Fraction
    p_value: float


def task_factors(counts: Sequence[int]) -> tuple[int, ...]:
    """The weight of a task of each validator, times one number that makes all of them whole; 0 without a task.

    No p-value depends on that number. Whole numbers have exact sums, so ties stay ties on every machine. With many
    validators and thousands of tasks that number would be too large. Then weights are rounded, to a millionth.

    >>> task_factors([3, 0, 2])
    (2, 0, 3)
    >>> task_factors([10_007, 10_009, 10_037])
    (1048576, 1048366, 1045442)
    """
    present = [count for count in counts if count]
    common, least = math.lcm(*present), min(present, default=1)
    if common // least > MAX_FACTOR:
        return tuple((MAX_FACTOR * least + count // 2) // count if count else 0 for count in counts)
    return tuple(common // count if count else 0 for count in counts)


def paired_lead(differences_by_validator: Sequence[Sequence[float]]) -> PairedLead:
    """The comparison over at most `EXACT_UP_TO_TASKS` differences, a list for each validator.

    Raises:
        ValueError: there is no difference, or there are more.

    >>> paired_lead([[0.02, 0.03, 0.01], [0.05, 0.01]])
    PairedLead(mean=Fraction(1, 40), p_value=0.03125)
    """
    counts = [len(own) for own in differences_by_validator if own]
    if not 1 <= sum(counts) <= EXACT_UP_TO_TASKS:
        raise ValueError(f"an exact test needs 1 to {EXACT_UP_TO_TASKS} differences, not {sum(counts)}")
    values = units(np.array([list(itertools.chain(*differences_by_validator))]))
    weighted = values * np.repeat(task_factors(counts), counts)
    mean = Fraction(int(weighted.sum()), math.lcm(*counts) * len(counts) * UNITS)
    return PairedLead(mean, float(p_values_by_flips(weighted.astype(np.float64))[0]))


def lead_p_values(ruleset: Ruleset, differences: Units, counted: Flags, by: NDArray[np.int64]) -> Floats:
    """The one-sided p-value of each row: is the weighted mean of its counted differences above zero?

    `by` numbers the validators of the tasks. Up to `EXACT_UP_TO_TASKS` tasks the test is exact; if the ruleset
    corrects small sets, the corrected test must agree. Over more tasks it is the ruleset's test over clips. Without
    a task the p-value is 1.
    """
    p_values, tasks = np.ones(len(differences)), counted.sum(axis=1)
    if not tasks.any():
        return p_values
    counts = by_validator(counted.astype(np.int64), by, int(by.max()) + 1)
    factors = np.array([task_factors(own) for own in counts.tolist()], dtype=np.float64)
    # Rows with equally many tasks are tested together: a test for each would take most of the time of a decision.
    for count in np.unique(tasks[tasks > 0]).tolist():
        rows = np.flatnonzero(tasks == count)
        columns = np.nonzero(counted[rows])[1].reshape(len(rows), count)
        weights = np.take_along_axis(factors[rows], by[columns], axis=1)
        weighted = np.take_along_axis(differences[rows], columns, axis=1) * weights
        p_values[rows] = _p_values(ruleset, weighted)
    return p_values


def _p_values(ruleset: Ruleset, weighted: Floats) -> Floats:
    if weighted.shape[1] > EXACT_UP_TO_TASKS:
        return lead_test(ruleset, {}).p_values(weighted)
    p_values = p_values_by_flips(weighted)
    return np.maximum(p_values, p_values_by_hall(weighted)) if ruleset.corrects_small_sets else p_values
