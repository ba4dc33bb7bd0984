"""The certainty of means and differences. Scores are in their metric's unit; intervals are two-sided.

Values belong to the clips of one set. A comparison is paired: it compares entries on the same clip, because clips
differ far more than entries do. Clips that share a speaker or a source are not independent. For them, give
`clusters`, one label per clip. Sums are exactly rounded (`math.fsum`), so results do not depend on the order of the
clips. Chance comes from `rng`.

Sources: Efron, "Better Bootstrap Confidence Intervals", JASA 82, 1987 (BCa); Phipson, Smyth, "Permutation
P-values Should Never Be Zero", SAGMB 9(1), 2010; Cameron, Miller, "A Practitioner's Guide to Cluster-Robust
Inference", J. Human Resources 50(2), 2015; Holm, "A Simple Sequentially Rejective Multiple Test Procedure",
Scand. J. Statistics 6, 1979; Mogstad, Romano, Shaikh, Wilhelm, "Inference for Ranks", Review of Economic
Studies 91(1), 2024.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soundsright.core.results import Estimate

CONFIDENCE = 0.95

_BATCH_NUMBERS = 4_000_000  # resampled values in memory at a time


def mean_estimate(values: Sequence[float], clusters: Sequence[Hashable] | None = None) -> Estimate:
    """The mean with Student's 95 % interval.

    Without clusters the standard error is s / sqrt(n) with n - 1 degrees of freedom. With G clusters it is the
    cluster-robust one with G - 1. One value or one cluster has no spread, so its interval has zero width.

    Raises:
        ValueError: if there is no value, a value is not finite, or the numbers of labels and values differ.

    >>> estimate = mean_estimate([1.0, 2.0, 3.0])
    >>> round(estimate.low, 6), estimate.mean, round(estimate.high, 6)
    (-0.484138, 2.0, 4.484138)
    """
    _check_values(values)
    mean = math.fsum(values) / len(values)
    error, degrees = _standard_error(values, mean, clusters)
    if error == 0.0:
        return Estimate(mean, mean, mean, len(values))
    from scipy.special import stdtrit

    half = float(stdtrit(degrees, 0.5 + CONFIDENCE / 2)) * error
    return Estimate(mean, mean - half, mean + half, len(values))


def standard_error(values: Sequence[float], clusters: Sequence[Hashable] | None = None) -> float:
    """The standard error of the mean; with clusters, Cameron and Miller's with the factor G / (G - 1).

    Raises:
        ValueError: as in `mean_estimate`.

    >>> round(standard_error([1.0, 2.0, 3.0, 4.0], clusters=["a", "a", "b", "b"]), 9)
    1.0
    """
    _check_values(values)
    return _standard_error(values, math.fsum(values) / len(values), clusters)[0]


@dataclass(frozen=True)
class PairedComparison:
    """Mean of `a - b` over the clips that both have, with its 95 % interval, p-value and effect size.

    `effect_size` is Cohen's d of the paired differences: mean / standard deviation, or 0 if all are equal.
    """

    difference: Estimate
    p_value: float
    effect_size: float


def paired_comparison(
    a: Sequence[float],
    b: Sequence[float],
    *,
    rng: np.random.Generator,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = 10_000,
) -> PairedComparison:
    """Compare entry `a` with entry `b`, clip by clip: BCa interval and two-sided sign-flip permutation test.

    With clusters, whole clusters are resampled and change sign together.

    Raises:
        ValueError: if lengths differ, or as `mean_estimate`.
    """
    differences = _differences(a, b)
    mean = math.fsum(differences) / len(differences)
    spread = math.sqrt(math.fsum((d - mean) ** 2 for d in differences) / max(1, len(differences) - 1))
    return PairedComparison(
        bca_interval(differences, rng=rng, clusters=clusters, resamples=resamples),
        permutation_p_value(differences, rng=rng, clusters=clusters, resamples=resamples),
        mean / spread if spread > 0 else 0.0,
    )


def bca_interval(
    values: Sequence[float],
    *,
    rng: np.random.Generator,
    clusters: Sequence[Hashable] | None = None,
    confidence: float = CONFIDENCE,
    resamples: int = 10_000,
) -> Estimate:
    """The mean with its bias-corrected and accelerated bootstrap interval (Efron 1987).

    It is right for skewed scores, for which Student's interval is not. With clusters, whole clusters are drawn. One
    value, one cluster or equal values give an interval of zero width.

    Raises:
        ValueError: as in `mean_estimate`.

    >>> bca_interval([2.0, 2.0], rng=np.random.default_rng(0))
    Estimate(mean=2.0, low=2.0, high=2.0, n=2)
    """
    _check_values(values)
    sums, sizes = _cluster_sums(values, clusters)
    n, groups = len(values), len(sums)
    mean = math.fsum(values) / n
    if groups < 2 or float(np.ptp(sums / sizes)) == 0.0:
        return Estimate(mean, mean, mean, n)
    from scipy.special import ndtr, ndtri

    means = np.sort(_bootstrap_means(sums, sizes, rng, resamples))
    below = (np.count_nonzero(means < mean) + 0.5 * np.count_nonzero(means == mean)) / resamples
    bias = float(ndtri(min(max(below, 0.5 / resamples), 1 - 0.5 / resamples)))
    left_out = (sums.sum() - sums) / (n - sizes)
    deviation = left_out.mean() - left_out
    squares = float(np.sum(deviation**2))
    acceleration = float(np.sum(deviation**3)) / (6 * squares**1.5) if squares > 0 else 0.0
    ends = []
    for tail in ((1 - confidence) / 2, (1 + confidence) / 2):
        z = bias + float(ndtri(tail))
        corrected = float(ndtr(bias + z / (1 - acceleration * z)))
        ends.append(float(np.quantile(means, corrected)))
    return Estimate(mean, min(ends[0], mean), max(ends[1], mean), n)


def permutation_p_value(
    differences: Sequence[float],
    *,
    rng: np.random.Generator,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = 10_000,
) -> float:
    """Two-sided p-value of "the differences are symmetric about 0", by flips of their signs. It is never 0.

    Up to 12 clusters (or clips) are flipped in every way, which is exact. More are flipped at random, `resamples`
    times; then the p-value is (1 + hits) / (1 + resamples) (Phipson, Smyth 2010).

    Raises:
        ValueError: as in `mean_estimate`.

    >>> permutation_p_value([1.0, 2.0, 3.0, 4.0], rng=np.random.default_rng(0))
    0.125
    """
    _check_values(differences)
    sums, _ = _cluster_sums(differences, clusters)
    observed = abs(math.fsum(sums))
    threshold = observed * (1 - 1e-12)  # Sums that differ only by rounding count as ties.
    if len(sums) <= 12:
        codes = np.arange(2 ** len(sums))[:, None]
        signs = 1.0 - 2.0 * ((codes >> np.arange(len(sums))) & 1)
        return float(np.mean(np.abs(signs @ sums) >= threshold))
    hits = 0
    for count in _batches(resamples, len(sums)):
        signs = 1.0 - 2.0 * rng.integers(0, 2, (count, len(sums)))
        hits += int(np.count_nonzero(np.abs(signs @ sums) >= threshold))
    return (1 + hits) / (1 + resamples)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values adjusted for several comparisons by Holm's step-down rule. Reject those that are at most alpha.

    Raises:
        ValueError: if a p-value is not in [0, 1].

    >>> holm({"PESQ_WB": 0.01, "ESTOI": 0.04, "SI_SDR": 0.03})
    {'PESQ_WB': 0.03, 'ESTOI': 0.06, 'SI_SDR': 0.06}
    """
    if not all(0.0 <= p <= 1.0 for p in p_values.values()):
        raise ValueError("a p-value is not between 0 and 1")
    adjusted: dict[str, float] = {}
    worst = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda key: (p_values[key], key))):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = worst
    return {name: adjusted[name] for name in p_values}


