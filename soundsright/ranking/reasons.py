"""The reason for an entry's share, as data. Means are in the metric's unit, higher is better."""

from __future__ import annotations

from enum import StrEnum

from soundsright.core.rulesets import Ruleset
from soundsright.ranking.awards import Award, Contender, is_able, keeper_of_share, paid_by, passes


class ShareReason(StrEnum):
    """The reason for an entry's share of a metric's prize."""

    TAKES_PRIZE = "takes_prize"
    NO_CLIPS = "no_clips"
    """It has no usable mean."""
    TOO_WEAK = "too_weak"
    """It cannot be paid: it does not beat the unprocessed input, or loses on another metric."""
    LEAD_UNSURE = "lead_unsure"
    """It reached the margin over the champion, but not the test."""
    TOO_FEW_CLIPS = "too_few_clips"
    """Over so few clips, no mean would have been certain enough."""
    MEAN_TOO_LOW = "mean_too_low"
    CAME_LATER = "came_later"
    """An earlier entry reached the same mean."""
    SUSPECTED_COPY = "suspected_copy"
    """It did not win, and the earlier entry that it is suspected to copy keeps the share of both."""


def share_reason(ruleset: Ruleset, contender: Contender, award: Award, needed: float | None) -> ShareReason:
    """The reason for the entry's share. `needed` is the mean that would have taken the prize, if any would."""
    if contender.hotkey == award.winner:
        return ShareReason.TAKES_PRIZE
    if contender.mean is None:
        return ShareReason.NO_CLIPS
    if not is_able(ruleset, contender):
        return ShareReason.TOO_WEAK
    if keeper_of_share(ruleset, contender, paid_by(ruleset, award)) is not None:
        return ShareReason.SUSPECTED_COPY
    threshold = award.needed.get(contender.hotkey)
    tested = contender.p_value is not None and ruleset.alpha is not None
    reached = award.defender is not None and threshold is not None and contender.mean >= threshold
    if reached and tested and not passes(ruleset, contender):
        return ShareReason.LEAD_UNSURE
    if needed is None:
        return ShareReason.TOO_FEW_CLIPS
    return ShareReason.MEAN_TOO_LOW if contender.mean < needed else ShareReason.CAME_LATER
