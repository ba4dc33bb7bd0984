"""One metric's prize under a ruleset: the winner, the reason, and the shares of the remainder.

Means are in the metric's own unit, higher is better. Shares are percent of a round's emission; ages are in blocks.
Everything here is data; `ranking/sentences.py` puts it into words.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from soundsright.core.results import PrizeReason
from soundsright.core.rulesets import Age, Remainder, Ruleset
from soundsright.ranking.failures import failure_lead


class LossOver(StrEnum):
    """What an entry is worse than on a metric on which it must not lose."""

    UNPROCESSED = "unprocessed"
    """It does not beat the unprocessed input there."""
    CHAMPION = "champion"
    MEDIAN = "median"
    """The median of the honest entries, clip by clip, if no champion takes part."""
    TOO_FEW_CLIPS = "too_few_clips"
    """Nothing: the set is too small to show a loss."""


@dataclass(frozen=True)
class Loss:
    """How much an entry loses on `metric`, as a mean over the clips, and the p-value of the paired test.

    On a set that is too small to show a loss, `amount` is the number of clips that it lacks.
    """

    metric: str
    over: LossOver
    amount: float
    p_value: float


@dataclass(frozen=True)
class Contender:
    """One entry under one metric, as the rules see it.

    `mean` is None if the entry has no usable value. `gain` is the mean gain over the unprocessed input, or None if
    it is unknown. `beats_unprocessed` is the outcome of that comparison, and `unprocessed_p_value` the
    p-value of its test. `p_value` is the p-value of the paired test against the champion, adjusted over all
    challengers. A p-value is None if no such test was possible. `loss` is the loss on another metric that keeps the
    entry from being paid for this one. `copy_of` are the earlier entries that it is suspected to copy. A `stopped`
    entry cannot win: it did not run on all clips, because its lead was ruled out. `unseen_failures` are the failed
    clips, beyond those of the set, that its lead must survive, as a part of the set.
    """

    hotkey: str
    uid: int
    block: int
    mean: float | None
    gain: float | None = None
    beats_unprocessed: bool = True
    p_value: float | None = None
    unprocessed_p_value: float | None = None
    loss: Loss | None = None
    copy_of: tuple[str, ...] = ()
    stopped: bool = False
    unseen_failures: float = 0.0


@dataclass(frozen=True)
class Title:
    """The champion of one metric. `mean` is its mean of today if it took part, otherwise its recorded mean.

    `same_model` are the hotkeys of today's entries that have the champion's model. If `apart` is True, the
    champion's entry ran today and is ranked apart. `is_own` says that the entry that defends has the champion's own
    files, and not only tensors or an output like them. `reigns` has the block of the first title of a model that
    was champion before, by the hotkey that enters it today. `floor` is the metric's score of a failed clip, if
    it is known.
    """

    hotkey: str
    mean: float
    block: int
    since_block: int
    took_part: bool = True
    copies: int = 0
    same_model: frozenset[str] = frozenset()
    apart: bool = False
    is_own: bool = True
    reigns: Mapping[str, int] = field(default_factory=dict)
    floor: float | None = None


@dataclass(frozen=True)
class Award:
    """The decision on one metric's prize.

    `winner` is a hotkey, or None if nobody is paid. `shares` are by hotkey, in percent of the emission. `needed` is
    the mean that each entry needed, by hotkey. `emission_fraction` is the part of the prize that is paid.
    `ranked` are the entries with a usable mean, best first. `champion` is the champion's entry of today, and
    `challenger` the best of the others that can win. `since_block` is the block since which the winner's title
    counts as held. `by_failures` are the hotkeys that need more than the margin, because of failures that the set
    is too small to show.
    """

    reason: PrizeReason
    winner: str | None
    shares: Mapping[str, float]
    needed: Mapping[str, float]
    emission_fraction: float = 1.0
    ranked: tuple[Contender, ...] = ()
    champion: Contender | None = None
    challenger: Contender | None = None
    since_block: int | None = None
    by_failures: frozenset[str] = frozenset()

    @property
    def winning_entry(self) -> Contender | None:
        """The winner's entry of today. None if nobody won, or if the champion is paid without an entry."""
        return next((entry for entry in self.ranked if entry.hotkey == self.winner), None)

    @property
    def dethroned(self) -> bool:
        """Whether the champion took part and lost its title."""
        return self.champion is not None and self.winner not in (None, self.champion.hotkey)

    @property
    def defender(self) -> Contender | None:
        """The champion's entry, if it could defend the title."""
        return None if self.reason is PrizeReason.CHAMPION_TOO_WEAK else self.champion


