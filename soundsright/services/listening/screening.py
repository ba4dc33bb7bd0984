"""The rules that exclude raters, and the result over the others.

The rules follow the post-screening of ITU-R BS.1534-3 (hidden reference and anchor), the questions with a known
answer of ITU-T P.808, and Report ITU-R BS.2300-0 (reliability and discrimination of assessors, compared with chance
by permutation of their own scores). A mean has a 95 % interval that is clustered by rater, because the votes of one
rater are not independent.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from soundsright.core.results import Estimate
from soundsright.ranking import mean_estimate
from soundsright.services.listening.plan import (
    ANCHOR,
    LOW_ANCHOR,
    REFERENCE,
    ListeningResult,
    ListeningTest,
    Vote,
)

CHANCE = 0.05
_MUSHRA_GOOD, _MUSHRA_SHARE = 90.0, 0.15
_MAX_ORDERS = 5_040
_ROUNDING = 1e-9


def exclusions(test: ListeningTest, votes: Sequence[Vote]) -> dict[str, str]:
    """The raters whose votes do not count, with the reason.

    All methods: the rater gave the same score to everything, did not finish, or answered repeated questions no more
    alike than chance would (p > 0.05). `mushra` (BS.1534-3): the rater scored the hidden reference below 90, or the
    low-passed anchor above 90, on more than 15 % of the clips. `acr` and `ccr`: the rater did not score the clean
    signal above the input on average, or not more clearly than chance would (p > 0.05). `ccr` also: the rater heard
    a difference of more than one step between the input and itself on average.

    Plans without repeated questions are of old versions. The two rules about chance do not apply to them.
    """
    excluded: dict[str, str] = {}
    by_rater: dict[str, list[Vote]] = {}
    for vote in votes:
        by_rater.setdefault(vote.rater, []).append(vote)
    for rater, own in by_rater.items():
        if reason := _reason(test, own):
            excluded[rater] = reason
    return excluded


def _reason(test: ListeningTest, own: Sequence[Vote]) -> str | None:
    """Why a rater does not count, from all votes of the rater."""
    first, again = _scores(own, repeat=False), _scores(own, repeat=True)
    if missing := unanswered(test, own):
        expected = len(first) + len(again) + missing
        return f"answered {expected - missing} of {expected}"
    # Compare sizes only: in `ccr`, the order of the recordings reverses the sign.
    if len({abs(score) for score in (*first.values(), *again.values())}) == 1:
        return "gave one score to everything"
    reason = _reason_by_anchors(test, first)
    if reason is None and test.repeats and agreement_p_value(test, first, again) > _limit(test):
        reason = "did not answer repeated questions more alike than chance would"
    return reason


def unanswered(test: ListeningTest, own: Sequence[Vote]) -> int:
    """The number of scores that a rater has not given yet, from all votes of the rater."""
    repeated = test.repeats * (len(test.conditions) if test.method == "mushra" else 1)
    first = len(test.clips) * len(test.conditions) - len(_scores(own, repeat=False))
    return first + max(0, repeated - len(_scores(own, repeat=True)))


def _limit(test: ListeningTest) -> float:
    """The p-value above which repeated answers agree by chance: `CHANCE`, or that of full agreement if larger."""
    if test.method == "mushra":
        orders = math.prod([math.factorial(len(test.conditions) - 1)] * test.repeats)
    else:
        orders = math.factorial(test.repeats)
    return CHANCE if orders >= 0.5 / CHANCE else 0.5 / orders


def _scores(own: Sequence[Vote], *, repeat: bool) -> dict[tuple[str, str], float]:
    return {(vote.clip, vote.condition): vote.score for vote in own if vote.repeat is repeat}


def _reason_by_anchors(test: ListeningTest, first: Mapping[tuple[str, str], float]) -> str | None:
    scores = {c: [first[clip, c] for clip in test.clips] for c in test.conditions}
    if test.method == "mushra":
        if _share(score < _MUSHRA_GOOD for score in scores[REFERENCE]) > _MUSHRA_SHARE:
            return "scored the hidden reference below 90 too often"
        if _share(score > _MUSHRA_GOOD for score in scores[LOW_ANCHOR]) > _MUSHRA_SHARE:
            return "scored the low-passed anchor above 90 too often"
        return None
    if fmean(scores[REFERENCE]) <= fmean(scores[ANCHOR]):
        return "did not score the clean signal above the input"
    if test.method == "ccr" and fmean(abs(score) for score in scores[ANCHOR]) > 1:
        return "heard a difference between the input and itself"
    differences = [a - b for a, b in zip(scores[REFERENCE], scores[ANCHOR], strict=True)]
    # With three clips or fewer, even the clearest answer is not surer than chance.
    if test.repeats and sign_flip_p_value(differences, test.seed) > max(CHANCE, 0.5 ** (len(differences) + 1)):
        return "did not score the clean signal above the input more clearly than chance would"
    return None


def sign_flip_p_value(differences: Sequence[float], seed: int) -> float:
    """The chance of a mean this large if the signs of the differences were random (mid-p: ties count half)."""
    signs = _signs(len(differences), seed)
    return _mid_p(-(signs @ np.abs(np.asarray(differences, dtype=np.float64))), -sum(differences))


def agreement_p_value(
    test: ListeningTest, first: Mapping[tuple[str, str], float], again: Mapping[tuple[str, str], float]
) -> float:
    """The chance that the answers to repeated questions are this much alike if they were about random questions.

    The statistic is the mean difference between the two scores of a question, without its sign. In `mushra`, the
    second scores change places within a clip; in the other methods, among all repeated questions. The hidden
    reference of `mushra` is left out, because it is known from the open one. Mid-p: ties count half.
    """
    keys = sorted(key for key in again if not (test.method == "mushra" and key[1] == REFERENCE))
    if test.method == "mushra":
        sizes = tuple(sum(key[0] == clip for key in keys) for clip in sorted({key[0] for key in keys}))
    else:
        sizes = (len(keys),)
    before, after = (np.array([scores[key] for key in keys]) for scores in (first, again))
    alike = np.abs(before - after[_orders(sizes, test.seed)]).sum(axis=1)
    return _mid_p(alike, float(np.abs(before - after).sum()))


def _mid_p(values: NDArray[np.float64], observed: float) -> float:
    """The share of values below the observed one, and half of those that equal it."""
    ties = np.abs(values - observed) <= _ROUNDING
    return float(np.mean((values < observed) & ~ties) + 0.5 * np.mean(ties))


@lru_cache(maxsize=16)
def _signs(count: int, seed: int) -> NDArray[np.float64]:
    """All signs of that many numbers, or random ones if there are too many."""
    if 2**count <= _MAX_ORDERS:
        return np.array(list(itertools.product((1.0, -1.0), repeat=count)))
    return np.random.default_rng(seed).choice((1.0, -1.0), size=(_MAX_ORDERS, count))


@lru_cache(maxsize=16)
def _orders(sizes: tuple[int, ...], seed: int) -> NDArray[np.int64]:
    """All orders of neighbouring groups of these sizes, one per row, or random ones if there are too many."""
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    groups = list(zip(starts, sizes, strict=True))
    if math.prod(math.factorial(size) for size in sizes) <= _MAX_ORDERS:
        whole = itertools.product(*(itertools.permutations(range(s, s + n)) for s, n in groups))
        return np.array([list(itertools.chain(*parts)) for parts in whole], dtype=np.int64)
    rng = np.random.default_rng(seed)
    rows = np.tile(np.arange(sum(sizes)), (_MAX_ORDERS, 1))
    return np.hstack([rng.permuted(rows[:, s : s + n], axis=1) for s, n in groups])


def listening_result(test: ListeningTest, votes: Sequence[Vote]) -> ListeningResult:
    """Means over the raters whose votes count, with intervals clustered by rater. Repeated answers do not count."""
    excluded = exclusions(test, votes)
    counted = [vote for vote in votes if vote.rater not in excluded and not vote.repeat]
    estimates: dict[str, Estimate] = {}
    numbers: dict[str, int] = {}
    for condition in test.conditions:
        own = [vote for vote in counted if vote.condition == condition]
        numbers[condition] = len(own)
        if own:
            estimates[condition] = mean_estimate([v.score for v in own], [[v.rater for v in own]])
    return ListeningResult(estimates, numbers, len({vote.rater for vote in votes}), excluded)


def _share(flags: Iterable[bool]) -> float:
    values = list(flags)
    return sum(values) / len(values)
