"""One metric's prize under a ruleset: who takes it, how the remainder is shared, and why.

Means are in the metric's own unit, higher is better; shares are percent of a round's emission; ages are in blocks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from soundsright.core.competition import metric_name
from soundsright.core.rulesets import Age, Remainder, Ruleset


@dataclass(frozen=True)
class Contender:
    """One entry under one metric, as the rules see it.

    `mean` is None where the entry has no usable value. `gain` is the mean gain over the unprocessed input, None
    where there is none to compare with. `beats_unprocessed` is the outcome of the comparison with it, and
    `unprocessed_p_value` that of its test. `p_value` is that of the paired test against the champion, adjusted over
    all challengers. A p-value is None where no such test was possible.
    """

    hotkey: str
    uid: int
    block: int
    mean: float | None
    gain: float | None = None
    beats_unprocessed: bool = True
    p_value: float | None = None
    unprocessed_p_value: float | None = None


@dataclass(frozen=True)
class Title:
    """The champion of one metric. `mean` is today's where it took part today, else the one that won the title."""

    hotkey: str
    mean: float
    block: int
    since_block: int
    took_part: bool = True
    copies: int = 0


@dataclass(frozen=True)
class Award:
    """What one metric's prize comes to.

    `shares` are by hotkey, in percent of the emission. `challenger` is the best of those that were not champion,
    `needed` what each entry's mean would have had to reach, `emission_fraction` the part of the prize that is paid.
    `defender` is the champion where it could defend, `winning_mean` None where nobody with an entry won.
    """

    winner: str | None
    challenger: str | None
    dethroned: bool
    shares: Mapping[str, float]
    needed: Mapping[str, float]
    emission_fraction: float
    sentence: str
    defender: Contender | None = None
    winning_mean: float | None = None


def capped_shares(parts: Mapping[str, float], amount: float, cap: float) -> dict[str, float]:
    """`amount` divided in proportion to the positive `parts`, no share above `cap` x `amount`.

    What the cap cuts off goes to the others, up to their own caps; what then remains is not paid.

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
    """Who takes one metric's prize, and how the remainder is shared.

    The champion defends where it took part; the title is open where there is none, or where it did not take part.
    `at_block` is the block of the round, from which the age of a title is counted.
    """
    usable = sorted((c for c in contenders if _usable(c.mean)), key=_best_first)
    able = [c for c in usable if c.beats_unprocessed or not ruleset.must_beat_unprocessed]
    champion = next((c for c in usable if title and title.took_part and c.hotkey == title.hotkey), None)
    challengers = [c for c in able if champion is None or c.hotkey != champion.hotkey]
    challenger = challengers[0] if challengers else None
    name = metric_name(metric)
    needed: dict[str, float] = {}
    defends = champion is not None and champion in able
    if title is not None and champion is not None and defends:
        assert champion.mean is not None
        needed = {
            c.hotkey: champion.mean + margin_of(ruleset, metric, title, champion.mean, c.block, at_block)
            for c in usable
            if c.hotkey != champion.hotkey
        }
        # The published rules try the best challenger only; a test with a correction may try them all.
        tried = challengers if ruleset.alpha is not None else challengers[:1]
        passed = [c for c in tried if c.mean is not None and c.mean >= needed[c.hotkey] and passes(ruleset, c)]
        winner = passed[0] if passed else champion
        sentence = _sentence_of_defence(ruleset, metric, champion, winner, challenger, needed)
    elif able:
        winner = able[0]
        needed = {c.hotkey: able[0].mean for c in usable[1:] if able[0].mean is not None}
        why = "no champion defends"
        if title is not None and winner.hotkey == title.hotkey:
            why = "it held the title before, with another model, and the title keeps its age"
        elif champion is not None:
            why = f"{champion.hotkey}, the champion, cannot defend: it {shortfall(ruleset, metric, champion)}"
        among = ""
        if able[0] is not usable[0]:
            among = f" of those that gain enough over the unprocessed input{_stand_in(ruleset, metric)}"
        sentence = f"{winner.hotkey} takes {name} with {winner.mean:.4f}, the best mean{among}; {why}."
    elif usable:
        how = ""
        if ruleset.alpha is not None and any(c.gain is not None and c.gain > 0 for c in usable):
            how = ", by the paired test over these clips"
        on = _stand_in(ruleset, metric)
        return Award(
            None, None, False, {}, {}, 1.0,
            f"Nobody is paid for {name}: no entry beats the unprocessed input{on}{how}.",
        )  # fmt: skip
    elif title is not None and ruleset.absent_champion_is_paid and not contenders:
        return Award(
            title.hotkey, None, False, {title.hotkey: prize}, {}, 1.0,
            f"{title.hotkey} keeps {name}: there was no entry this round.",
        )  # fmt: skip
    else:
        return Award(None, None, False, {}, {}, 1.0, f"Nobody is paid for {name}: no entry has a usable score.")

    # By the hotkey: who wins its own title back with a new model has beaten nobody by a margin.
    held = title if title is not None and winner.hotkey == title.hotkey else None
    fraction = 1.0 if held is None else ruleset.emission_fraction(at_block - held.since_block)
    shares = capped_shares(
        {c.hotkey: _part(ruleset, c) for c in able if c.hotkey != winner.hotkey}, remainder, ruleset.remainder_cap
    )
    shares[winner.hotkey] = prize * fraction
    return Award(
        winner=winner.hotkey,
        challenger=challenger.hotkey if challenger else None,
        dethroned=champion is not None and held is None,
        shares=shares,
        needed=needed,
        emission_fraction=fraction,
        sentence=sentence,
        defender=champion if defends else None,
        winning_mean=winner.mean,
    )


def shortfall(ruleset: Ruleset, metric: str, contender: Contender) -> str:
    """Why an entry counts as no better than the unprocessed input: the metric, and whether mean or test failed."""
    gate, gain, p_value = ruleset.gate_of(metric), contender.gain, contender.unprocessed_p_value
    beaten = f"the unprocessed input{_stand_in(ruleset, metric)}"
    if gain is not None and gain > 0:
        if ruleset.alpha is not None and p_value is not None and p_value > ruleset.alpha:
            return (
                f"gains {gain:.4f} over {beaten}, but over these clips that could be chance"
                f" (p = {p_value:.2g}, needed at most {ruleset.alpha:g})"
            )
        if gate is not None:
            return f"gains {gain:.4f} over {beaten}, but needs at least {gate.fraction:.0%} of the best gain there"
    mean = "" if gain is None else f" (mean gain {gain:.4f})"
    return f"does not beat {beaten}{mean}"


def _stand_in(ruleset: Ruleset, metric: str) -> str:
    """On which other metric the unprocessed input must be beaten."""
    gate = ruleset.gate_of(metric)
    return "" if gate is None else f" on {metric_name(gate.by)}, which stands in for {metric_name(metric)}"


def _usable(mean: float | None) -> bool:
    return mean is not None and math.isfinite(mean)


def _best_first(contender: Contender) -> tuple[float, int, int]:
    """Best mean first; of equals the earliest commitment, then the lowest uid."""
    assert contender.mean is not None
    return -contender.mean, contender.block, contender.uid


def margin_of(
    ruleset: Ruleset, metric: str, title: Title, champion_mean: float, challenger_block: int, at_block: int
) -> float:
    """By how much a challenger that committed in that block must exceed the champion's mean."""
    if ruleset.age is Age.COMMITMENT:
        age_blocks = challenger_block - title.block
    else:
        age_blocks = at_block - title.since_block
    return ruleset.margin_over(metric, champion_mean, age_blocks, title.copies)


