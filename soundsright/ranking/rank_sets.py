"""The ranks that entries can have, given their scores on the same clips. Rank 1 is the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soundsright.ranking.clustered import CONFIDENCE, SKEWNESS_FACTOR, clustered_means, two_sided_p_values
from soundsright.ranking.group_design import Labels

_NUMBERS_AT_ONCE = 1_000_000  # differences in memory at a time


@dataclass(frozen=True)
class RankSet:
    """The ranks that an entry can have, from `best` to `worst`; 1 is the best rank."""

    best: int
    worst: int


def rank_confidence_sets(
    scores: Mapping[str, Sequence[float]], labels: Labels | None = None, *, confidence: float = CONFIDENCE
) -> dict[str, RankSet]:
    """The ranks that each entry can have. With the given confidence, all sets are right at once.

    An entry ranks below each entry whose mean is significantly above its own (Mogstad, Romano, Shaikh, Wilhelm,
    "Inference for Ranks", Review of Economic Studies 91(1), 2024). Each pair is tested by the two-sided test of its
    paired differences, the larger of Student's and Hall's, and all pairs are corrected at once by Holm's rule. No
    p-value is below 2^(1 - G) for G groups: a few groups that agree, even to the last bit, leave ranks open.

    With labels (one sequence for each factor, one label per clip), ranks hold for new groups of each factor. With
    two groups or fewer of a factor, or two clips or fewer, every rank stays possible. Higher scores are better:
    negate a metric for which lower is better. Every entry has one value per clip, in the same order.

    Raises:
        ValueError: if there is no entry, a value is not finite, or the numbers of values or labels differ.

    >>> rank_confidence_sets({"a": [3.0, 3.1, 2.9, 3.0, 2.8, 3.2], "b": [1.0, 1.2, 0.9, 1.1, 1.3, 0.8]})
    {'a': RankSet(best=1, worst=1), 'b': RankSet(best=2, worst=2)}
    """
    if not scores or len({len(values) for values in scores.values()}) != 1:
        raise ValueError("rank sets need at least one entry, and the same clips for all")
    table = np.array([list(values) for values in scores.values()], dtype=np.float64)
    entries, clips = table.shape
    if clips == 0:
        raise ValueError("a mean needs at least one value")
    above, below = np.zeros(entries, dtype=np.int64), np.zeros(entries, dtype=np.int64)
    for better, worse in _significant_pairs(table, labels or [range(clips)], 1.0 - confidence):
        above[worse] += 1
        below[better] += 1
    return {name: RankSet(1 + int(above[i]), entries - int(below[i])) for i, name in enumerate(scores)}


def _significant_pairs(table: NDArray[np.float64], labels: Labels, alpha: float) -> list[tuple[int, int]]:
    """The pairs (better, worse) of rows whose means differ, by Holm's rule over all pairs."""
    if not np.isfinite(table).all():
        raise ValueError("a value is not finite")
    first, second = np.triu_indices(len(table), 1)
    at_once = max(1, _NUMBERS_AT_ONCE // table.shape[1])
    pairs: list[tuple[int, int]] = []
    p_values: list[float] = []
    for start in range(0, len(first), at_once):
        one, other = first[start : start + at_once], second[start : start + at_once]
        means = clustered_means(table[one] - table[other], labels)
        p_values += two_sided_p_values(means, skewness_factor=SKEWNESS_FACTOR).tolist()
        one_leads = means.mean > 0
        better, worse = np.where(one_leads, one, other), np.where(one_leads, other, one)
        pairs += zip(better.tolist(), worse.tolist(), strict=True)
    significant = []
    for passed, number in enumerate(np.argsort(p_values, kind="stable").tolist()):
        if p_values[number] * (len(pairs) - passed) > alpha:
            break
        significant.append(pairs[number])
    return significant
