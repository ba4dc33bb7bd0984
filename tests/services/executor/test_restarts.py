"""An executor that is killed at any write goes on, repeats at most one run, and publishes the same table."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.state.records import SqlRecords
from soundsright.adapters.state.store import SqlState
from soundsright.core.errors import StateUnavailable
from soundsright.core.ports import Record
from soundsright.core.results import Failure
from soundsright.testing import FakeChain, Killed, MemoryRecords, MemoryState
from tests.services.executor.world import START_S, World, entry

A, B, C, D = entry("Aa", 80), entry("Bb", 60), entry("Cc", 40), entry("Dd", 20)
EVERY = 3  # So that one write is killed before it takes effect, and the next one after it.
WRITES = ("begin_round", "finish_step", "add_clip_results")


class Dying:
    """A port of the state that fails at one of its writes, before or after it took effect."""

    def __init__(self, port: object, tell: Callable[[str], None]) -> None:
        self._port, self._tell = port, tell

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._port, name)
        if name not in (*WRITES, "append"):
            return attribute

        def call(*args: Any, **kwargs: Any) -> Any:
            self._tell("before")
            result = attribute(*args, **kwargs)
            self._tell("after")
            return result

        return call


class Death:
    """Raises an error at the n-th moment, and counts the moments."""

    def __init__(self, at: int, error: type[BaseException]) -> None:
        self._at, self._error = at, error
        self.moments = 0

    def __call__(self, _moment: str) -> None:
        self.moments += 1
        if self.moments == self._at:
            raise self._error("planted")


def play(world: World) -> None:
    """Two rounds: four images, of which one fails and one cannot be pulled; then a new one."""
    world.meter.failures["Dd"] = Failure("timeout", "too slow")
    if not world.state.rounds():
        world.service.take([A, B, D])
    while world.chain.finalized().number < 10:
        world.chain.advance()
    _until_published(world, "images-10")
    world.service.take([A, B, C, D])
    while world.chain.finalized().number < 20:
        world.chain.advance()
    _until_published(world, "images-20")


def _until_published(world: World, round_id: str) -> None:
    for _ in range(4):
        if world.service.results(round_id) is not None:
            return
        world.service.tick()
        world.clock.sleep(400)
    raise AssertionError(f"{round_id} is not published: {world.problems}")


def outcome(world: World) -> Any:
    """Everything that must be the same, without the times at which it was written."""

    def without_times(value: Any) -> Any:
        if isinstance(value, dict):
            kept = {k: without_times(v) for k, v in value.items() if k not in ("updated_at", "updated_s")}
            return kept | ({"document": without_times(json.loads(kept["document"]))} if "document" in kept else {})
        return [without_times(item) for item in value] if isinstance(value, list) else value

    documents = [json.loads(world.service.results(name) or b"") for name in ("images-10", "images-20")]
    return without_times([{"document": each["document"]} for each in documents]), world.shown()


def a_world(folder: Path, chain: FakeChain, state: Any, records: Any) -> World:
    return World(folder, state=state, records=records, chain=chain)


def test_it_goes_on_after_a_death_at_any_write(tmp_path: Path) -> None:
    undisturbed = World(tmp_path / "peace")
    play(undisturbed)
    expected = outcome(undisturbed)
    at, is_over = -2, False
    while not is_over:
        at += EVERY
        death = Death(at, Killed)
        state, records, chain = MemoryState(), MemoryRecords(), FakeChain(start_s=START_S, unfinal=0)
        folder = tmp_path / str(at)
        first = a_world(folder, chain, Dying(state, death), Dying(records, death))
        try:
            play(first)
            is_over = True
        except Killed:
            pass
        second = a_world(folder, chain, state, records)
        play(second)
        assert outcome(second) == expected, f"write {at}"
        runs = [first.meter.runs.get(run, 0) + second.meter.runs.get(run, 0) for run in undisturbed.meter.runs]
        assert sum(runs) <= len(runs) + 1, f"write {at}: runs were repeated"
        assert min(runs) >= 1
    assert at > 40


@pytest.mark.parametrize("moment", [3, 8, 15, 24])
def test_it_goes_on_after_a_database_that_did_not_answer(tmp_path: Path, moment: int) -> None:
    undisturbed = World(tmp_path / "peace")
    play(undisturbed)
    death = Death(moment, StateUnavailable)
    disturbed = World(tmp_path / "disturbed", state=Dying(MemoryState(), death), records=MemoryRecords())
    play(disturbed)
    assert outcome(disturbed) == outcome(undisturbed)


def test_a_death_in_a_database_file(tmp_path: Path) -> None:
    undisturbed = World(tmp_path / "peace")
    play(undisturbed)
    chain = FakeChain(start_s=START_S, unfinal=0)
    for at in (5, 19, 10_000):
        with closing(SqlState(tmp_path / "executor.db")) as state:
            death = Death(at, Killed)
            world = a_world(tmp_path / "file", chain, Dying(state, death), SqlRecords.beside(state))
            try:
                play(world)
            except Killed:
                continue
            assert outcome(world) == outcome(undisturbed)
            return
    raise AssertionError("the rounds did not end")


def test_records_of_the_store_are_read_again_after_a_failed_write(tmp_path: Path) -> None:
    class Failing(MemoryRecords):
        fails = True

        def append(self, stream: str, key: str, facts: Any) -> Record:
            record = super().append(stream, key, facts)
            if self.fails:
                raise StateUnavailable("The connection broke")
            return record

    records = Failing()
    world = World(tmp_path, records=records)
    with pytest.raises(StateUnavailable):
        world.service.take([A, B])
    records.fails = False
    assert world.service.take([A, B]).new == 0
