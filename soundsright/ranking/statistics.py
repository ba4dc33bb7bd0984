"""The certainty of means and differences. Scores are in their metric's unit; intervals are two-sided.

Values belong to the clips of one set. A comparison is paired: it compares entries on the same clip, because clips
differ far more than entries do. Clips that share a noise, a prompt or a room are not independent. For them, give
`labels`: one sequence for each factor, with one label per clip. Then `ranking/clustered.py` computes. Without
labels, each clip counts as independent. Sums are exactly rounded (`math.fsum`), so results do not depend on the
order of the clips. Chance comes from `rng`.

Sources: Efron, "Better Bootstrap Confidence Intervals", JASA 82, 1987 (BCa); Phipson, Smyth, "Permutation
P-values Should Never Be Zero", SAGMB 9(1), 2010; Holm, "A Simple Sequentially Rejective Multiple Test Procedure",
Scand. J. Statistics 6, 1979.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soundsright.core.results import Estimate
from soundsright.ranking.clustered import (
    CONFIDENCE,
    ClusteredMean,
    clustered_mean,
    clustered_means,
    two_sided_p_values,
)
from soundsright.ranking.group_design import Labels

_BATCH_NUMBERS = 4_000_000  # resampled values in memory at a time


def mean_estimate(values: Sequence[float], labels: Labels | None = None) -> Estimate:
    """The mean with Student's 95 % interval.

    Without labels the standard error is s / sqrt(n) with n - 1 degrees of freedom. With labels the interval holds
    for new groups of each factor (see `clustered_mean`), and `effective_n` is given. One value, or two groups or
    fewer of a factor, have no interval.

    Raises:
        ValueError: if there is no value, a value is not finite, or a factor has another number of labels.

    >>> estimate = mean_estimate([1.0, 2.0, 3.0])
    >>> round(estimate.low, 6), estimate.mean, round(estimate.high, 6)
    (-0.484138, 2.0, 4.484138)
    >>> mean_estimate([1.0, 2.0, 3.0], [["rain", "rain", "wind"]]).low is None
    True
    """
    _check_values(values)
    if labels is not None:
        return _clustered_estimate(clustered_mean(values, labels))
    mean, n = math.fsum(values) / len(values), len(values)
    if n == 1:
        return Estimate(mean, None, None, n)
    error = math.sqrt(math.fsum((value - mean) ** 2 for value in values) * n / (n - 1)) / n
    # For equal values, only the rounding of their mean is left. That is no spread.
    if error <= 1e-15 * max(map(abs, values)):
        return Estimate(mean, mean, mean, n)
    from scipy.special import stdtrit

    half = float(stdtrit(n - 1, 0.5 + CONFIDENCE / 2)) * error
    return Estimate(mean, mean - half, mean + half, n)


def _clustered_estimate(own: ClusteredMean) -> Estimate:
    low, high = own.interval(CONFIDENCE) or (None, None)
    return Estimate(own.mean, low, high, own.n, own.effective_n)


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
    labels: Labels | None = None,
    resamples: int = 10_000,
) -> PairedComparison:
    """Compare entry `a` with entry `b`, clip by clip.

    Without labels: BCa interval and two-sided sign-flip permutation test. With labels, both hold for new groups of
    each factor: Student's interval and test of the clustered mean (see `clustered_mean`), without chance. The
    p-value is then at least 2^(1 - G) for G groups, the least of a test that flips whole groups: with three to
    five groups it is above 0.05 even if the interval leaves out 0. With two groups or fewer of a factor there is no
    interval, and the p-value is 1.

    Raises:
        ValueError: if lengths differ, or as `mean_estimate`.
    """
    differences = paired_differences(a, b)
    mean = math.fsum(differences) / len(differences)
    spread = math.sqrt(math.fsum((d - mean) ** 2 for d in differences) / max(1, len(differences) - 1))
    if labels is None:
        difference = bca_interval(differences, rng=rng, resamples=resamples)
        p_value = permutation_p_value(differences, rng=rng, resamples=resamples)
    else:
        _check_values(differences)
        means = clustered_means(np.array([differences]), labels)
        difference = _clustered_estimate(means[0])
        p_value = float(two_sided_p_values(means)[0])
    return PairedComparison(difference, p_value, mean / spread if spread > 0 else 0.0)


def bca_interval(
    values: Sequence[float], *, rng: np.random.Generator, confidence: float = CONFIDENCE, resamples: int = 10_000
) -> Estimate:
    """The mean of independent values with its bias-corrected and accelerated bootstrap interval (Efron 1987).

    It is right for skewed scores, for which Student's interval is not. Equal values give an interval of zero width,
    one value gives none.

    Raises:
        ValueError: as in `mean_estimate`.

    >>> bca_interval([2.0, 2.0], rng=np.random.default_rng(0))
    Estimate(mean=2.0, low=2.0, high=2.0, n=2, effective_n=None)
    """
    _check_values(values)
    n, numbers = len(values), np.asarray(values, dtype=np.float64)
    mean = math.fsum(values) / n
    if n == 1:
        return Estimate(mean, None, None, n)
    if float(np.ptp(numbers)) == 0.0:
        return Estimate(mean, mean, mean, n)
    from scipy.special import ndtr, ndtri

    means = np.sort(_bootstrap_means(numbers, rng, resamples))
    below = (np.count_nonzero(means < mean) + 0.5 * np.count_nonzero(means == mean)) / resamples
    bias = float(ndtri(min(max(below, 0.5 / resamples), 1 - 0.5 / resamples)))
    left_out = (numbers.sum() - numbers) / (n - 1)
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
    differences: Sequence[float], *, rng: np.random.Generator, resamples: int = 10_000
) -> float:
    """Two-sided p-value of "the differences are symmetric about 0", by flips of their signs. It is never 0.

    Up to 12 clips are flipped in every way, which is exact. More are flipped at random, `resamples` times; then the
    p-value is (1 + hits) / (1 + resamples) (Phipson, Smyth 2010).

    Raises:
        ValueError: as in `mean_estimate`.

    >>> permutation_p_value([1.0, 2.0, 3.0, 4.0], rng=np.random.default_rng(0))
    0.125
    """
    _check_values(differences)
    numbers = np.asarray(differences, dtype=np.float64)
    observed = abs(math.fsum(differences))
    threshold = observed * (1 - 1e-12)  # Sums that differ only by rounding count as ties.
    if len(numbers) <= 12:
        codes = np.arange(2 ** len(numbers))[:, None]
        signs = 1.0 - 2.0 * ((codes >> np.arange(len(numbers))) & 1)
        return float(np.mean(np.abs(signs @ numbers) >= threshold))
    hits = 0
    for count in _batches(resamples, len(numbers)):
        signs = 1.0 - 2.0 * rng.integers(0, 2, (count, len(numbers)))
        hits += int(np.count_nonzero(np.abs(signs @ numbers) >= threshold))
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


def _check_values(values: Sequence[float]) -> None:
    if len(values) == 0:
        raise ValueError("a mean needs at least one value")
    if not all(math.isfinite(value) for value in values):
        raise ValueError("a value is not finite")


def paired_differences(a: Sequence[float], b: Sequence[float]) -> list[float]:
    """`a - b` for each clip.

    Raises:
        ValueError: the numbers of values differ.
    """
    if len(a) != len(b):
        raise ValueError(f"a paired comparison needs the same clips, not {len(a)} and {len(b)} values")
    return [float(x) - float(y) for x, y in zip(a, b, strict=True)]


def _bootstrap_means(values: NDArray[np.float64], rng: np.random.Generator, resamples: int) -> NDArray[np.float64]:
    means = []
    for count in _batches(resamples, len(values)):
        drawn = rng.integers(0, len(values), (count, len(values)))
        means.append(values[drawn].sum(axis=1) / len(values))
    return np.concatenate(means)


def _batches(resamples: int, width: int) -> list[int]:
    """The sizes of batches of resamples, each small enough for memory, which add up to `resamples`."""
    size = max(1, _BATCH_NUMBERS // width)
    return [min(size, resamples - start) for start in range(0, resamples, size)]
