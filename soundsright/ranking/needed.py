"""The mean with which an entry would have won, if all other entries had stayed the same.

Scores are in the metric's unit, higher is better. The computation adds the same amount to the entry's score of
every clip, so its differences keep their spread and their skewness.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from soundsright.core.rulesets import Ruleset
from soundsright.ranking.awards import Award, Contender, Title, is_able, margin_of
from soundsright.ranking.failures import failure_lead
from soundsright.ranking.scores import EXACT_UP_TO_CLIPS, Scores, superiority_p_values

_HALVINGS = 40


def least_mean_difference(differences: Scores, levels: Sequence[float]) -> NDArray[np.float64]:
    """For each row of paired differences `(rows, clips)`, the least mean whose p-value is at most the row's level.

    This is the inverse of `superiority_p_values`. It is infinite if no lead over so few clips reaches the level.

    >>> lead = least_mean_difference(np.array([[1.0, 2.0, 3.0, 4.0, -1.0]]), [0.05])
    >>> round(float(lead[0]), 3)
    2.8
    """
    if differences.shape[1] > EXACT_UP_TO_CLIPS:
        return least_mean_by_hall(differences, levels)
    level = np.asarray(levels, dtype=np.float64)
    mean = differences.mean(axis=1)
    spread = np.ptp(differences, axis=1)
    centred = differences - mean[:, None]
    # A lead of the whole spread makes every difference positive. No lead is surer than that.
    low, high = -spread, spread + 1e-9 * (1.0 + np.abs(mean))
    reached = superiority_p_values(centred + high[:, None]) <= level
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        enough = superiority_p_values(centred + middle[:, None]) <= level
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.where(reached, high, np.inf)


def least_mean_by_hall(differences: Scores, levels: Sequence[float]) -> NDArray[np.float64]:
    """The inverse of `p_values_by_hall`, for any number of clips."""
    from scipy.special import stdtrit

    clips = differences.shape[1]
    if clips < 2:
        return np.full(len(differences), np.inf)
    level = np.asarray(levels, dtype=np.float64)
    spread = np.ptp(differences, axis=1)
    centred = differences - differences.mean(axis=1)[:, None]
    variance = (centred**2).mean(axis=1)
    sd = np.sqrt(variance)
    t = stdtrit(clips - 1, 1.0 - level)
    with np.errstate(divide="ignore", invalid="ignore"):
        skewness = np.where(sd > 0, (centred**3).mean(axis=1) / variance**1.5, 0.0)
        # Hall's w + s w²/3 + s² w³/27 equals ((1 + s w / 3)³ - 1) / s. Solve it for w.
        by_hall = t / math.sqrt(clips) - skewness / (6 * clips)
        w = np.where(np.abs(skewness) < 1e-9, by_hall, 3 * (np.cbrt(1 + skewness * by_hall) - 1) / skewness)
    lead = np.maximum(t, w * math.sqrt(clips)) * sd / math.sqrt(clips - 1)
    least: NDArray[np.float64] = np.where(spread == 0, np.nextafter(0.0, 1.0), lead)
    return np.where(level < 2.0**-clips, np.inf, least)


def holm_levels(p_values: Sequence[float | None], alpha: float) -> list[float]:
    """The unadjusted p-value that each comparison needs to pass, if the other comparisons stay the same.

    `p_values` are adjusted by Holm's rule. If k of the other m - 1 comparisons pass, the level is alpha / (m - k).

    >>> holm_levels([0.01, 0.2, 0.3], alpha=0.05)
    [0.016666666666666666, 0.025, 0.025]
    """
    passed = [p is not None and p <= alpha for p in p_values]
    return [alpha / max(1, len(passed) - (sum(passed) - has_passed)) for has_passed in passed]


def needed_means(
    ruleset: Ruleset,
    metric: str,
    contenders: Sequence[Contender],
    title: Title | None,
    result: Award,
    *,
    over_champion: Sequence[float] | None,
    over_unprocessed: Sequence[float] | None,
    at_block: int,
) -> list[float | None]:
    """The mean with which each entry would have taken the prize. None for the winner, or if no mean would.

    `over_champion` and `over_unprocessed` are the means with which each entry passes the paired test against the
    champion and against the unprocessed input. They are None without such a test on this metric's scores.
    For a champion that lost, the result is the mean that would have kept the title by the margin, without the test.
    """
    winner = next((c for c in contenders if c.hotkey == result.winner), None)
    champion = next((c for c in contenders if title is not None and c.hotkey == title.hotkey), None)
    needed: list[float | None] = []
    for row, contender in enumerate(contenders):
        if contender is winner or contender.mean is None:
            needed.append(None)
            continue
        bounds = [result.needed.get(contender.hotkey, -math.inf)]
        if winner is not None and winner.mean is not None and winner is not champion:
            could_defend = contender is champion and is_able(ruleset, contender)
            bounds.append(
                _keeping_mean(ruleset, metric, title, winner, at_block)
                if could_defend and title is not None
                else winner.mean
            )
        if over_champion is not None and contender is not champion:
            bounds.append(over_champion[row])
        if contender.loss is not None:
            bounds.append(math.inf)
        elif over_unprocessed is not None:
            bounds.append(over_unprocessed[row])
        elif ruleset.must_beat_unprocessed and not contender.beats_unprocessed:
            bounds.append(math.inf)  # It falls short on another metric, so no mean on this metric would help.
        most = max(bounds)
        needed.append(most if math.isfinite(most) else None)
    return needed


def mean_to_win(
    ruleset: Ruleset,
    metric: str,
    contenders: Sequence[Contender],
    title: Title | None,
    result: Award,
    *,
    unprocessed_mean: float | None,
    at_block: int,
    unseen_failures: float = 0.0,
) -> float | None:
    """The mean that a further entry, such as a refused one, would have needed before any test.

    None means that any mean would have been enough. `unseen_failures` is as in `Contender`.
    """
    winner = next((c for c in contenders if c.hotkey == result.winner), None)
    if winner is None or winner.mean is None:
        return unprocessed_mean if ruleset.must_beat_unprocessed else None
    if title is not None and title.hotkey == winner.hotkey and title.took_part:
        margin = margin_of(ruleset, metric, title, winner.mean, at_block, at_block)
        return winner.mean + max(margin, failure_lead(title.floor, winner.mean, unseen_failures))
    return winner.mean


def _keeping_mean(ruleset: Ruleset, metric: str, title: Title, winner: Contender, at_block: int) -> float:
    """The champion's mean at which the winner would just have missed the mean that it needed."""
    assert winner.mean is not None
    if ruleset.additive_db is not None and metric in ruleset.additive_metrics:
        by_margin = winner.mean - margin_of(ruleset, metric, title, winner.mean, winner.block, at_block)
    else:
        part = margin_of(ruleset, metric, title, 1.0, winner.block, at_block)
        by_margin = winner.mean / (1 + part if winner.mean >= 0 else 1 - part)
    if title.floor is None or not winner.unseen_failures:
        return by_margin
    # The lead for failures is a part of the distance to the floor: solve m + part (m - floor) = winner.mean.
    by_failures = (winner.mean + winner.unseen_failures * title.floor) / (1 + winner.unseen_failures)
    return min(by_margin, by_failures)