class Shortfall(StrEnum):
    """Why an entry cannot be paid for a metric."""

    NO_GAIN = "no_gain"
    """Its mean gain is not positive."""
    CHANCE = "chance"
    """It gains, but the paired test does not show it."""
    LESS_THAN_BEST = "less_than_best"
    """It gains less than the required part of the reference's gain on the metric that stands in."""
    LOSES = "loses"
    """It loses on another metric."""


def is_able(ruleset: Ruleset, contender: Contender) -> bool:
    """Whether an entry can be paid: it beats the unprocessed input, and loses nothing that the rules protect."""
    return (contender.beats_unprocessed or not ruleset.must_beat_unprocessed) and contender.loss is None


def shortfall_of(ruleset: Ruleset, metric: str, contender: Contender) -> Shortfall:
    """Why an entry that cannot be paid falls short."""
    if contender.loss is not None and contender.beats_unprocessed:
        return Shortfall.LOSES
    if contender.gain is None or not contender.gain > 0:
        return Shortfall.NO_GAIN
    p_value = contender.unprocessed_p_value
    if ruleset.alpha is not None and p_value is not None and p_value > ruleset.alpha:
        return Shortfall.CHANCE
    return Shortfall.NO_GAIN if ruleset.stand_in_of(metric) is None else Shortfall.LESS_THAN_BEST


def capped_shares(parts: Mapping[str, float], amount: float, cap: float) -> dict[str, float]:
    """Divide `amount` in proportion to the positive `parts`, with no share above `cap` x `amount`.

    The part above a cap goes to the others, up to their own caps. The rest is not paid.

    >>> capped_shares({"a": 8.0, "b": 1.0, "c": 1.0, "d": -2.0}, 4.0, cap=0.5)
    {'a': 2.0, 'b': 1.0, 'c': 1.0, 'd': 0.0}
    >>> capped_shares({"a": 8.0}, 4.0, cap=0.5)
    {'a': 2.0}
    """
    shares = dict.fromkeys(parts, 0.0)
    open_parts = {name: part for name, part in parts.items() if math.isfinite(part) and part > 0}
    left = amount
    while open_parts and left > 0:
        largest = max(open_parts.values())  # Dividing first keeps the total of huge parts finite.
        total = math.fsum(part / largest for part in open_parts.values())
        offers = {name: left * (part / largest) / total for name, part in open_parts.items()}
        full = [name for name, offer in offers.items() if offer > cap * amount]
        if not full:
            shares.update(offers)
            break
        for name in full:
            shares[name] = cap * amount
            del open_parts[name]
        left = amount - math.fsum(shares.values())
    return shares


