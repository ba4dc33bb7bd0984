"""Means for new material: clips that share a noise, a prompt or a room count together.

`labels` has one sequence for each factor, with one label per clip. Values are in their metric's unit. Nothing here
uses random numbers, and no result depends on the order of clips or on the names of groups: sums of values are exact
to far below a rounding error, and sums over groups are added from the smallest value.

The variance is the cluster-robust one for several factors (Cameron, Gelbach, Miller 2011, eq. 2.8): with two
factors A and B it is V_A + V_B - V_AB. Three things are added, because groups are few and unequal:

- Residuals vary less than effects. The variance is divided by its expectation under a random effect for each group
  (Bell, McCaffrey 2002; Imbens, Kolesár 2016, who name this working model), with variance components from moments.
- The degrees of freedom are Satterthwaite's under the same model, between 1 and the clips less one.
- The variance is at least that of each factor alone, and at least the sum that the components give.

`benchmarks/calibration.py` measures intervals and tests.

Sources: Cameron, Gelbach, Miller, "Robust Inference with Multiway Clustering", J. Business & Economic Statistics
29(2), 2011; Bell, McCaffrey, "Bias Reduction in Standard Errors for Linear Regression with Multi-Stage Samples",
Survey Methodology 28(2), 2002; Imbens, Kolesár, "Robust Standard Errors in Small Samples", Review of Economics and
Statistics 98(4), 2016; Hall, "On the Removal of Skewness by Transformation", J. R. Statist. Soc. B 54, 1992;
Kish, "Survey Sampling", 1965 (design effect).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soundsright.core.groups import FEWEST_GROUPS
from soundsright.ranking.group_design import Floats, GroupDesign, Grouping, Labels, group_design

CONFIDENCE = 0.95
"""The confidence of intervals and of possible ranks, unless the caller says another."""

SKEWNESS_FACTOR = 2.5
"""The test enlarges the skewness: few groups show too little of it, and least where the mean looks good."""

_LEAST_SHARE = 0.05  # of the model's variance: below it, an expected sum of squares is too small to divide by


@dataclass(frozen=True)
class ClusteredMean:
    """A mean over `n` clips, with its standard error for new material and the degrees of freedom of that error.

    `effective_n` is the number of independent clips that would tell as much. `groups` is the number of groups of
    each factor. With fewer than three in one, `error` is infinite and `degrees` 0: nothing is known of new groups.
    """

    mean: float
    error: float
    degrees: float
    n: int
    effective_n: float
    groups: tuple[int, ...]

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
        """The ends of Student's interval; None if a factor has two groups or fewer."""
        if not self.degrees:
            return None
        from scipy.special import stdtrit

        half = float(stdtrit(self.degrees, 0.5 + confidence / 2)) * self.error
        return self.mean - half, self.mean + half


@dataclass(frozen=True, eq=False)
class ClusteredMeans:
    """`ClusteredMean` for many rows of values over the same clips: arrays with one number per row.

    `skewness` is the skewness of the mean itself, which falls with the number of groups.
    """

    mean: Floats
    error: Floats
    degrees: Floats
    skewness: Floats
    effective_n: Floats
    n: int
    groups: tuple[int, ...]

    def __getitem__(self, row: int) -> ClusteredMean:
        return ClusteredMean(
            float(self.mean[row]),
            float(self.error[row]),
            float(self.degrees[row]),
            self.n,
            float(self.effective_n[row]),
            self.groups,
        )


def clustered_mean(values: Sequence[float], labels: Labels) -> ClusteredMean:
    """The mean of these values with its standard error for new groups of each factor.

    Raises:
        ValueError: if there is no value, a value is not finite, or a factor has another number of labels.

    >>> own = clustered_mean([1.0, 1.0, 2.0, 2.0, 6.0, 6.0], [["rain", "rain", "wind", "wind", "train", "train"]])
    >>> own.mean, round(own.error, 6), round(own.degrees, 6), round(own.effective_n, 6)
    (3.0, 1.527525, 2.0, 2.4)
    """
    return clustered_means(np.asarray(values, dtype=np.float64)[np.newaxis], labels)[0]


