"""The tiers as a system of a validator: ticks never wait, faults are shown, payees are None while unknown."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soundsright.core.errors import InfrastructureFault, SoundsRightError
from soundsright.core.tiers_rules import tiers_rules
from soundsright.services.verifier import ServingProvers, TiersSubsystem
from soundsright.testing.served import Manner
from tests.services.verifier.world import INTERVAL, World

RULES = tiers_rules(interval_blocks=INTERVAL, bank_clips=4, repeat_clips=1, step_s=0.1)


class RealClock:
    """The time of this machine."""

    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, {"honest": Manner.HONEST, "better": Manner.BETTER}, rules=RULES)


@pytest.fixture
def tiers(world: World) -> Iterator[TiersSubsystem]:
    subsystem = TiersSubsystem(replace(world.context(), clock=RealClock()), poll_s=0.02)
    yield subsystem
    subsystem.close()


def until(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def test_payees_are_unknown_first_and_then_those_who_passed(world: World, tiers: TiersSubsystem) -> None:
    assert tiers.name == "tiers"
    assert tiers.payees() is None
    tiers.tick(INTERVAL + 1, world.neurons)
    until(lambda: bool(tiers.payees()))
    assert tiers.payees() == {"honest": 1.0}


def test_a_tick_does_not_wait_for_provers(world: World, tiers: TiersSubsystem) -> None:
    hold, asked = threading.Event(), threading.Event()
    answer = world.provers._answer

    def held(*args: Any) -> Any:
        asked.set()
        hold.wait(20.0)
        return answer(*args)

    world.provers._answer = held  # type: ignore[method-assign, assignment]
    tiers.tick(INTERVAL + 1, world.neurons)
    assert asked.wait(20.0)
    started_s = time.monotonic()
    for block in range(5):
        tiers.tick(INTERVAL + 2 + block, world.neurons)
        tiers.payees()
        tiers.best_provers("DENOISING_16000HZ")
    assert time.monotonic() - started_s < 0.5
    hold.set()


def test_a_fault_shows_in_the_tick_until_work_succeeds(world: World, tiers: TiersSubsystem) -> None:
    read_all, broken = world.counters.read_all, [True]

    def failing() -> Any:
        if broken[0]:
            raise InfrastructureFault("Redis is away")
        return read_all()

    world.counters.read_all = failing

    def fails() -> bool:
        try:
            tiers.tick(INTERVAL + 1, world.neurons)
        except SoundsRightError as error:
            return "Redis is away" in str(error)
        return False

    until(fails)
    broken[0] = False
    until(lambda: not fails())
    until(lambda: bool(tiers.payees()))


def test_a_gateway_reads_the_best_provers_and_counts_its_requests(world: World, tiers: TiersSubsystem) -> None:
    serving: ServingProvers = tiers
    tiers.tick(INTERVAL + 1, world.neurons)
    until(lambda: [p.hotkey for p in serving.best_provers("DENOISING_16000HZ")] == ["honest", "better"])
    until(lambda: serving.best_provers("DENOISING_16000HZ")[0].is_verified)
    until(lambda: len(world.provers.asked) == 8)
    before = world.counts("honest")["requests"]
    assert serving.take_request("honest")
    assert world.counts("honest")["requests"] == before + 1
    assert serving.best_provers("DEREVERBERATION_16000HZ") == ()


def test_close_ends_the_thread_and_later_ticks_start_none(world: World, tiers: TiersSubsystem) -> None:
    tiers.tick(INTERVAL + 1, world.neurons)
    until(lambda: len(world.provers.asked) > 0)
    tiers.close()
    until(lambda: not any(t.name == "tiers" for t in threading.enumerate()))
    tiers.tick(INTERVAL + 2, world.neurons)
    assert not any(t.name == "tiers" for t in threading.enumerate())
