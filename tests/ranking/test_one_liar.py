"""One validator that lies decides nothing, whatever it says of whom, and stops no honest challenger for good."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest

from soundsright.core.federation import JudgedRow, Verdict
from soundsright.core.federation_rules import FederationRules, federation_rules
from soundsright.core.profiles import Profile
from soundsright.core.rulesets import SOUNDSRIGHT_V5
from soundsright.ranking import FederationDecision, FederationReason, federation_decisions
from tests.ranking.federation_builders import COMPETITION, UNPROCESSED, row, verdict

RULES = FederationRules(competitions=(COMPETITION.id,))
BEST, WORST = {"PESQ_WB": 4.65, "ESTOI": 1.0}, {"PESQ_WB": 0.999, "ESTOI": -1.0}
BEYOND = dict.fromkeys(BEST, 1e6)
QUALITY = {"holder": 0.5, "evil": 0.4}
Lie = Callable[[JudgedRow], JudgedRow | None]
counts = pytest.mark.parametrize("validators", [3, 4, 5, 10])


def said(hotkey: str, means: Mapping[str, float], *, passed: bool) -> Lie:
    return lambda each: replace(each, means=means, passed=passed) if each.hotkey == hotkey else each


def left_out(hotkey: str) -> Lie:
    return lambda each: None if each.hotkey == hotkey else each


def praised(best: Mapping[str, float]) -> Lie:
    """For evil, and against all others."""
    return lambda each: replace(each, means=best if each.hotkey == "evil" else WORST, passed=each.hotkey == "evil")


LIES: dict[str, Lie] = {
    "praises": praised(BEST),
    "praises beyond bounds": praised(BEYOND),
    "runs down": said("holder", WORST, passed=False),
    "runs down beyond bounds": said("holder", dict.fromkeys(BEST, -1e6), passed=False),
    "leaves out the holder": left_out("holder"),
    "leaves out everybody": lambda each: None,
}
lies = pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())


def world(
    validators: int, lie: Lie | None, quality: Mapping[str, float] = QUALITY, *, tasks: int = 100, seed: int = 0
) -> list[Verdict]:
    """A window of tasks in turns. The second validator tells the lie in each of its tasks."""
    rng = np.random.default_rng(seed)
    found = []
    for task in range(tasks):
        rows: list[JudgedRow] = []
        for number, (hotkey, gain) in enumerate(quality.items()):
            shown = gain + rng.normal(0, 0.05)
            means = {name: base + shown * (1 if base > 1 else 0.2) for name, base in UNPROCESSED.items()}
            rows.append(row(hotkey, means=means, passed=bool(rng.random() < 0.9), block=100 + number))
        if lie is not None and task % validators == 1:
            rows = [changed for each in rows if (changed := lie(each)) is not None]
        found.append(verdict(task, f"v{task % validators:02}", rows))
    return found


def decide(
    verdicts: list[Verdict], incumbent: str = "holder", rules: FederationRules = RULES
) -> FederationDecision:
    incumbents = {COMPETITION.id: incumbent} if incumbent else {}
    return federation_decisions(
        rules, SOUNDSRIGHT_V5, [COMPETITION], verdicts, incumbents, epoch_block=100_000, floors=WORST
    )[COMPETITION.id]


@counts
@lies
@pytest.mark.parametrize("seed", range(5))
def test_one_liar_does_not_take_the_place_from_the_incumbent(validators: int, lie: Lie, seed: int) -> None:
    decision = decide(world(validators, lie, seed=seed))
    assert (decision.winner, decision.reason) == ("holder", FederationReason.DEFENDED)


@counts
@lies
def test_one_liar_does_not_crown_a_model_that_is_worse_than_the_input(validators: int, lie: Lie) -> None:
    decision = decide(world(validators, lie, {"holder": 0.5, "evil": -0.2}), "")
    assert (decision.winner, decision.reason) == ("holder", FederationReason.OPEN)


@counts
@pytest.mark.parametrize(
    "lie",
    [said("rival", WORST, passed=False), left_out("rival"), left_out("holder"), said("holder", BEST, passed=True)],
    ids=["runs down", "leaves out", "leaves out the holder", "praises the holder"],
)
def test_one_liar_does_not_keep_a_better_challenger_out(validators: int, lie: Lie) -> None:
    quality = {"holder": 0.5, "rival": 0.6}
    honest = next(n for n in range(5, 101) if decide(world(validators, None, quality, tasks=n)).winner == "rival")
    lied = next(n for n in range(5, 101) if decide(world(validators, lie, quality, tasks=n)).winner == "rival")
    assert lied <= honest + 12
    assert decide(world(validators, lie, quality)).reason is FederationReason.TAKEN


@pytest.mark.parametrize("profile", [Profile.DOC, Profile.CODE])
def test_one_false_commitment_gives_no_precedence_in_the_profiles_of_rates(profile: Profile) -> None:
    rules = federation_rules(profile, competitions=(COMPETITION.id,))
    verdicts = [
        verdict(
            task,
            f"v{task % 5}",
            [row("early", passed=task % 25 > 0, block=5), row("late", block=0 if task == 99 else 9)],
        )
        for task in range(100)
    ]
    decision = decide(verdicts, "", rules)
    assert decision.winner == "early"
    assert {each.entrant.hotkey: each.entrant.block for each in decision.rows} == {"early": 5, "late": 9}


def test_eligibility_counts_the_validators_of_the_whole_window() -> None:
    """Four validators judged on public recordings, which do not pay. The fifth decides nothing alone."""
    public = [
        each if each.validator == "v01" else replace(each, sets={}, unprocessed={}, rows=())
        for each in world(5, praised(BEST))
    ]
    decision = decide(public)
    assert (decision.winner, decision.reason) == (None, FederationReason.NOBODY_ELIGIBLE)
