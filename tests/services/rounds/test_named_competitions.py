"""One round with two competitions of the same task and rate, which differ only in their names."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from soundsright.core.competition import Competition, Task
from soundsright.core.competition_rules import CompetitionRules
from soundsright.core.rulesets import SOUNDSRIGHT_V2
from soundsright.services.rounds.plan import plan_facts
from tests.services.rounds.subnet import Subnet

STUDIO = Competition(Task.DENOISING, 16_000, {"PESQ_WB": 1.0}, 30.0, 10.0, "studio")
STREET = Competition(Task.DENOISING, 16_000, {"ESTOI": 1.0}, 40.0, 20.0, "street")
RULES = CompetitionRules((STUDIO, STREET), SOUNDSRIGHT_V2)
ENTERED = {"alice": STUDIO, "bob": STREET, "carol": STUDIO}


class TwoCompetitions(Subnet):
    """Alice and carol enter the studio, bob enters the street."""

    def enter(self, name: str, quality: float) -> None:
        super().enter(name, quality)
        competition = ENTERED[name]
        self.reveals[name] = replace(self.reveals[name], competition_id=competition.id)
        self.chain.publish(name, self.reveals[name].digest(name))


@pytest.fixture
def subnet(tmp_path: Path) -> TwoCompetitions:
    return TwoCompetitions(tmp_path)


def test_each_has_its_own_set_entries_and_winner(subnet: TwoCompetitions) -> None:
    outcome = subnet.run(rules=RULES)
    assert not outcome.refusals
    assert set(outcome.sets) == {"studio", "street"}
    assert outcome.sets["studio"].seed != outcome.sets["street"].seed
    entered = {name: [e.submission.hotkey for e in own] for name, own in outcome.evaluations.items()}
    assert {name: sorted(hotkeys) for name, hotkeys in entered.items()} == {
        "studio": ["alice", "carol"],
        "street": ["bob"],
    }
    decisions = {board.competition.id: board.decisions[0] for board in outcome.leaderboards}
    winners = {name: decision.winner.hotkey if decision.winner else None for name, decision in decisions.items()}
    assert winners == {"studio": "carol", "street": "bob"}


def test_a_resumed_round_reaches_the_same_result(subnet: TwoCompetitions) -> None:
    first = subnet.run(rules=RULES)
    again = subnet.run(rules=RULES)
    assert again.weights == first.weights
    assert [b.standings for b in again.leaderboards] == [b.standings for b in first.leaderboards]


def test_the_recorded_plan_has_the_task_and_rate_of_each_name(subnet: TwoCompetitions) -> None:
    facts = plan_facts(subnet.plan(rules=RULES))
    assert facts["tasks"] == {"studio": ["DENOISING", 16_000], "street": ["DENOISING", 16_000]}
    assert "tasks" not in json.dumps(plan_facts(subnet.plan()))
