"""Why an entry is paid what it is paid, in words. Means are in the metric's unit, higher is better."""

from __future__ import annotations

from soundsright.core.rulesets import Ruleset
from soundsright.ranking.awards import Award, Contender, passes, shortfall

_TOO_FEW = "Over so few clips no lead is sure enough to take the prize."


def reason_of(
    ruleset: Ruleset, metric: str, contender: Contender, result: Award, needed: float | None, *, failed: int
) -> str:
    """Why an entry is paid what it is paid, and what it would have taken to win."""
    clips = f" {failed} of its clips failed and scored the floor." if failed else ""
    if contender.hotkey == result.winner:
        part = (
            "" if result.emission_fraction == 1 else f" ({result.emission_fraction:.0%} of it, by the title's age)"
        )
        return f"Takes the prize{part}.{clips}"
    if contender.mean is None:
        return "Has no clips to be ranked by."
    if needed is not None:
        more = f" The prize needed a mean of {needed:.4f}."
    else:
        # With a metric that stands in, it is that one's mean which is too low.
        more = "" if ruleset.gate_of(metric) else f" {_TOO_FEW}"
    if ruleset.must_beat_unprocessed and not contender.beats_unprocessed:
        return f"Is not paid: it {shortfall(ruleset, metric, contender)}.{more}{clips}"
    share = "Shares in the remainder" if result.shares.get(contender.hotkey, 0.0) > 0 else "Has no share"
    threshold = result.needed.get(contender.hotkey)
    tested = contender.p_value is not None and ruleset.alpha is not None
    champion = result.defender
    reached = champion is not None and threshold is not None and contender.mean >= threshold
    if champion is not None and reached and tested and not passes(ruleset, contender):
        taken = ""
        if result.winner != champion.hotkey:
            taken = f"; {result.winner} took the prize with {result.winning_mean:.4f}"
        return (
            f"{share}: it reached the margin over the champion, {champion.hotkey} with {champion.mean:.4f}, but"
            f" over these clips the lead could be chance (p = {contender.p_value:.2g}, needed at most"
            f" {ruleset.alpha:g}){taken}.{more}{clips}"
        )
    if needed is None:
        return f"{share}. {_TOO_FEW}{clips}"
    if contender.mean < needed:
        return f"{share}: the prize needed {needed:.4f}, {needed - contender.mean:.4f} more than it reached.{clips}"
    return f"{share}: another entry reached as much, and committed earlier.{clips}"
