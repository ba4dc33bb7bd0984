"""The test of a lead: is an entry better than another one, on these clips and on new material?

Differences are paired, in the metric's unit, `(rows, clips)`; positive is better. p-values are one-sided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soundsright.core.groups import ClipGroups
from soundsright.core.results import Estimate
from soundsright.core.rulesets import Ruleset
from soundsright.ranking.clustered import clustered_mean, clustered_p_values, least_clustered_mean
from soundsright.ranking.needed import least_mean_by_hall, least_mean_difference
from soundsright.ranking.scores import (
    EXACT_UP_TO_CLIPS,
    Scores,
    p_values_by_hall,
    superiority_p_values,
    superiority_test,
)
from soundsright.ranking.statistics import mean_estimate

FLIP = 0.5
"""A test over g groups or clips gives no p-value below this number to the power of g."""


@dataclass(frozen=True)
class Scarce:
    """A factor with too few groups for any test: so many `groups` of it, where `needed` are the least."""

    factor: str
    groups: int
    needed: int


@dataclass(frozen=True)
class LeadTest:
    """The test that a ruleset asks for. `groups` has the labels of the clips by factor, none without groups.

    If `corrects_small_sets` is True, up to 12 clips are tested with the correction for skewness too: the exact test
    alone is too sure of a challenger that is a little better on most clips and far worse on a few.
    """

    groups: Mapping[str, Sequence[str]]
    corrects_small_sets: bool = False

    @property
    def _labels(self) -> tuple[Sequence[str], ...]:
        return tuple(self.groups.values())

    def p_values(self, differences: Scores) -> NDArray[np.float64]:
        """The p-value of each row: the largest of the tests that apply."""
        p = superiority_p_values(differences)
        if self.corrects_small_sets and differences.shape[1] <= EXACT_UP_TO_CLIPS:
            p = np.maximum(p, p_values_by_hall(differences))
        if self.groups:
            finite = np.asarray(np.isfinite(differences).all(axis=1))
            usable = np.where(finite[:, np.newaxis], differences, 0.0)
            p = np.where(finite, np.maximum(p, clustered_p_values(usable, self._labels)), 1.0)
        return p

    def least_leads(self, differences: Scores, levels: Sequence[float]) -> NDArray[np.float64]:
        """For each row, the least mean whose p-value is at most the row's level; infinite if there is none."""
        least = least_mean_difference(differences, levels)
        if self.corrects_small_sets and differences.shape[1] <= EXACT_UP_TO_CLIPS:
            least = np.maximum(least, least_mean_by_hall(differences, levels))
        if self.groups:
            least = np.maximum(least, least_clustered_mean(differences, self._labels, levels))
        return least

    def name(self, clips: int) -> str:
        """The name of the test for that number of clips."""
        name = superiority_test(clips)
        if self.corrects_small_sets and clips <= EXACT_UP_TO_CLIPS:
            name += " and t test with Hall's correction"
        return f"{name}; t test clustered by {' and '.join(self.groups)}" if self.groups else name


OVER_CLIPS = LeadTest({})
"""The test over the clips alone, as rulesets before version 5 make it."""


def labels_by_factor(groups: ClipGroups | None, clip_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The labels of these clips by factor; none without groups."""
    return {} if groups is None else dict(zip(groups.factors, groups.labels(clip_ids), strict=True))


def lead_test(ruleset: Ruleset, labels: Mapping[str, Sequence[str]]) -> LeadTest:
    """The ruleset's test over clips with these labels. Without labels, nothing is known of new material."""
    return LeadTest(labels if ruleset.tests_new_material else {}, ruleset.corrects_small_sets)


def scarce_factor(test: LeadTest, alpha: float) -> Scarce | None:
    """The factor with the fewest groups, if these are too few for a p-value of `alpha`.

    >>> scarce_factor(LeadTest({"noise": ("rain", "wind", "rain")}), alpha=0.05)
    Scarce(factor='noise', groups=2, needed=5)
    """
    counts = {factor: len(set(labels)) for factor, labels in test.groups.items()}
    needed = int(np.ceil(-np.log2(alpha)))
    factor = min(counts, key=lambda name: counts[name], default=None)
    if factor is None or counts[factor] >= needed:
        return None
    return Scarce(factor, counts[factor], needed)


def without_groups(test: LeadTest) -> LeadTest:
    """The same test over the clips alone."""
    return LeadTest({}, test.corrects_small_sets)


def estimate(values: Sequence[float], groups: Mapping[str, Sequence[str]]) -> Estimate:
    """The mean with its 95 % interval: for new material if `groups` has the clips' labels by factor.

    If the clips form two groups or fewer by one factor, there is no such interval.

    >>> estimate([1.0, 2.0, 3.0, 4.0], {"noise": ("rain", "rain", "wind", "wind")}).low is None
    True
    """
    plain = mean_estimate(values)
    if not groups:
        return plain
    clustered = clustered_mean(values, tuple(groups.values()))
    low, high = clustered.interval() or (None, None)
    return Estimate(plain.mean, low, high, plain.n, clustered.effective_n)
