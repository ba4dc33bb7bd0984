"""A round that continues after a restart sees the same chain as before."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from soundsright.core.errors import ChainUnavailable
from soundsright.services.rounds import steps
from soundsright.services.validator.chain import PinnedChain, at_the_close
from soundsright.testing.state import MemoryState
from tests.services.rounds.test_holdings import Rounds


class Archiveless:
    """A node that knows only the present state."""

    def __init__(self, chain: Any) -> None:
        self._chain = chain

    def snapshot(self, number: int | None = None) -> Any:
        if number is not None:
            raise ChainUnavailable(f"State of block {number} is discarded")
        return self._chain.snapshot()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chain, name)


def stopped_after_its_entries(rounds: Rounds, **entries: Any) -> MemoryState:
    """The state of a validator that was stopped after the entries of the last round, with these facts."""
    left = MemoryState()
    for round_id in rounds.state.rounds():
        left.begin_round(round_id, rounds.state.begin_round(round_id, {}))
        recorded: dict[str, Mapping[str, Any]] = dict(rounds.state.steps(round_id))
        if round_id == rounds.round.id:
            kept = {name: fact for name, fact in recorded["entries"].items() if name != "neurons"}
            recorded = {"seed": recorded["seed"], "entries": kept | entries}
        for name, facts in recorded.items():
            left.finish_step(round_id, name, facts)
    return left


@pytest.fixture
def rounds(tmp_path: Path) -> Rounds:
    rounds = Rounds(tmp_path)
    assert rounds.play_with_one_who_came_back() == [("victim", "shared_checkpoint")]
    return rounds


def resumed(rounds: Rounds, chain: Any) -> list[tuple[str, str]]:
    closed = at_the_close(chain, rounds.round, steps.read(rounds.state, rounds.round.id, steps.ENTRIES))
    rounds.chain_view = PinnedChain(chain, closed)
    return [(refusal.hotkey, refusal.code) for refusal in rounds.run().refusals]


def test_a_restarted_round_also_sees_a_hotkey_that_registered_again_as_new(rounds: Rounds) -> None:
    """The hotkey has left since, and the node has lost the block."""
    entries = rounds.state.step_done(rounds.round.id, "entries")
    assert entries is not None
    rounds.state = stopped_after_its_entries(rounds, neurons=entries["neurons"])
    rounds.chain.deregister("victim")
    assert resumed(rounds, Archiveless(rounds.chain)) == [("victim", "shared_checkpoint")]


@pytest.mark.parametrize("by_hotkey", [True, False], ids=["of hotkeys alone", "of no neurons"])
def test_records_of_older_versions_are_read_with_the_chain(rounds: Rounds, by_hotkey: bool) -> None:
    uids = {str(neuron.uid): neuron.hotkey for neuron in rounds.chain.neurons()}
    rounds.state = stopped_after_its_entries(rounds, **({"hotkeys": uids} if by_hotkey else {}))
    chain = Archiveless(rounds.chain) if by_hotkey else rounds.chain
    assert resumed(rounds, chain) == [("victim", "shared_checkpoint")]
