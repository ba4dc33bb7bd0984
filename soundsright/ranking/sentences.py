"""Decisions in words: the one place where a prize and a share become sentences.

Means are in the metric's unit, higher is better.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from soundsright.core.competition import metric_name
from soundsright.core.results import PrizeReason
from soundsright.core.rulesets import Reference, Ruleset
from soundsright.core.stopping import HOPELESS_ALPHA, EarlyStop
from soundsright.ranking.awards import (
    Award,
    Contender,
    Loss,
    LossOver,
    Shortfall,
    keeper_of_share,
    paid_by,
    shortfall_of,
)
from soundsright.ranking.leads import LeadTest, Scarce
from soundsright.ranking.reasons import ShareReason, share_reason

_TOO_FEW = "Over so few clips no lead is sure enough to take the prize."


def too_few(test: LeadTest, scarce: Scarce | None) -> str:
    """Why no lead over this set can take a prize, as a sentence. `scarce` is what the test has too few of."""
    if scarce is not None:
        return f"No lead can take the prize: {_scarce(scarce)}."
    if test.groups:
        return f"Over so few clips and groups by {' and '.join(test.groups)}, no lead is sure enough for the prize."
    return _TOO_FEW


def _scarce(scarce: Scarce) -> str:
    groups = "group" if scarce.groups == 1 else "groups"
    return (
        f"the clips form {scarce.groups} {groups} by {scarce.factor}, and a test for new material needs"
        f" {scarce.needed}"
    )


def prize_sentence(
    ruleset: Ruleset, metric: str, award: Award, *, clips: int | None = None, scarce: Scarce | None = None
) -> str:
    """The winner of one metric's prize and the reason, in one sentence.

    `clips` is the size of the set, and `scarce` what it has too few of to test a lead.
    """
    if award.reason is PrizeReason.TEST_IMPOSSIBLE and scarce is not None:
        champion, challenger = award.champion, award.challenger
        assert champion is not None
        assert challenger is not None
        return (
            f"{champion.hotkey} keeps {metric_name(metric)} with {champion.mean:.4f}: the best challenger,"
            f" {challenger.hotkey} with {challenger.mean:.4f}, reached the margin, but {_scarce(scarce)}."
        )
    too_weak = award.reason is PrizeReason.NOBODY_BEATS_UNPROCESSED
    gained = any(entry.gain is not None and entry.gain > 0 for entry in award.ranked)
    if too_weak and gained and ruleset.alpha is not None and clips is not None:
        # If every clip improves, the test over n clips gives p = 2^-n. No p-value is smaller.
        needed = math.ceil(-math.log2(ruleset.alpha))
        if clips < needed:
            few = f"{clips} {'clip is' if clips == 1 else 'clips are'} too few for any prize"
            return f"Nobody is paid for {metric_name(metric)}: {few}; at least {needed} are needed."
    return _PRIZE_SENTENCES[award.reason](ruleset, metric, award)


def _taken(ruleset: Ruleset, metric: str, award: Award) -> str:
    winner, champion = award.winning_entry, award.champion
    assert winner is not None
    assert champion is not None
    tested = f", and the paired test gives p = {winner.p_value:.2g}" if ruleset.alpha is not None else ""
    return (
        f"{winner.hotkey} takes {metric_name(metric)} from {champion.hotkey}: its mean of {winner.mean:.4f} reaches"
        f" the needed {award.needed[winner.hotkey]:.4f}{tested}."
    )


def _kept(ruleset: Ruleset, metric: str, award: Award) -> str:
    champion = award.champion
    assert champion is not None
    why = _why_kept(ruleset, metric, award)
    return f"{champion.hotkey} keeps {metric_name(metric)} with {champion.mean:.4f}: {why}."


def _why_kept(ruleset: Ruleset, metric: str, award: Award) -> str:
    if award.reason is PrizeReason.UNCHALLENGED:
        return "nobody challenges"
    if award.reason is PrizeReason.CHALLENGERS_TOO_WEAK:
        others = [entry for entry in award.ranked if entry is not award.champion]
        if all(entry.loss is not None and entry.loss.over is LossOver.TOO_FEW_CLIPS for entry in others):
            return "the set is too small to show what another entry loses on other metrics"
        if all(shortfall_of(ruleset, metric, entry) is Shortfall.LOSES for entry in others):
            return "every other entry loses on another metric"
        return f"no other entry gains enough over the unprocessed input{_stand_in(ruleset, metric)}"
    if award.reason is PrizeReason.CHALLENGERS_STOPPED:
        return "every challenger stopped early, because the lead that it needed was ruled out"
    challenger = award.challenger
    assert challenger is not None
    why = _for_failures(ruleset, award, challenger)
    outcome = {
        PrizeReason.MARGIN_MISSED: f"needed {award.needed[challenger.hotkey]:.4f}{why}",
        PrizeReason.TEST_IMPOSSIBLE: "could not be tested clip by clip",
        PrizeReason.TEST_FAILED: f"reached the margin, but the paired test gives p = {challenger.p_value or 0:.2g}",
    }[award.reason]
    return f"the best challenger, {challenger.hotkey} with {challenger.mean:.4f}, {outcome}"


def _for_failures(ruleset: Ruleset, award: Award, contender: Contender) -> str:
    """The reason why an entry needs more than the margin, as the end of a clause; empty if it does not."""
    if contender.hotkey not in award.by_failures:
        return ""
    more = ruleset.failures_unseen
    return (
        f", so that its lead would survive {'one more failed clip' if more == 1 else f'{more} more failed clips'}"
    )


def _open(ruleset: Ruleset, metric: str, award: Award) -> str:
    winner = award.winning_entry
    assert winner is not None
    among = ""
    if winner is not award.ranked[0]:
        among = f" of those that gain enough over the unprocessed input{_stand_in(ruleset, metric)}"
        if shortfall_of(ruleset, metric, award.ranked[0]) is Shortfall.LOSES:
            among = " of those that lose on no other metric"
    why = "no champion defends"
    if award.reason is PrizeReason.WON_BACK:
        why = "it held the title before, with another model, and the title keeps its age"
    elif award.champion is not None:
        shortfall = _shortfall(ruleset, metric, award.champion)
        why = f"{award.champion.hotkey}, the champion, cannot defend: it {shortfall}"
    if award.reason is not PrizeReason.WON_BACK and award.emission_fraction < 1:
        why += ", so the title keeps its age"
    return f"{winner.hotkey} takes {metric_name(metric)} with {winner.mean:.4f}, the best mean{among}; {why}."


def _nobody_beats_unprocessed(ruleset: Ruleset, metric: str, award: Award) -> str:
    able_before = [entry for entry in award.ranked if entry.beats_unprocessed]
    losses = [entry.loss for entry in able_before if entry.loss is not None]
    if (
        able_before
        and all(loss.over is LossOver.TOO_FEW_CLIPS for loss in losses)
        and len(losses) == len(able_before)
    ):
        return (
            f"Nobody is paid for {metric_name(metric)}: the set is too small to show what an entry loses on other"
            " metrics."
        )
    if able_before and len(losses) == len(able_before):
        return f"Nobody is paid for {metric_name(metric)}: every entry loses on another metric."
    test = ""
    if ruleset.alpha is not None and any(entry.gain is not None and entry.gain > 0 for entry in award.ranked):
        test = ", by the paired test over these clips"
    beaten = f"the unprocessed input{_stand_in(ruleset, metric)}"
    return f"Nobody is paid for {metric_name(metric)}: no entry beats {beaten}{test}."


def _no_entry(_ruleset: Ruleset, metric: str, award: Award) -> str:
    return f"{award.winner} keeps {metric_name(metric)}: there was no entry this round."


def _no_usable_score(_ruleset: Ruleset, metric: str, _award: Award) -> str:
    return f"Nobody is paid for {metric_name(metric)}: no entry has a usable score."


_PRIZE_SENTENCES: Mapping[PrizeReason, Callable[[Ruleset, str, Award], str]] = {
    PrizeReason.TAKEN: _taken,
    PrizeReason.UNCHALLENGED: _kept,
    PrizeReason.CHALLENGERS_TOO_WEAK: _kept,
    PrizeReason.CHALLENGERS_STOPPED: _kept,
    PrizeReason.MARGIN_MISSED: _kept,
    PrizeReason.TEST_IMPOSSIBLE: _kept,
    PrizeReason.TEST_FAILED: _kept,
    PrizeReason.OPEN_TITLE: _open,
    PrizeReason.WON_BACK: _open,
    PrizeReason.CHAMPION_TOO_WEAK: _open,
    PrizeReason.NOBODY_BEATS_UNPROCESSED: _nobody_beats_unprocessed,
    PrizeReason.NO_ENTRY: _no_entry,
    PrizeReason.NO_USABLE_SCORE: _no_usable_score,
}


def share_sentence(
    ruleset: Ruleset,
    metric: str,
    contender: Contender,
    award: Award,
    needed: float | None,
    *,
    failed: int,
    without_mean: str = _TOO_FEW,
) -> str:
    """The reason for an entry's share, and the mean that the prize needed.

    `failed` counts its failed clips. `without_mean` is the sentence for a set on which no mean was enough.
    """
    clips = f" {failed} of its clips failed and scored the floor." if failed else ""
    share = "Shares in the remainder" if award.shares.get(contender.hotkey, 0.0) > 0 else "Has no share"
    more = _prize_needed(ruleset, metric, needed, without_mean)
    match share_reason(ruleset, contender, award, needed):
        case ShareReason.TAKES_PRIZE:
            part = award.emission_fraction
            return f"Takes the prize{'' if part == 1 else f' ({part:.0%} of it, by the age of the title)'}.{clips}"
        case ShareReason.NO_CLIPS:
            return "Has no clips to be ranked by."
        case ShareReason.TOO_WEAK:
            return f"Is not paid: it {_shortfall(ruleset, metric, contender)}.{more}{clips}"
        case ShareReason.LEAD_UNSURE:
            return f"{share}: {_unsure_lead(ruleset, contender, award)}.{more}{clips}"
        case ShareReason.TOO_FEW_CLIPS:
            return f"{share}. {without_mean}{clips}"
        case ShareReason.MEAN_TOO_LOW:
            assert needed is not None
            assert contender.mean is not None
            lack = needed - contender.mean
            is_for_lead = needed == award.needed.get(contender.hotkey)
            by_failures = _for_failures(ruleset, award, contender) if is_for_lead else ""
            return f"{share}: the prize needed {needed:.4f}, {lack:.4f} more than it reached{by_failures}.{clips}"
        case ShareReason.SUSPECTED_COPY:
            keeper = keeper_of_share(ruleset, contender, paid_by(ruleset, award))
            return (
                f"Has no share of the remainder: it is suspected to copy {keeper}, which came first and keeps the"
                f" share of both.{more}{clips}"
            )
        case ShareReason.CAME_LATER:
            return f"{share}: another entry reached as much, and committed earlier.{clips}"


def stopped_sentence(
    ruleset: Ruleset, metric: str, contender: Contender, award: Award, stop: EarlyStop, *, failed: int
) -> str:
    """Why an entry stopped early, and the reason for its share. `failed` counts its failed clips."""
    out = stop.ruled_out[metric]
    why = (
        f"stopped after {stop.clips} of {stop.set_clips} clips: the lead over {out.by} that it still needs,"
        f" {out.needed:.4f}, is ruled out at {HOPELESS_ALPHA:.0%} (lead so far {out.lead:.4f})"
    )
    clips = f" {failed} of its clips failed and scored the floor." if failed else ""
    if share_reason(ruleset, contender, award, None) is ShareReason.TOO_WEAK:
        return f"Is not paid: it {_shortfall(ruleset, metric, contender)}. It {why}.{clips}"
    if (keeper := keeper_of_share(ruleset, contender, paid_by(ruleset, award))) is not None:
        return f"Has no share: it is suspected to copy {keeper}, which keeps the share of both. It {why}.{clips}"
    share = "Shares in the remainder" if award.shares.get(contender.hotkey, 0.0) > 0 else "Has no share"
    return f"{share}: {why}.{clips}"


def _prize_needed(ruleset: Ruleset, metric: str, needed: float | None, without_mean: str) -> str:
    if needed is not None:
        return f" The prize needed a mean of {needed:.4f}."
    # If another metric stands in or is protected, that metric's mean is too low, not this one's.
    return "" if ruleset.stand_in_of(metric) or ruleset.no_loss_of(metric) else f" {without_mean}"


def _unsure_lead(ruleset: Ruleset, contender: Contender, award: Award) -> str:
    champion, winner = award.defender, award.winning_entry
    assert champion is not None
    taken = ""
    if winner is not None and winner.hotkey != champion.hotkey:
        taken = f"; {winner.hotkey} took the prize with {winner.mean:.4f}"
    return (
        f"it reached the margin over the champion, {champion.hotkey} with {champion.mean:.4f}, but over these clips"
        f" the lead could be chance (p = {contender.p_value:.2g}, needed at most {ruleset.alpha:g}){taken}"
    )


def _shortfall(ruleset: Ruleset, metric: str, contender: Contender) -> str:
    """The reason why an entry does not beat the unprocessed input, as the end of a sentence about it."""
    beaten = f"the unprocessed input{_stand_in(ruleset, metric)}"
    gain, stand_in = contender.gain, ruleset.stand_in_of(metric)
    match shortfall_of(ruleset, metric, contender):
        case Shortfall.CHANCE:
            return (
                f"gains {gain:.4f} over {beaten}, but over these clips that could be chance"
                f" (p = {contender.unprocessed_p_value:.2g}, needed at most {ruleset.alpha:g})"
            )
        case Shortfall.LESS_THAN_BEST:
            assert stand_in is not None
            least = f"{stand_in.fraction:.0%} of {_REFERENCES[ruleset.reference]} there"
            return f"gains {gain:.4f} over {beaten}, but needs at least {least}"
        case Shortfall.LOSES:
            assert contender.loss is not None
            return _loss(ruleset, metric, contender.loss)
        case Shortfall.NO_GAIN:
            return f"does not beat {beaten}{'' if gain is None else f' (mean gain {gain:.4f})'}"


def _loss(ruleset: Ruleset, metric: str, loss: Loss) -> str:
    """What an entry loses on a metric that the rules protect, as the end of a sentence about it."""
    no_loss = ruleset.no_loss_of(metric)
    if loss.over is LossOver.TOO_FEW_CLIPS and no_loss is not None:
        protected = " or ".join(metric_name(name) for name in no_loss.on)
        return (
            f"could lose {protected} unseen: {metric_name(metric)} is paid to a new entry only on sets of at least"
            f" {no_loss.least_clips} clips"
        )
    needs = f"{metric_name(metric)} is paid only without a loss there"
    if loss.over is LossOver.UNPROCESSED:
        return f"does not beat the unprocessed input on {metric_name(loss.metric)}, and {needs}"
    reference = "the champion" if loss.over is LossOver.CHAMPION else "the median of the honest entries"
    return (
        f"loses {loss.amount:.4f} of {metric_name(loss.metric)} against {reference} (p = {loss.p_value:.2g}), and"
        f" {needs}"
    )


_REFERENCES: Mapping[Reference, str] = {
    Reference.BEST: "the best gain",
    Reference.CHAMPION_OR_MEDIAN: "the gain of the champion, or of the median honest entry,",
}


def _stand_in(ruleset: Ruleset, metric: str) -> str:
    """The metric on which the unprocessed input must be beaten, if it is another one."""
    stand_in = ruleset.stand_in_of(metric)
    return "" if stand_in is None else f" on {metric_name(stand_in.by)}, which stands in for {metric_name(metric)}"
