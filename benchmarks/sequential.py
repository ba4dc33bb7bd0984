"""A sequential test: a comparison of two entries that can be looked at after every clip.

Differences are challenger minus champion, per clip, in the metric's unit, higher is better. The clips come in an
order that neither entry chose. No service uses this test; `benchmarks/dethrone.py` measures its errors.

The null hypothesis is that differences are symmetric about a centre. If neither entry is better, the centre is
zero, because swapping the entries changes nothing. Given the size of a difference, its sign is then a fair coin. A
gambler who starts with a capital of 1 and bets on the signs cannot expect to gain. The capital ever reaches 1 /
alpha with probability at most alpha (Ville's inequality). So the comparison can stop at the first clip where that
happens.

The bet on a difference x is tanh(k x), the best bet against a normal alternative. k mixes several effect sizes,
relative to the mean size of the differences so far. Sources: Ramdas, Grünwald, Vovk, Shafer, "Game-Theoretic
Statistics and Safe Anytime-Valid Inference", Statistical Science 38(4), 2023; Ramdas, Ruf, Larsson, Koolen,
"Admissible Anytime-Valid Sequential Inference Must Rely on Nonnegative Martingales", 2020 (symmetric
distributions).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

EFFECT_SIZES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
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
    """The verdict of a comparison, the number of clips that it took, and the evidence at that clip.

    `evidence_better` and `evidence_hopeless` are the gamblers' capitals. A capital of 1 / alpha decides.
    """

    verdict: Verdict
    clips: int
    evidence_better: float
    evidence_hopeless: float


def sequential_comparison(
    differences: Sequence[float], *, margin: float = 0.0, alpha: float = ALPHA, smallest: int = 10
) -> SequentialResult:
    """The first verdict over the differences in their order, or `OPEN` after all of them.

    `BETTER`: the capital against "symmetric about 0" reaches 1 / alpha on the challenger's side, and the mean so
    far is at least the margin. `HOPELESS`: the capital against "symmetric about the margin" reaches 1 / alpha on
    the champion's side. There is no verdict before `smallest` clips. Clips of one speaker are not independent, so
    give their mean as one difference.

    Raises:
        ValueError: if a difference is not finite, or alpha is not in (0, 1).

    >>> sequential_comparison([0.2, 0.1, 0.3, 0.2] * 10).verdict
    <Verdict.BETTER: 'better'>
    >>> sequential_comparison([-0.2, -0.1, -0.3, -0.2] * 10, margin=0.05).verdict
    <Verdict.HOPELESS: 'hopeless'>
    """
    values = np.asarray(differences, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("a difference is not finite")
    if values.size == 0:
        return SequentialResult(Verdict.OPEN, 0, 1.0, 1.0)
    better, hopeless = log_evidences(values, margin)
    stops = first_verdicts(values[np.newaxis], margin=margin, alpha=alpha, smallest=smallest)
    at = int(stops.clips[0])
    verdict = Verdict.BETTER if stops.better[0] else Verdict.HOPELESS if stops.hopeless[0] else Verdict.OPEN
    return SequentialResult(verdict, at, _capital(better[at - 1]), _capital(hopeless[at - 1]))


@dataclass(frozen=True, eq=False)
class FirstVerdicts:
    """For many comparisons: the verdict of each and the number of clips that it took. All clips if it is open."""

    better: NDArray[np.bool_]
    hopeless: NDArray[np.bool_]
    clips: NDArray[np.int64]


def first_verdicts(
    differences: NDArray[np.float64], *, margin: float = 0.0, alpha: float = ALPHA, smallest: int = 10
) -> FirstVerdicts:
    """`sequential_comparison` for each row of an array `(comparisons, clips)`.

    Raises:
        ValueError: if alpha is not in (0, 1).
    """
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha {alpha} is not between 0 and 1")
    clips = differences.shape[-1]
    threshold = round(-math.log(alpha), _DIGITS)
    better, hopeless = log_evidences(differences, margin)
    means = np.cumsum(differences, axis=-1) / np.arange(1, clips + 1)
    late = np.arange(1, clips + 1) >= smallest
    is_better = (np.round(better, _DIGITS) >= threshold) & (np.round(means - margin, 12) >= 0.0) & late
    is_hopeless = (np.round(hopeless, _DIGITS) >= threshold) & late
    decided = is_better | is_hopeless
    any_decided = decided.any(axis=-1)
    first = np.where(any_decided, decided.argmax(axis=-1), clips - 1)
    rows = np.arange(len(differences))
    won = is_better[rows, first]
    return FirstVerdicts(won, is_hopeless[rows, first] & ~won, first + 1)


def log_evidences(
    differences: NDArray[np.float64], margin: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The logarithms of both capitals after each clip (last axis): better than 0, and worse than the margin."""
    return _log_capital(differences), _log_capital(margin - differences)


def _log_capital(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The logarithm of the capital of bets that signs are positive, averaged over the effect sizes.

    A stake depends on sizes up to this clip's, and not on its sign. That keeps the game fair.
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


def _capital(log_capital: float) -> float:
    return math.exp(min(float(log_capital), 700.0))