def passes(ruleset: Ruleset, contender: Contender) -> bool:
    """Whether the paired test against the champion is won, where the rules hold one."""
    if ruleset.alpha is None:
        return True
    return contender.p_value is not None and contender.p_value <= ruleset.alpha


def _part(ruleset: Ruleset, contender: Contender) -> float:
    """What an entry's share of the remainder is in proportion to; nothing below zero counts."""
    if ruleset.remainder is Remainder.GAIN and contender.gain is not None:
        return max(contender.gain, 0.0)
    return max(contender.mean or 0.0, 0.0)


def _sentence_of_defence(
    ruleset: Ruleset,
    metric: str,
    champion: Contender,
    winner: Contender,
    challenger: Contender | None,
    needed: Mapping[str, float],
) -> str:
    name = metric_name(metric)
    if winner is not champion:
        tested = f" and the paired test gives p = {winner.p_value:.2g}" if ruleset.alpha is not None else ""
        return (
            f"{winner.hotkey} takes {name} from {champion.hotkey}: {winner.mean:.4f} reaches the"
            f" {needed[winner.hotkey]:.4f} that were needed{tested}."
        )
    if challenger is None or challenger.mean is None:
        why = "nobody challenges"
        if needed:
            why = f"no other entry gains enough over the unprocessed input{_stand_in(ruleset, metric)}"
        return f"{champion.hotkey} keeps {name} with {champion.mean:.4f}: {why}."
    threshold = needed[challenger.hotkey]
    if challenger.mean < threshold:
        why = f"needed {threshold:.4f}"
    elif challenger.p_value is None:
        why = "could not be tested clip by clip"
    else:
        why = f"reached the margin, but the paired test gives p = {challenger.p_value:.2g}"
    return (
        f"{champion.hotkey} keeps {name} with {champion.mean:.4f}: the best challenger, {challenger.hotkey} with"
        f" {challenger.mean:.4f}, {why}."
    )