@dataclass(frozen=True)
class RankSet:
    """The ranks that an entry can have, from `best` to `worst`; 1 is the best rank."""

    best: int
    worst: int


def rank_confidence_sets(
    scores: Mapping[str, Sequence[float]],
    *,
    rng: np.random.Generator,
    clusters: Sequence[Hashable] | None = None,
    confidence: float = CONFIDENCE,
    resamples: int = 10_000,
) -> dict[str, RankSet]:
    """The ranks that each entry can have, given its scores. With the given confidence, all sets are right at once.

    An entry ranks below each entry whose mean is significantly above its own. The studentised difference of a pair
    is significant above one critical value, the bootstrap quantile of the largest (Mogstad et al. 2024). Higher
    scores are better: negate a metric for which lower is better. Every entry has one value per clip, in the same
    order.

    Raises:
        ValueError: if there is no entry, or the numbers of values differ.
    """
    if not scores or len({len(values) for values in scores.values()}) != 1:
        raise ValueError("rank sets need at least one entry, and the same clips for all")
    names = list(scores)
    for values in scores.values():
        _check_values(values)
    if len(names) == 1:
        return {names[0]: RankSet(1, 1)}
    pairs = [(i, j) for i in range(len(names)) for j in range(len(names)) if i < j]
    table = [_differences(scores[names[i]], scores[names[j]]) for i, j in pairs]
    means = np.array([math.fsum(row) / len(row) for row in table])
    errors = np.array([standard_error(row, clusters) for row in table])
    critical = _largest_deviation(table, means, errors, clusters, rng, confidence, resamples)
    above = dict.fromkeys(range(len(names)), 0)
    under = dict.fromkeys(range(len(names)), 0)
    for (i, j), mean, error in zip(pairs, means, errors, strict=True):
        if abs(mean) > critical * error:
            better, worse = (i, j) if mean > 0 else (j, i)
            above[worse] += 1
            under[better] += 1
    return {name: RankSet(1 + above[i], len(names) - under[i]) for i, name in enumerate(names)}