def clustered_means(rows: Floats, labels: Labels) -> ClusteredMeans:
    """`clustered_mean` for each row of an array `(rows, clips)`.

    Raises:
        ValueError: as `clustered_mean`.
    """
    rows = np.asarray(rows, dtype=np.float64)
    design = group_design(labels, rows.shape[1])
    if not np.isfinite(rows).all():
        raise ValueError("a value is not finite")
    clips = rows.shape[1]
    # A power of two per row keeps squares and cubes within the range of numbers, and rounds nothing.
    scale = np.ldexp(1.0, np.clip(np.frexp(np.abs(rows).max(axis=1))[1], -1000, 1000))
    values = rows / scale[:, np.newaxis]
    mean = _exact_sums(values, None)[:, 0] / clips
    equal = np.ptp(values, axis=1) == 0
    mean = np.where(equal, values[:, 0], mean)
    if design.fewest_groups < FEWEST_GROUPS:
        nothing = np.zeros(len(rows))
        few = np.full(len(rows), float(design.fewest_groups))
        return ClusteredMeans(mean * scale, nothing + np.inf, nothing, nothing, few, clips, design.groups)
    centred = values - mean[:, np.newaxis]
    spread = _ordered_sum(centred**2)
    variance, degrees = _variance(centred, spread, design)
    error = np.sqrt(np.where(equal, 0.0, variance))
    with np.errstate(divide="ignore", invalid="ignore"):
        skewness = np.where(error > 0, _third_moment(centred, design) / error**3, 0.0)
        sample = np.where(error > 0, spread / (clips - 1) / error**2, float(clips))
    return ClusteredMeans(
        mean * scale, error * scale, degrees, skewness, np.clip(sample, 1.0, clips), clips, design.groups
    )


def clustered_p_values(differences: Floats, labels: Labels) -> NDArray[np.float64]:
    """One-sided p-values of each row's differences `(rows, clips)`: is the mean on new material above zero?

    The p-value is the larger of two: Student's t of the clustered mean, and the same with Hall's correction for
    `SKEWNESS_FACTOR` times the skewness. For an entry that is a little better on most noises and far worse on a
    few, Student's t alone is too sure. The p-value is at least 2^-G for G groups, which is the least of a test that
    flips whole groups. It is 1 if a factor has two groups or fewer. p-values are rounded to 12 significant digits,
    so that a decision does not depend on the last bits of a machine's linear algebra.

    Raises:
        ValueError: as `clustered_mean`.

    >>> clustered_p_values(np.array([[1.0, 1.0, 2.0, 2.0]]), [["rain", "rain", "wind", "wind"]]).tolist()
    [1.0]
    """
    from scipy.special import stdtr

    means = clustered_means(differences, labels)
    fewest = min(means.groups)
    if fewest < FEWEST_GROUPS:
        return np.ones(len(means.mean))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = means.mean / means.error
    t = np.where(np.isnan(t), 0.0, t)
    larger = np.maximum(stdtr(means.degrees, -t), stdtr(means.degrees, -_hall(t, SKEWNESS_FACTOR * means.skewness)))
    p = np.where(means.error > 0, larger, np.where(means.mean > 0, 0.0, 1.0))
    return _rounded(p, 2.0**-fewest)


