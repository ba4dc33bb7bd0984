"""Moves between tiers and results of attempts in words, for the terminal and the pages."""

from __future__ import annotations

from collections.abc import Mapping

from soundsright.core.profiles import Profile
from soundsright.core.tiers import AttemptResult
from soundsright.core.tiers_rules import TIER_NAMES, TiersRules, tier_index
from soundsright.ranking.tiers import AttemptCounts, MoveReason


def move_sentence(rules: TiersRules, before: str, after: str, reason: MoveReason, counts: AttemptCounts) -> str:
    """The move of a prover after an interval, or why it stays. `counts` are the attempts that decided.

    Raises:
        ValueError: a tier has no such name.

    >>> move_sentence(TiersRules(), "Gold", "Silver", MoveReason.BELOW_RATE, AttemptCounts(20, 12))
    'Down to Silver: 12 of 20 answers passed, and Gold needs 74 %.'
    """
    place = tier_index(before)
    passed = f"{counts.successes} of {counts.attempts} {'answer' if counts.attempts == 1 else 'answers'} passed"
    above = rules.table[min(place + 1, len(TIER_NAMES) - 1)]
    if reason is MoveReason.BELOW_RATE:
        start = f"Stays in {before}, the lowest tier" if after == before else f"Down to {after}"
        limit = rules.table[place - 1] if rules.profile is Profile.CODE and place else rules.table[place]
        return f"{start}: {passed}, and {limit.name} needs {_percent(limit.rate)}."
    if reason is MoveReason.BACK_TO_PEAK:
        return f"Back to {after}, its peak: {passed}, and {after} needs {_percent(rules.tier(after).rate)}."
    if reason is MoveReason.PROMOTED:
        return f"Up to {after}: {passed}{_bound(rules, counts)}, and {after} needs {_percent(above.rate)}."
    if reason is MoveReason.FEW_ATTEMPTS:
        return f"Stays in {before}: it was asked {counts.attempts} times since its last move, and moves from" + (
            f" {rules.min_attempts} on."
        )
    if reason is MoveReason.FEW_SUCCESSES:
        return f"Stays in {before}: {above.name} needs {above.min_successes} successes in all."
    if reason is MoveReason.NOT_REACHED:
        needs = f"{above.name} needs {_percent(above.rate)}"
        return f"Stays in {before}: {passed}{_bound(rules, counts)}, and {needs}."
    return f"Stays in {before}, the highest tier: {passed}."


def _bound(rules: TiersRules, counts: AttemptCounts) -> str:
    if rules.profile is not Profile.SOUNDSRIGHT:
        return ""
    return f", which shows at least {_percent(round(counts.low, 3))}"


def _percent(part: float) -> str:
    return f"{100 * part:.4g} %"


def result_sentence(result: AttemptResult) -> str:
    """The reason why an answer passed or failed.

    >>> result_sentence(AttemptResult.LENGTH)
    'The answer has another number of samples than the question.'
    """
    return _RESULTS[result]


_RESULTS: Mapping[AttemptResult, str] = {
    AttemptResult.HASH: "The samples equal those of the verifier's own run.",
    AttemptResult.SIMILAR: "The errors agree with those of the verifier's own run.",
    AttemptResult.SILENT: "No answer came in time.",
    AttemptResult.STATUS: "The prover answered with another status than 200.",
    AttemptResult.TOO_LARGE: "The answer has more bytes than it can have.",
    AttemptResult.UNSIGNED: "The prover's hotkey did not sign the answer.",
    AttemptResult.FORMAT: "The answer is not a mono 16-bit WAV at the rate of the question.",
    AttemptResult.LENGTH: "The answer has another number of samples than the question.",
    AttemptResult.GAIN: "The answer is louder or quieter than the verifier's own run.",
    AttemptResult.DIFFERENT: "The answer is another model's: its errors do not agree with the verifier's own run.",
}
