"""Failures that a set was too small to show.

A challenger that is better on most clips and fails on a few can be no better on average. If none of the few is in
the set, no test of the scores can know: with failures on 2 % of clips, 30 clips show none in 55 % of the rounds. So
a lead must survive one more failed clip, or as many as the ruleset says.

That excludes challengers that fail much more often than on 1 of n clips, where n is the size of the set. If a
challenger fails about that often, no clip fails in 37 % of the rounds, and it can still win those.
"""

from __future__ import annotations


def unseen_failures(failures: int, clips: int) -> float:
    """That many failed clips as a part of the set; 0 on a set without clips.

    >>> unseen_failures(1, 200)
    0.005
    """
    return failures / clips if clips else 0.0


def failure_lead(floor: float | None, champion_mean: float, unseen: float) -> float:
    """The lead over the champion that survives failures on this part of the clips, if each scores the floor.

    If a set of n clips had one more, on which the challenger scores the floor and the champion its mean C, then the
    challenger's mean m would have to be at least C over n + 1 clips: n m + floor >= (n + 1) C. So the lead m - C is
    at least (C - floor) / n.

    Without a floor, the cost of a failure is not known, and no lead is needed.

    >>> failure_lead(1.0, 2.0, unseen=0.01)
    0.01
    """
    return 0.0 if floor is None else max(champion_mean - floor, 0.0) * unseen
