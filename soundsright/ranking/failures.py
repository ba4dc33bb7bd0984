"""Failures that a set was too small to show.

A challenger that is better on most clips and fails on a few can be no better on average. If none of the few is in
the set, no test of the scores can know: with failures on 2 % of clips, 30 clips show none in 55 % of the rounds. So
failures have a test of their own. It asks whether an entry that fails often enough to lose its lead would show so
few failures.
"""

from __future__ import annotations


def unseen_failures(failed: int, clips: int, alpha: float) -> float:
    """The part of new clips that can fail beyond the part that was seen, at the level `alpha`.

    It is the exact one-sided upper bound of Clopper and Pearson (Biometrika 26, 1934), less failed / clips.

    >>> round(unseen_failures(0, 200, alpha=0.1), 5)  # 1 - 0.1 ** (1 / 200)
    0.01145
    >>> unseen_failures(3, 3, alpha=0.1)
    0.0
    """
    if failed >= clips:
        return 0.0
    from scipy.special import betaincinv

    return float(betaincinv(failed + 1, clips - failed, 1.0 - alpha)) - failed / clips


def failure_lead(floor: float | None, champion_mean: float, unseen: float) -> float:
    """The lead over the champion that outweighs failures on this part of the clips, if each scores the floor.

    Without a floor, the cost of a failure is not known, and no lead is needed.

    >>> failure_lead(1.0, 2.0, unseen=0.01)
    0.01
    """
    return 0.0 if floor is None else max(champion_mean - floor, 0.0) * unseen