def _largest_deviation(
    table: Sequence[Sequence[float]],
    means: NDArray[np.float64],
    errors: NDArray[np.float64],
    clusters: Sequence[Hashable] | None,
    rng: np.random.Generator,
    confidence: float,
    resamples: int,
) -> float:
    """The quantile of the largest studentised deviation over all pairs, by a multiplier bootstrap over clusters."""
    centred = [[value - mean for value in row] for row, mean in zip(table, means, strict=True)]
    grouped = np.array([_cluster_sums(row, clusters)[0] for row in centred])
    groups = grouped.shape[1]
    usable = errors > 0
    if groups < 2 or not usable.any():
        return 0.0
    scaled = grouped[usable] / (errors[usable, None] * len(table[0])) * math.sqrt(groups / (groups - 1))
    largest = []
    for count in _batches(resamples, max(groups, scaled.shape[0])):
        weights = rng.standard_normal((count, groups))
        largest.append(np.abs(weights @ scaled.T).max(axis=1))
    return float(np.quantile(np.concatenate(largest), confidence))


def _check_values(values: Sequence[float]) -> None:
    if len(values) == 0:
        raise ValueError("a mean needs at least one value")
    if not all(math.isfinite(value) for value in values):
        raise ValueError("a value is not finite")


def _differences(a: Sequence[float], b: Sequence[float]) -> list[float]:
    if len(a) != len(b):
        raise ValueError(f"a paired comparison needs the same clips, not {len(a)} and {len(b)} values")
    return [float(x) - float(y) for x, y in zip(a, b, strict=True)]


def _standard_error(values: Sequence[float], mean: float, clusters: Sequence[Hashable] | None) -> tuple[float, int]:
    """The standard error of the mean and its degrees of freedom. The error is 0 if there is no spread."""
    sums, _ = _cluster_sums([value - mean for value in values], clusters)
    groups = len(sums)
    if groups < 2:
        return 0.0, 1
    square = math.fsum(float(s) ** 2 for s in sums) * groups / (groups - 1)
    error = math.sqrt(square) / len(values)
    # For equal values, only the rounding of their mean is left. That is no spread.
    return (error if error > 1e-15 * max(map(abs, values)) else 0.0), groups - 1


def _cluster_sums(
    values: Sequence[float], clusters: Sequence[Hashable] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The sum and the size of each cluster, in order of appearance. Without clusters, each value is a cluster."""
    if clusters is None:
        return np.asarray(values, dtype=np.float64), np.ones(len(values))
    if len(clusters) != len(values):
        raise ValueError(f"{len(clusters)} cluster labels for {len(values)} values")
    members: dict[Hashable, list[float]] = {}
    for label, value in zip(clusters, values, strict=True):
        members.setdefault(label, []).append(value)
    return (
        np.array([math.fsum(group) for group in members.values()]),
        np.array([float(len(group)) for group in members.values()]),
    )


def _bootstrap_means(
    sums: NDArray[np.float64], sizes: NDArray[np.float64], rng: np.random.Generator, resamples: int
) -> NDArray[np.float64]:
    means = []
    for count in _batches(resamples, len(sums)):
        drawn = rng.integers(0, len(sums), (count, len(sums)))
        means.append(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    return np.concatenate(means)


def _batches(resamples: int, width: int) -> list[int]:
    """The sizes of batches of resamples, each small enough for memory, which add up to `resamples`."""
    size = max(1, _BATCH_NUMBERS // width)
    return [min(size, resamples - start) for start in range(0, resamples, size)]