def award(
    ruleset: Ruleset,
    metric: str,
    contenders: Sequence[Contender],
    title: Title | None,
    *,
    prize: float,
    remainder: float,
    at_block: int,
) -> Award:
    """Decide one metric's prize and the shares of the remainder.

    The champion defends if it takes part. Otherwise, or without a champion, the title is open. `at_block` is the
    block of the round, up to which the age of a title is counted.
    """
    ranked = tuple(sorted((c for c in contenders if _usable(c.mean)), key=_best_first))
    able = [c for c in ranked if is_able(ruleset, c)]
    running = [c for c in able if not c.stopped]
    if not running:
        return _without_able_entry(ruleset, contenders, ranked, title, prize)
    champion = next((c for c in ranked if title and title.took_part and c.hotkey == title.hotkey), None)
    challengers = [c for c in running if champion is None or c.hotkey != champion.hotkey]
    by_failures: frozenset[str] = frozenset()
    if title is not None and champion is not None and champion in able:
        needed, by_failures = _needed_to_dethrone(ruleset, metric, ranked, title, champion, at_block)
        winner, reason = _defended(ruleset, champion, challengers, needed)
        if not challengers and len(able) > len(running):
            reason = PrizeReason.CHALLENGERS_STOPPED
    else:
        winner = running[0]
        needed = {c.hotkey: winner.mean for c in ranked[1:] if winner.mean is not None}
        reason = _reason_without_defence(title, champion, winner)
    since_block = _since_block(ruleset, title, winner, reason, at_block)
    fraction = ruleset.emission_fraction(at_block - since_block)
    return Award(
        reason=reason,
        winner=winner.hotkey,
        shares={**_shares_of_others(ruleset, able, winner, remainder), winner.hotkey: prize * fraction},
        needed=needed,
        emission_fraction=fraction,
        ranked=ranked,
        champion=champion,
        challenger=challengers[0] if challengers else None,
        since_block=since_block,
        by_failures=by_failures,
    )


def _shares_of_others(
    ruleset: Ruleset, able: Sequence[Contender], winner: Contender, remainder: float
) -> dict[str, float]:
    """The shares of the remainder that the able entries get besides the winner."""
    paid = frozenset(c.hotkey for c in able)
    parts = {
        c.hotkey: 0.0 if keeper_of_share(ruleset, c, paid) else _part(ruleset, c)
        for c in able
        if c.hotkey != winner.hotkey
    }
    return capped_shares(parts, remainder, ruleset.remainder_cap)


def _since_block(
    ruleset: Ruleset, title: Title | None, winner: Contender, reason: PrizeReason, at_block: int
) -> int:
    """The block since which the winner's title counts as held.

    A model that was champion before returns with the age of its first title. Otherwise two models could take the
    title from each other by turns, and it would never grow old.
    """
    if title is None:
        return at_block
    since_block = title.since_block if _keeps_age(ruleset, title, winner, reason) else at_block
    if not ruleset.title_follows_model:
        return since_block
    return min(since_block, title.reigns.get(winner.hotkey, since_block))


def _keeps_age(ruleset: Ruleset, title: Title, winner: Contender, reason: PrizeReason) -> bool:
    """Whether the winner's title is as old as the champion's.

    A hotkey that wins its own title back with a new model has beaten nobody by a margin. Nor has another hotkey
    that enters the champion's model, or any entry while the champion does not defend. An entry that only shares
    tensors or outputs with the champion can be weaker on purpose, so beating it proves nothing either. A champion
    that is ranked apart held the title wrongly, so its successor's title is new.
    """
    if winner.hotkey == title.hotkey:
        return True
    if not ruleset.title_follows_model:
        return False
    if winner.hotkey in title.same_model:
        return True
    return not title.is_own if reason is PrizeReason.TAKEN else not title.apart


def paid_by(ruleset: Ruleset, award: Award) -> frozenset[str]:
    """The hotkeys of the entries that can be paid."""
    return frozenset(entry.hotkey for entry in award.ranked if is_able(ruleset, entry))


def keeper_of_share(ruleset: Ruleset, contender: Contender, paid: Collection[str]) -> str | None:
    """The entry that keeps the share of a suspected copy. None if the entry has a share of its own.

    The earliest of a group of copies keeps one share for the group. More copies are worth no more than one, and
    take nothing from their original.
    """
    if not ruleset.copies_share_once:
        return None
    return next((hotkey for hotkey in contender.copy_of if hotkey in paid), None)


