"""The verifier's counts on SQLite, PostgreSQL, Redis and in memory. A kill never loses or doubles one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.state.counters import SqlCounters
from soundsright.adapters.state.records import SqlRecords
from soundsright.adapters.state.redis_counters import RedisCounters
from soundsright.adapters.state.store import SqlState
from soundsright.core.errors import StateUnavailable
from soundsright.core.tiers_rules import tiers_rules
from soundsright.testing import MemoryCounters
from soundsright.testing.served import Manner
from tests.adapters.state import redis_program as redis
from tests.adapters.state.postgres import SQL
from tests.contracts.conftest import Place
from tests.services.verifier.world import INTERVAL, World

RULES = tiers_rules(
    interval_blocks=INTERVAL,
    bank_clips=6,
    min_attempts=6,
    table={"Bronze": {"rate": 0.4}, "Silver": {"rate": 0.5, "min_successes": 6}},
)
MANNERS = {"honest": Manner.HONEST, "better": Manner.BETTER, "drip": Manner.DRIP}


@pytest.fixture(scope="module")
def redis_server() -> Iterator[redis.TestServer]:
    pytest.importorskip("redis", reason="Redis needs soundsright[redis]")
    with redis.server() as running:
        yield running


@pytest.fixture(params=["memory", *SQL, pytest.param("redis", marks=redis.needs_redis)])
def world(request: pytest.FixtureRequest, place: Place, tmp_path: Path) -> Iterator[World]:
    """A world whose state, records and counters are in a database. `memory` counts in memory."""
    kind = str(request.param)
    url, organiser = place(kind)
    with ExitStack() as stack:
        counters: Any = MemoryCounters()
        if kind == "redis":
            server = request.getfixturevalue("redis_server")
            counters = stack.enter_context(closing(RedisCounters(server.address, scope=organiser)))
        elif kind != "memory":
            counters = stack.enter_context(closing(SqlCounters(url, scope=organiser)))
        state = stack.enter_context(closing(SqlState(url)))
        records = stack.enter_context(closing(SqlRecords(url, scope=organiser)))
        folder = tmp_path / "world"
        yield World(folder, MANNERS, rules=RULES, counters=counters, state=state, records=records, scope=organiser)


def asked_of(world: World, hotkey: str) -> int:
    return [asked for asked, _ in world.provers.asked].count(hotkey)


def test_an_interval_is_counted_archived_and_decided(world: World) -> None:
    world.run_interval(1)
    counts = {hotkey: world.counts(hotkey) for hotkey in MANNERS}
    for hotkey in MANNERS:
        own = counts[hotkey]
        assert (
            own["challenge_attempts"] + own.get("inference_attempts", 0)
            == own["requests"]
            == asked_of(world, hotkey)
            == 6
        )
    assert counts["honest"]["total_interval_successes"] == counts["honest"]["total_successes"] == 6
    assert "total_successes" not in counts["better"]
    world.close_interval(1)
    archived = world.counters.interval("tiers:1")
    assert {hotkey: archived[f"stats:{hotkey}"] for hotkey in MANNERS} == counts
    assert world.standings()["honest"].tier == "Silver"
    assert world.standings()["better"].tier == "Bronze"
    assert world.counts("honest")["total_successes"] >= 6
    assert len(world.failures()) >= 12


class Killed(BaseException):
    """The process is killed at this call."""


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("call", [1, 3])
def test_a_kill_at_a_count_counts_every_attempt_once(world: World, moment: str, call: int) -> None:
    world.work(INTERVAL, times=4)
    add: Callable[..., bool] = world.counters.add
    calls = 0

    def dying(*args: Any, **kwargs: Any) -> bool:
        nonlocal calls
        calls += 1
        if calls == call and moment == "before":
            raise Killed
        counted = add(*args, **kwargs)
        if calls == call:
            raise Killed
        return counted

    world.counters.add = dying
    with pytest.raises(Killed):
        world.work(INTERVAL + 1, times=3)
    world.counters.add = add
    world.restart()
    world.work(INTERVAL + 2, times=2)
    for hotkey in MANNERS:
        assert world.counts(hotkey)["requests"] == asked_of(world, hotkey)
    assert world.counts("honest")["total_successes"] == asked_of(world, "honest")


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("method", ["close_interval", "append", "forget_intervals"])
def test_a_kill_at_the_close_decides_the_same(world: World, moment: str, method: str) -> None:
    world.run_interval(1)
    port: Any = world.records if method == "append" else world.counters
    true_method = getattr(port, method)

    def dying(*args: Any, **kwargs: Any) -> Any:
        if moment == "after":
            true_method(*args, **kwargs)
        raise Killed

    setattr(port, method, dying)
    with pytest.raises(Killed):
        world.close_interval(1)
    setattr(port, method, true_method)
    world.restart()
    world.close_interval(1)
    standings = world.standings()
    assert standings["honest"].tier == "Silver"
    assert (standings["better"].attempts_since_move, standings["better"].successes_since_move) == (6, 0)
    assert [r.facts["hotkey"] for r in world.records.read("tiers.moves")] == ["honest"]


@pytest.mark.slow
@redis.needs_redis
def test_a_redis_that_goes_away_stops_steps_and_keeps_tiers(tmp_path: Path) -> None:
    pytest.importorskip("redis", reason="Redis needs soundsright[redis]")
    with redis.server("--bind", "127.0.0.1", "--appendonly", "yes", "--appendfsync", "always") as running:
        counters = RedisCounters(running.address)
        world = World(tmp_path, MANNERS, counters=counters)
        world.work(INTERVAL, times=4)
        before = {hotkey: world.counts(hotkey) for hotkey in MANNERS}
        running.kill()
        with pytest.raises(StateUnavailable):
            world.work(INTERVAL + 1)
        asked = len(world.provers.asked)
        with pytest.raises(StateUnavailable):
            world.close_interval(1)
        assert len(world.provers.asked) == asked
        running.start()
        world.work(INTERVAL + 2)
        assert before["honest"]["requests"] < world.counts("honest")["requests"] == asked_of(world, "honest")
        counters.close()
