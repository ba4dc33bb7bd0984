"""The age of a title follows the model, whatever hotkey enters it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soundsright.core.competition_rules import CompetitionRules
from soundsright.core.rulesets import SOUNDSRIGHT_V3, SOUNDSRIGHT_V4, Ruleset
from soundsright.core.schedule import Round
from soundsright.services.rounds import RoundOutcome, steps
from tests.services.rounds.subnet import COMPETITION, Subnet

DECIDE = steps.decide(COMPETITION.id)
AGED = 201_600


@pytest.fixture
def subnet(tmp_path: Path) -> Subnet:
    return Subnet(tmp_path)


def rules(ruleset: Ruleset) -> dict[str, Any]:
    return {"rules": CompetitionRules((COMPETITION,), ruleset)}


def next_round(subnet: Subnet, number: int, ruleset: Ruleset, *, after_blocks: int = 10) -> RoundOutcome:
    subnet.chain.advance(after_blocks)
    subnet.round = Round(f"round-{number}", subnet.chain.head().number, subnet.chain.advance(5).number)
    subnet.chain.advance(5)
    return subnet.run(**rules(ruleset))


def leave(subnet: Subnet, name: str) -> None:
    subnet.chain.deregister(name)
    del subnet.reveals[name]


def enter_model_of(subnet: Subnet, name: str, original: str) -> None:
    """Enter the files of another hotkey's model from a repository of one's own."""
    subnet.enter(name, 0.8)
    content = subnet.hub.repositories[subnet.models[original]]
    subnet.hub.repositories[subnet.models[name]] = replace(content)


def since_blocks(subnet: Subnet, round_id: str) -> set[int]:
    decided = steps.read(subnet.state, round_id, DECIDE)
    assert decided is not None
    return {champion.since_block for champion in decided.champions.values()}


@pytest.mark.parametrize(("ruleset", "is_young"), [(SOUNDSRIGHT_V3, True), (SOUNDSRIGHT_V4, False)])
def test_the_same_files_under_a_second_hotkey_do_not_make_a_title_young(
    subnet: Subnet, ruleset: Ruleset, is_young: bool
) -> None:
    subnet.run(**rules(ruleset))
    first = subnet.round.seed_block
    leave(subnet, "carol")
    enter_model_of(subnet, "dave", "carol")
    outcome = next_round(subnet, 2, ruleset, after_blocks=AGED)
    assert {d.winner.hotkey for d in outcome.leaderboards[0].decisions if d.winner} == {"dave"}
    assert since_blocks(subnet, "round-2") == {subnet.round.seed_block if is_young else first}
    assert outcome.leaderboards[0].decisions[0].champion_took_part is not is_young


def test_a_title_without_its_champion_keeps_its_age_until_a_model_defends_it_and_loses(subnet: Subnet) -> None:
    subnet.run(**rules(SOUNDSRIGHT_V4))
    first = subnet.round.seed_block
    leave(subnet, "carol")
    next_round(subnet, 2, SOUNDSRIGHT_V4)
    assert since_blocks(subnet, "round-2") == {first}
    subnet.enter("erin", 0.95)
    next_round(subnet, 3, SOUNDSRIGHT_V4)
    decided = steps.read(subnet.state, "round-3", DECIDE)
    assert decided is not None
    assert {c.hotkey for c in decided.champions.values()} == {"erin"}
    assert since_blocks(subnet, "round-3") == {subnet.round.seed_block}


def test_a_round_that_is_decided_again_finds_the_same(subnet: Subnet) -> None:
    subnet.run(**rules(SOUNDSRIGHT_V4))
    leave(subnet, "carol")
    enter_model_of(subnet, "dave", "carol")
    outcome = next_round(subnet, 2, SOUNDSRIGHT_V4)
    assert subnet.run(**rules(SOUNDSRIGHT_V4)).leaderboards == outcome.leaderboards