def _without_able_entry(
    ruleset: Ruleset,
    contenders: Sequence[Contender],
    ranked: tuple[Contender, ...],
    title: Title | None,
    prize: float,
) -> Award:
    """The award if no entry can win: none has a usable mean, or none beats the unprocessed input."""
    if ranked:
        return Award(PrizeReason.NOBODY_BEATS_UNPROCESSED, None, {}, {}, ranked=ranked)
    if title is not None and ruleset.absent_champion_is_paid and not contenders:
        shares = {title.hotkey: prize}
        return Award(PrizeReason.NO_ENTRY, title.hotkey, shares, {}, since_block=title.since_block)
    return Award(PrizeReason.NO_USABLE_SCORE, None, {}, {})


def _needed_to_dethrone(
    ruleset: Ruleset,
    metric: str,
    ranked: Sequence[Contender],
    title: Title,
    champion: Contender,
    at_block: int,
) -> tuple[dict[str, float], frozenset[str]]:
    """The mean that each other entry needs to take the title, and the entries that need more than the margin.

    It is the champion's mean of today and the margin, or more to survive failures that the set did not show.
    """
    assert champion.mean is not None
    needed, by_failures = {}, set()
    for contender in ranked:
        if contender.hotkey == champion.hotkey:
            continue
        margin = margin_of(ruleset, metric, title, champion.mean, contender.block, at_block)
        for_failures = failure_lead(title.floor, champion.mean, contender.unseen_failures)
        needed[contender.hotkey] = champion.mean + max(margin, for_failures)
        if for_failures > margin:
            by_failures.add(contender.hotkey)
    return needed, frozenset(by_failures)


def _defended(
    ruleset: Ruleset, champion: Contender, challengers: Sequence[Contender], needed: Mapping[str, float]
) -> tuple[Contender, PrizeReason]:
    """The winner of a title that its champion defends, and why."""
    if not challengers:
        return champion, PrizeReason.CHALLENGERS_TOO_WEAK if needed else PrizeReason.UNCHALLENGED
    # The published rules try only the best challenger. A test with a correction can try them all.
    tried = challengers if ruleset.alpha is not None else challengers[:1]
    for challenger in tried:
        reached = challenger.mean is not None and challenger.mean >= needed[challenger.hotkey]
        if reached and passes(ruleset, challenger):
            return challenger, PrizeReason.TAKEN
    best = challengers[0]
    if best.mean is None or best.mean < needed[best.hotkey]:
        return champion, PrizeReason.MARGIN_MISSED
    return champion, PrizeReason.TEST_IMPOSSIBLE if best.p_value is None else PrizeReason.TEST_FAILED


def _reason_without_defence(title: Title | None, champion: Contender | None, winner: Contender) -> PrizeReason:
    if title is not None and winner.hotkey == title.hotkey:
        return PrizeReason.WON_BACK
    return PrizeReason.OPEN_TITLE if champion is None else PrizeReason.CHAMPION_TOO_WEAK


def _usable(mean: float | None) -> bool:
    return mean is not None and math.isfinite(mean)


def _best_first(contender: Contender) -> tuple[float, int, int]:
    """Sort key: the best mean first, then the earliest commitment, then the lowest uid."""
    assert contender.mean is not None
    return -contender.mean, contender.block, contender.uid


def margin_of(
    ruleset: Ruleset, metric: str, title: Title, champion_mean: float, challenger_block: int, at_block: int
) -> float:
    """The margin over the champion's mean that a challenger needs if it committed in that block."""
    if ruleset.age is Age.COMMITMENT:
        age_blocks = challenger_block - title.block
    else:
        age_blocks = at_block - title.since_block
    return ruleset.margin_over(metric, champion_mean, age_blocks, title.copies)


def passes(ruleset: Ruleset, contender: Contender) -> bool:
    """Whether the entry passes the paired test against the champion. True if the rules have no such test."""
    if ruleset.alpha is None:
        return True
    return contender.p_value is not None and contender.p_value <= ruleset.alpha


def _part(ruleset: Ruleset, contender: Contender) -> float:
    """The number that an entry's share of the remainder is proportional to, at least 0."""
    if ruleset.remainder is Remainder.GAIN and contender.gain is not None:
        return max(contender.gain, 0.0)
    return max(contender.mean or 0.0, 0.0)
