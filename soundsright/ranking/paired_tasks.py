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
from soundsright.ranking.verdict_table import UNITS, Units, by_validator, units

EXACT_UP_TO_TASKS = 14
"""So many tasks are flipped in every way; 2 to this power sums for each comparison are fast."""


@dataclass(frozen=True)
class PairedLead:
    """The weighted mean of differences, exactly, and the one-sided p-value of the exact sign-flip test."""

    mean: Fraction
    p_value: float


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
    return PairedLead(weighted_means(differences, by)[0], float(p_values_by_flips(_weighted(differences, by))[0]))


def weighted_means(values: Units, by: NDArray[np.int64]) -> list[Fraction]:
    """The weighted mean of each row, in the metric's unit. `by` has the number of each task's validator."""
    used, by = np.unique(by, return_inverse=True)
    tasks = np.bincount(by, minlength=len(used)).tolist()
    common = math.lcm(*tasks)
    factors = [common // count for count in tasks]
    sums = by_validator(values, by, len(used)).tolist()
    return [
        Fraction(sum(s * factor for s, factor in zip(row, factors, strict=True)), common * len(used) * UNITS)
        for row in sums
    ]


def lead_p_values(ruleset: Ruleset, differences: Units, by: NDArray[np.int64]) -> NDArray[np.float64]:
    """The one-sided p-value of each row: is its weighted mean above zero?

    Up to `EXACT_UP_TO_TASKS` the test is exact; if the ruleset corrects small sets, the corrected test must agree.
    Over more tasks it is the ruleset's test over clips.
    """
    weighted = _weighted(differences, by)
    if weighted.shape[1] > EXACT_UP_TO_TASKS:
        return lead_test(ruleset, {}).p_values(weighted)
    p_values = p_values_by_flips(weighted)
    return np.maximum(p_values, p_values_by_hall(weighted)) if ruleset.corrects_small_sets else p_values


def _weighted(differences: Units, by: NDArray[np.int64]) -> NDArray[np.float64]:
    """The differences times their weights, up to one common factor that makes every one a whole number.

    No p-value depends on the factor. Whole numbers have exact sums, so ties stay ties on every machine.
    """
    _, by, tasks = np.unique(by, return_inverse=True, return_counts=True)
    common = math.lcm(*tasks.tolist())
    factors = np.array([common // count for count in tasks.tolist()], dtype=np.float64)
    return differences * factors[by]
