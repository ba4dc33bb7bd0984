"""Titles are rows of the state, and the latest row counts. A state of 0.1.0 has no rows, but keeps its titles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.state.store import SqlState
from soundsright.core.errors import UsageError
from soundsright.core.ports import TitleRow
from soundsright.core.schedule import Round
from soundsright.core.sources import ModelRef
from soundsright.core.submission import Submission
from soundsright.ranking import Champion
from soundsright.services.rounds import RoundOutcome, steps
from soundsright.testing import MemoryState
from tests.services.rounds.subnet import COMPETITION, Subnet, replace_method

DECIDE = steps.decide(COMPETITION.id)
METRICS = sorted(COMPETITION.metric_weights)


@pytest.fixture
def subnet(tmp_path: Path) -> Subnet:
    return Subnet(tmp_path)


def next_round(subnet: Subnet, number: int) -> RoundOutcome:
    subnet.chain.advance(10)
    subnet.round = Round(f"round-{number}", subnet.chain.head().number, subnet.chain.advance(5).number)
    subnet.chain.advance(5)
    return subnet.run()


def titles(subnet: Subnet, *, before: str = "next") -> dict[str, str | None]:
    rows = subnet.state.titles(COMPETITION.id, before=before)
    return {row.metric: row.champion["hotkey"] if row.champion else None for row in rows}


def as_0_1_0_left_it(state: MemoryState | SqlState) -> MemoryState:
    """The same rounds and steps without titles and without versions."""
    old = MemoryState()
    for round_id in state.rounds():
        old.begin_round(round_id, state.begin_round(round_id, {}))
        for name, facts in state.steps(round_id).items():
            old.finish_step(round_id, name, _without_version(name, dict(facts)))
        for entry_id in state.entries_with_results(round_id):
            old.add_clip_results(round_id, entry_id, state.clip_results(round_id, entry_id))
    return old


def _without_version(name: str, facts: dict[str, Any]) -> dict[str, Any]:
    del facts["version"]
    return facts["by_entry"] if name == "flags" else facts


def test_a_decided_round_records_the_title_of_each_metric(subnet: Subnet) -> None:
    subnet.run()
    assert titles(subnet) == dict.fromkeys(METRICS, "carol")
    assert titles(subnet, before="round-1") == {}


def test_a_round_that_runs_again_records_nothing_new(subnet: Subnet) -> None:
    first = subnet.run()
    rows = subnet.state.titles(COMPETITION.id, before="next")
    assert subnet.run().weights == first.weights
    assert subnet.state.titles(COMPETITION.id, before="next") == rows


def test_a_champion_that_left_has_no_title_any_more_even_when_it_returns(subnet: Subnet) -> None:
    subnet.run()
    subnet.chain.deregister("carol")
    del subnet.reveals["carol"]
    next_round(subnet, 2)
    assert titles(subnet) == dict.fromkeys(METRICS, "bob")
    subnet.chain.register("carol")
    next_round(subnet, 3)
    assert titles(subnet) == dict.fromkeys(METRICS, "bob")


def test_a_state_of_0_1_0_gives_its_champions_and_the_same_weights(subnet: Subnet) -> None:
    subnet.run()
    old = as_0_1_0_left_it(subnet.state)
    expected = next_round(subnet, 2)
    decided = steps.read(subnet.state, "round-2", DECIDE)
    subnet.state = old
    assert titles(subnet) == {}
    outcome = subnet.run()
    assert outcome.weights == expected.weights
    assert steps.read(old, "round-2", DECIDE) == decided
    assert titles(subnet, before="round-2") == dict.fromkeys(METRICS, "carol")


def test_the_decisions_of_0_1_0_are_read_once(subnet: Subnet) -> None:
    subnet.run()
    subnet.state = as_0_1_0_left_it(subnet.state)
    next_round(subnet, 2)
    reads: list[tuple[str, str]] = []
    step_done = subnet.state.step_done

    def watched(round_id: str, step: str) -> Mapping[str, Any] | None:
        reads.append((round_id, step))
        return step_done(round_id, step)

    replace_method(subnet.state, "step_done", watched)
    next_round(subnet, 3)
    assert ("round-1", DECIDE.name) not in reads
    assert ("round-2", DECIDE.name) not in reads


def test_a_round_that_0_1_0_decided_and_did_not_finish_has_its_titles_after_a_restart(subnet: Subnet) -> None:
    subnet.run()
    expected = next_round(subnet, 2)
    old = as_0_1_0_left_it(subnet.state)
    subnet.state = old
    assert subnet.run().weights == expected.weights
    rows = old.titles(COMPETITION.id, before="next")
    assert {row.round_id for row in rows} == {"round-2"}
    assert [row.metric for row in rows] == METRICS


def test_a_title_of_a_newer_program_is_refused(subnet: Subnet) -> None:
    subnet.state.begin_round("round-0", {})
    row = TitleRow(COMPETITION.id, "ESTOI", "round-0", {"version": 2})
    subnet.state.finish_step("round-0", "decide", {}, titles=[row])
    with pytest.raises(UsageError, match=r"Round round-0, title ESTOI of .*version 2.*Update soundsright"):
        subnet.run()


def test_title_rows_are_plain_json(subnet: Subnet) -> None:
    subnet.run()
    (row, *_) = subnet.state.titles(COMPETITION.id, before="next")
    assert row.champion is not None
    champion = steps.RecordedChampion.from_facts(json.loads(json.dumps(row.champion)))
    decided = steps.read(subnet.state, "round-1", DECIDE)
    assert decided is not None
    assert champion == decided.champions[row.metric]


def test_a_champion_is_read_back_from_its_record() -> None:
    champion = Champion(Submission(2, "good", COMPETITION, ModelRef("good", "model", "0" * 40), 5), 2.2, 950)
    facts = json.loads(json.dumps(steps.RecordedChampion.of_champion(champion).to_facts()))
    assert steps.RecordedChampion.from_facts(facts).champion(COMPETITION) == champion