def two_sided_p_values(means: ClusteredMeans, *, skewness_factor: float = 0.0) -> NDArray[np.float64]:
    """Two-sided p-values of "the mean is 0", by Student's t.

    The p-value is at least 2^(1 - G) for G groups, the least of a two-sided test that flips whole groups. With
    three to five groups it is thus above 0.05, whatever the 95 % interval says. With six or more it is at most 0.05
    exactly where 0 lies outside this interval, up to the rounding to 12 significant digits.

    With a `skewness_factor`, the p-value is the largest of these and the one with Hall's correction. It is 1 if a
    factor has two groups or fewer.
    """
    from scipy.special import stdtr

    if min(means.groups) < FEWEST_GROUPS:
        return np.ones(len(means.mean))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = means.mean / means.error
    t = np.where(np.isnan(t), 0.0, t)
    p: NDArray[np.float64] = 2.0 * stdtr(means.degrees, -np.abs(t))
    if skewness_factor and bool(np.any(means.error > 0)):
        finite = np.where(np.isfinite(t), t, 0.0)
        skewed = 2.0 * stdtr(means.degrees, -np.abs(_hall(finite, skewness_factor * means.skewness)))
        p = np.where(np.isfinite(t), np.maximum(p, skewed), p)
    return _rounded(p, 2.0 ** (1 - min(means.groups)))


def least_clustered_mean(
    differences: Floats, labels: Labels, levels: Sequence[float] | Floats
) -> NDArray[np.float64]:
    """For each row of differences `(rows, clips)`, the least mean whose p-value is at most the row's level.

    This is the inverse of `clustered_p_values`. It is infinite if no lead over so few groups reaches the level.

    >>> row, labels = np.array([[1.0, 2.0, 3.0, 4.0, -1.0, 2.0]]), [range(6)]
    >>> lead = least_clustered_mean(row, labels, [0.05])
    >>> round(float(clustered_p_values(row - row.mean() + lead, labels)[0]), 9)
    0.05
    """
    from scipy.special import stdtrit

    means = clustered_means(differences, labels)
    level = np.asarray(levels, dtype=np.float64)
    fewest = min(means.groups)
    if fewest < FEWEST_GROUPS:
        return np.full(len(means.mean), np.inf)
    t = stdtrit(means.degrees, 1.0 - level)
    lead = np.maximum(t, hall_inverse(t, SKEWNESS_FACTOR * means.skewness)) * means.error
    least: NDArray[np.float64] = np.where(means.error == 0, np.nextafter(0.0, 1.0), lead)
    return np.where(level < 2.0**-fewest, np.inf, least)


def _rounded(p_values: Floats, least: float) -> NDArray[np.float64]:
    """p-values to 12 significant digits, none below the least."""
    return np.maximum([float(f"{p:.12g}") for p in p_values], least)


def _hall(t: Floats, skewness: Floats) -> Floats:
    """Hall's monotone transformation of t (1992, eq. 2.3), for the skewness of the mean itself, at least t / 2.

    The transformation is nearly flat around t = -3 / skewness. Without the bound, a lead of eight standard errors
    could count as one of two.
    """
    corrected: Floats = t + skewness * t**2 / 3 + skewness**2 * t**3 / 27 + skewness / 6
    bounded: Floats = np.where(t > 0, np.maximum(corrected, t / 2), np.minimum(corrected, t / 2))
    return bounded


def hall_inverse(corrected: Floats, skewness: Floats) -> Floats:
    """The t that `_hall` takes to this value: it equals ((1 + k t / 3)³ - 1) / k + k / 6 within its bound."""
    rest = corrected - skewness / 6
    with np.errstate(divide="ignore", invalid="ignore"):
        exact = 3 * (np.cbrt(1 + skewness * rest) - 1) / skewness
    t = np.where(np.abs(skewness) < 1e-9, rest, exact)
    bounded: Floats = np.where(corrected > 0, np.minimum(t, 2 * corrected), np.maximum(t, 2 * corrected))
    return bounded


