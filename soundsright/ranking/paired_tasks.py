"""The paired comparison of two entrants over the tasks of a federation in which both were judged.

Differences are whole numbers of units, `(rows, tasks)`; positive is better. Every validator weighs the same, and so
does each of its tasks: a task weighs 1 / (validators x tasks of its validator). So a validator with more turns, or
with easier clips, does not decide alone.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from soundsright.core.rulesets import Ruleset
from soundsright.ranking.leads import lead_test
from soundsright.ranking.scores import p_values_by_flips, p_values_by_hall
from soundsright.ranking.verdict_table import UNITS, Units, by_validator, units

EXACT_UP_TO_TASKS = 14
"""So many tasks are flipped in every way; 2 to this power sums for each comparison are fast."""


@dataclass(frozen=True)
class PairedLead:
    """The weighted mean of differences, exactly, and the one-sided p-value of the exact sign-flip test."""

    mean: Fraction
    p_value: float


@dataclass(frozen=True, eq=False)
class TaskWeights:
    """The weights of tasks. `by` numbers their validators from 0, each with a task.

    A task of validator v weighs `factors[v]` / (`common` x validators), which are whole numbers.
    """

    by: NDArray[np.int64]
    factors: tuple[int, ...]
    common: int

    @classmethod
    def of(cls, by: NDArray[np.int64]) -> TaskWeights:
        """The weights of tasks with these numbers of validators, of which some can have no task."""
        counts = np.bincount(by)
        used = np.flatnonzero(counts)
        tasks = counts[used].tolist()
        common = math.lcm(*tasks)
        return cls(np.searchsorted(used, by), tuple(common // count for count in tasks), common)

    def means(self, values: Units) -> list[Fraction]:
        """The weighted mean of each row, in the metric's unit."""
        sums = by_validator(values, self.by, len(self.factors)).tolist()
        divisor = self.common * len(self.factors) * UNITS
        return [Fraction(sum(map(operator.mul, row, self.factors)), divisor) for row in sums]

    def weighted(self, values: Units) -> NDArray[np.float64]:
        """The values times their weights, up to one common factor that makes every one a whole number.

        No p-value depends on the factor. Whole numbers have exact sums, so ties stay ties on every machine.
        """
        return values * np.array(self.factors, dtype=np.float64)[self.by]


def paired_lead(differences_by_validator: Sequence[Sequence[float]]) -> PairedLead:
    """The comparison over at most `EXACT_UP_TO_TASKS` differences, a list for each validator.

    Raises:
        ValueError: there is no difference, or there are more.

    >>> paired_lead([[0.02, 0.03, 0.01], [0.05, 0.01]])
    PairedLead(mean=Fraction(1, 40), p_value=0.03125)
    """
    by = np.repeat(np.arange(len(differences_by_validator)), [len(own) for own in differences_by_validator])
    if not 1 <= len(by) <= EXACT_UP_TO_TASKS:
        raise ValueError(f"an exact test needs 1 to {EXACT_UP_TO_TASKS} differences, not {len(by)}")
    differences = units(np.array([list(itertools.chain(*differences_by_validator))]))
    weights = TaskWeights.of(by)
    return PairedLead(weights.means(differences)[0], float(p_values_by_flips(weights.weighted(differences))[0]))


def lead_p_values(ruleset: Ruleset, differences: Units, weights: TaskWeights) -> NDArray[np.float64]:
    """The one-sided p-value of each row: is its weighted mean above zero?

    Up to `EXACT_UP_TO_TASKS` the test is exact; if the ruleset corrects small sets, the corrected test must agree.
    Over more tasks it is the ruleset's test over clips.
    """
    weighted = weights.weighted(differences)
    if weighted.shape[1] > EXACT_UP_TO_TASKS:
        return lead_test(ruleset, {}).p_values(weighted)
    p_values = p_values_by_flips(weighted)
    return np.maximum(p_values, p_values_by_hall(weighted)) if ruleset.corrects_small_sets else p_values
