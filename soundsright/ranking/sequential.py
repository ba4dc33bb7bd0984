"""A sequential test: a comparison of two entries that can be looked at as often as one likes.

Differences are challenger minus champion, per clip, in the metric's unit, higher is better. The clips come in an
order that neither entry chose. Clips that share a noise recording are one witness, not several: a model that is
good at one noise is good at all clips with it. So the test makes one bet per cluster, on the mean of its clips.

The null hypothesis is that these means are symmetric about a centre. If neither entry is better, the centre is
zero, because swapping the entries changes nothing. Given the size of a difference, its sign is then a fair coin. A
gambler who starts with a capital of 1 and bets on the signs cannot expect to gain. The capital ever reaches 1 /
alpha with probability at most alpha (Ville's inequality). So the comparison can stop at the first cluster where
that happens.

Every cluster counts the same, whatever its number of clips. The spread between noises is much larger than the
spread that more clips of one noise would average out, so a weight by size would waste evidence, and the test would
rest on the largest cluster.

The bet on a difference x is tanh(k x), the best bet against a normal alternative. k mixes several effect sizes,
relative to the mean size of the differences so far. Sources: Ramdas, Grünwald, Vovk, Shafer, "Game-Theoretic
Statistics and Safe Anytime-Valid Inference", Statistical Science 38(4), 2023; Ramdas, Ruf, Larsson, Koolen,
"Admissible Anytime-Valid Sequential Inference Must Rely on Nonnegative Martingales", 2020 (symmetric
distributions).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

EFFECT_SIZES = (0.1, 0.3, 1.0, 3.0)
"""The alternatives that the gambler bets on, with equal stakes: mean / standard deviation."""

ALPHA = 0.01

_MAGNITUDE_TO_DEVIATION = math.sqrt(math.pi / 2)  # of a normal distribution
_DIGITS = 9  # decimals of the evidence, so that rounding errors decide nothing


class Verdict(StrEnum):
    BETTER = "better"
    HOPELESS = "hopeless"
    OPEN = "open"


@dataclass(frozen=True)
class SequentialResult:
    """The verdict of a comparison, the numbers of clips and of witnesses that it took, and the evidence there.

    `evidence_better` and `evidence_hopeless` are the gamblers' capitals. A capital of 1 / alpha decides.
    """

    verdict: Verdict
    clips: int
    witnesses: int
    evidence_better: float
    evidence_hopeless: float


def sequential_comparison(
    differences: Sequence[float],
    *,
    clusters: Sequence[Hashable] | None = None,
    margin: float = 0.0,
    alpha: float = ALPHA,
    alpha_better: float | None = None,
    smallest: int = 10,
) -> SequentialResult:
    """The first verdict over the differences in their order, or `OPEN` after all of them.

    `BETTER`: the capital against "symmetric about 0" reaches 1 / `alpha_better` on the challenger's side, and the
    mean so far is at least the margin. `HOPELESS`: the capital against "symmetric about the margin" reaches 1 /
    `alpha` on the champion's side. `alpha_better` is `alpha` by default. There is no verdict before `smallest`
    witnesses. `clusters` has a label per clip; the clips of a cluster follow each other, and give one witness.

    Raises:
        ValueError: if a difference is not finite, an alpha is not in (0, 1), or a cluster is in two pieces.

    >>> sequential_comparison([0.2, 0.1, 0.3, 0.2] * 10).verdict
    <Verdict.BETTER: 'better'>
    >>> sequential_comparison([-0.2, -0.1, -0.3, -0.2] * 10, margin=0.05).verdict
    <Verdict.HOPELESS: 'hopeless'>
    """
    values = np.asarray(differences, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("a difference is not finite")
    if values.size == 0:
        return SequentialResult(Verdict.OPEN, 0, 0, 1.0, 1.0)
    witnesses, sizes = cluster_means(values, clusters)
    better, hopeless = log_evidences(witnesses, margin)
    stops = first_verdicts(
        witnesses[np.newaxis],
        margin=margin,
        alpha=alpha,
        alpha_better=alpha_better,
        smallest=smallest,
        sizes=sizes,
    )
    at = int(stops.witnesses[0])
    verdict = Verdict.BETTER if stops.better[0] else Verdict.HOPELESS if stops.hopeless[0] else Verdict.OPEN
    return SequentialResult(
        verdict, int(sizes[:at].sum()), at, capital_of(better[at - 1]), capital_of(hopeless[at - 1])
    )


def cluster_means(
    values: NDArray[np.float64], clusters: Sequence[Hashable] | None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The mean of each cluster (last axis) and its number of clips, in their order. Without clusters, the values.

    Raises:
        ValueError: the clips of a cluster do not follow each other, or the numbers of labels and clips differ.

    >>> cluster_means(np.array([1.0, 3.0, 5.0]), ["rain", "rain", "wind"])
    (array([2., 5.]), array([2, 1]))
    """
    clips = values.shape[-1]
    if clusters is None:
        return values, np.ones(clips, dtype=np.int64)
    if len(clusters) != clips:
        raise ValueError(f"{len(clusters)} cluster labels for {clips} clips")
    starts = [i for i, label in enumerate(clusters) if i == 0 or label != clusters[i - 1]]
    if len({clusters[start] for start in starts}) != len(starts):
        raise ValueError("the clips of a cluster do not follow each other")
    ends = [*starts[1:], clips]
    sizes = np.array(ends, dtype=np.int64) - np.array(starts, dtype=np.int64)
    means: NDArray[np.float64] = np.add.reduceat(values, starts, axis=-1) / sizes
    return means, sizes