def _variance(centred: Floats, spread: Floats, design: GroupDesign) -> tuple[Floats, Floats]:
    """The variance of the mean and its degrees of freedom, for each row of centred values."""
    clips = centred.shape[1]
    squares = [_exact_sums(centred, split) ** 2 for split in design.splits]
    components = _components([_ordered_sum(_exact_sums(centred, f) ** 2) for f in design.factors], spread, design)
    modelled = _times(components, design.mean_variance[:, np.newaxis])[:, 0]
    expectation = _times(components, design.expectation[:, np.newaxis])[:, 0]
    spread_of_sum = np.sum(_times(components, design.covariance) * components, axis=1)
    expected = expectation / clips**2
    signed = sum(split.sign * _ordered_sum(own) for split, own in zip(design.splits, squares, strict=True))
    usable = expected > _LEAST_SHARE * modelled
    with np.errstate(divide="ignore", invalid="ignore"):
        robust = np.where(usable, signed / clips**2 * modelled / expected, 0.0)
        degrees = expectation**2 / spread_of_sum
    alone = [
        _ordered_sum(own / (1.0 - split.sizes / clips)) / clips**2
        for split, own in zip(design.splits, squares, strict=True)
        if len(split.sizes) > 1 and any(split is factor for factor in design.splits[: _single(design)])
    ]
    fewest = float(design.fewest_groups - 1)
    degrees = np.clip(np.where(np.isfinite(degrees), degrees, fewest), 1.0, clips - 1.0)
    return np.max([modelled, robust, *alone], axis=0), degrees


def _single(design: GroupDesign) -> int:
    """How many of the splits are factors: those before the first cells."""
    return next((i for i, split in enumerate(design.splits) if split.sign < 0), len(design.splits))


def _components(of_factors: Sequence[Floats], spread: Floats, design: GroupDesign) -> Floats:
    """Variance components `(rows, factors + 1)` from moments, none below 0; the clip's own is always above 0."""
    found = np.maximum(_times(np.stack([*of_factors, spread], axis=1), design.moments.T), 0.0)
    rest = (spread - _times(found[:, :-1], design.clip_moments[:-1, np.newaxis])[:, 0]) / design.clip_moments[-1]
    found[:, -1] = np.maximum(rest, 1e-12 * spread)
    return found


def _third_moment(centred: Floats, design: GroupDesign) -> Floats:
    """The third central moment of the mean, by inclusion-exclusion over the splits, for few groups made larger."""
    clips = centred.shape[1]
    total = np.zeros(len(centred))
    for split in design.splits:
        effective = clips**2 / float(np.sum(split.sizes**2))
        larger = effective**2 / ((effective - 1) * (effective - 2)) if effective > FEWEST_GROUPS else 4.5
        total += split.sign * larger * _ordered_sum(_exact_sums(centred, split) ** 3)
    return total / float(clips) ** 3


def _times(rows: Floats, matrix: Floats) -> Floats:
    """The matrix product, added column by column: the result of one row does not depend on the number of rows."""
    product = np.zeros((len(rows), matrix.shape[1]))
    for number, weights in enumerate(matrix):
        product += rows[:, [number]] * weights
    return product


def _ordered_sum(rows: Floats) -> Floats:
    """The sum of each row, added from the smallest number to the largest."""
    # NumPy groups the terms of a sum by their layout in memory, which depends on where the rows come from.
    total: Floats = np.ascontiguousarray(np.sort(rows, axis=1)).sum(axis=1)
    return total


def _exact_sums(rows: Floats, split: Grouping | None) -> Floats:
    """Sums of each row over the groups of a split, or over all clips, that do not depend on the order of clips.

    Each number is cut into two parts of few enough bits that every partial sum is exact (Demmel, Nguyen, "Fast
    Reproducible Floating-Point Summation", ARITH 2013). What is below the second part is dropped: it is less than
    2^-60 of the row's largest number.
    """
    clips = rows.shape[1]
    bits = 51 - math.ceil(math.log2(clips + 1))
    unit = np.ldexp(1.0, np.frexp(np.abs(rows).max(axis=1))[1] - bits)[:, np.newaxis]
    unit = np.maximum(unit, np.finfo(np.float64).tiny)
    high = np.rint(rows / unit) * unit
    finer = np.maximum(unit * 2.0**-bits, np.finfo(np.float64).tiny)
    low = np.rint((rows - high) / finer) * finer
    if split is None:
        total: Floats = np.sum(high, axis=1, keepdims=True) + np.sum(low, axis=1, keepdims=True)
        return total
    return split.sums(high) + split.sums(low)