@dataclass(frozen=True, eq=False)
class FirstVerdicts:
    """For many comparisons: each verdict and the number of witnesses that it took. All witnesses if it is open."""

    better: NDArray[np.bool_]
    hopeless: NDArray[np.bool_]
    witnesses: NDArray[np.int64]


def first_verdicts(
    witnesses: NDArray[np.float64],
    *,
    margin: float = 0.0,
    alpha: float = ALPHA,
    alpha_better: float | None = None,
    smallest: int = 10,
    sizes: NDArray[np.int64] | None = None,
) -> FirstVerdicts:
    """`sequential_comparison` for each row of an array `(comparisons, witnesses)`.

    `sizes` are the clips of each witness, by which the mean so far is weighted; None means one each.

    Raises:
        ValueError: if an alpha is not in (0, 1).
    """
    for level in (alpha, alpha if alpha_better is None else alpha_better):
        if not 0.0 < level < 1.0:
            raise ValueError(f"alpha {level} is not between 0 and 1")
    count = witnesses.shape[-1]
    weights = np.ones(count) if sizes is None else sizes.astype(np.float64)
    better, hopeless = log_evidences(witnesses, margin)
    means = np.cumsum(witnesses * weights, axis=-1) / np.cumsum(weights)
    late = np.arange(1, count + 1) >= smallest
    is_better = decides(better, alpha if alpha_better is None else alpha_better)
    is_better &= (np.round(means - margin, 12) >= 0.0) & late
    is_hopeless = decides(hopeless, alpha) & late
    decided = is_better | is_hopeless
    first = np.where(decided.any(axis=-1), decided.argmax(axis=-1), count - 1)
    rows = np.arange(len(witnesses))
    won = is_better[rows, first]
    return FirstVerdicts(won, is_hopeless[rows, first] & ~won, first + 1)


def decides(log_capital: NDArray[np.float64], alpha: float) -> NDArray[np.bool_]:
    """Whether each capital reaches 1 / alpha. It is rounded first, so that rounding errors decide nothing."""
    threshold = round(-math.log(alpha), _DIGITS)
    reached: NDArray[np.bool_] = np.round(log_capital, _DIGITS) >= threshold
    return reached


def log_evidences(witnesses: NDArray[np.float64], margin: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The logarithms of both capitals after each witness (last axis): better than 0, and worse than the margin."""
    return _log_capital(witnesses), _log_capital(margin - witnesses)


def _log_capital(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The logarithm of the capital of bets that signs are positive, averaged over the effect sizes.

    A stake depends on sizes up to this one's, and not on its sign. That keeps the game fair.
    """
    count = np.arange(1, x.shape[-1] + 1)
    scale = np.cumsum(np.abs(x), axis=-1) / count * _MAGNITUDE_TO_DEVIATION
    standard = np.divide(x, scale, out=np.zeros_like(x), where=scale > 0)
    # log(1 + tanh z), in a form that stays finite for a bet that is almost lost
    paths = np.stack(
        [np.cumsum(math.log(2) - np.logaddexp(0.0, -2 * size * standard), axis=-1) for size in EFFECT_SIZES]
    )
    top = paths.max(axis=0)
    capital: NDArray[np.float64] = top + np.log(np.exp(paths - top).mean(axis=0))
    return capital


def capital_of(log_capital: float) -> float:
    """The capital itself, which is finite."""
    return math.exp(min(float(log_capital), 700.0))
