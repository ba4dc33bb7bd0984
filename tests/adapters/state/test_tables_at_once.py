"""Records, counters and accounts that many threads and processes write at once, and writers that are killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from soundsright.adapters.state import database as state_database
from soundsright.adapters.state.accounts import SqlAccounts
from soundsright.adapters.state.counters import SqlCounters
from soundsright.adapters.state.records import SqlRecords
from soundsright.adapters.state.redis_counters import RedisCounters
from soundsright.core.errors import BalanceTooLow, RecordConflict
from soundsright.core.ports import Counters, NewRecord
from tests.adapters.state import postgres
from tests.adapters.state import redis_program as redis
from tests.adapters.state.postgres import SQL
from tests.adapters.state.tables_writer import CHARGES, FEE_RAO, START_RAO

WRITER = Path(__file__).with_name("tables_writer.py")
T = TypeVar("T")


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    with postgres.server_or_skip() as url:
        yield url


@pytest.fixture(scope="module")
def redis_server() -> Iterator[redis.TestServer]:
    pytest.importorskip("redis", reason="Redis needs soundsright[redis]")
    with redis.server("--bind", "127.0.0.1", "--appendonly", "yes", "--appendfsync", "always") as running:
        yield running


@pytest.fixture(params=SQL)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path / 'state.db'}"


@pytest.fixture
def scope(tmp_path: Path) -> str:
    return tmp_path.name[-64:]


@pytest.fixture(params=[*SQL, pytest.param("redis", marks=redis.needs_redis)])
def open_counters(request: pytest.FixtureRequest, tmp_path: Path, scope: str) -> Callable[[], Counters]:
    if request.param == "redis":
        server = request.getfixturevalue("redis_server")
        return lambda: RedisCounters(server.address, scope=scope)
    if request.param == "postgresql":
        address = str(request.getfixturevalue("postgres_url"))
        return lambda: SqlCounters(address, scope=scope)
    return lambda: SqlCounters(tmp_path / "state.db", scope=scope)


def at_once(count: int, work: Callable[[int], T]) -> list[T]:
    """The results of `work(0)`, `work(1)`, ... in threads that start at the same moment."""
    barrier = threading.Barrier(count)

    def started(number: int) -> T:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(started, range(count)))


@pytest.mark.parametrize("repetition", range(3))
def test_of_two_charges_at_once_one_succeeds(url: str, scope: str, repetition: int) -> None:
    accounts = [SqlAccounts(url, scope=f"{scope[:60]}-{repetition}") for _ in range(2)]
    accounts[0].credit("t1", "cold", 400_000_000)

    def charge(number: int) -> bool:
        record = NewRecord("enrolments", f"hotkey{number}", {})
        try:
            accounts[number].charge(f"c{number}", "cold", 250_000_000, record=record)
        except BalanceTooLow:
            return False
        return True

    paid = at_once(2, charge)
    assert sorted(paid) == [False, True]
    assert accounts[0].balance("cold") == 150_000_000
    enrolled = SqlRecords.beside(accounts[0]).read("enrolments")
    assert [row.key for row in enrolled] == [f"hotkey{paid.index(True)}"]
    winner = paid.index(True)
    accounts[winner].charge(
        f"c{winner}", "cold", 250_000_000, record=NewRecord("enrolments", f"hotkey{winner}", {})
    )
    assert accounts[0].balance("cold") == 150_000_000
    for opened in accounts:
        opened.close()


def test_an_event_of_two_coldkeys_at_once_counts_for_one(url: str, scope: str) -> None:
    accounts = [SqlAccounts(url, scope=scope) for _ in range(2)]

    def credit(number: int) -> bool:
        try:
            accounts[number].credit("t1", f"cold{number}", 5)
        except RecordConflict:
            return False
        return True

    assert sorted(at_once(2, credit)) == [False, True]
    assert sorted(accounts[0].balance(f"cold{number}") for number in range(2)) == [0, 5]
    for opened in accounts:
        opened.close()


def test_a_charge_that_is_refunded_at_once_is_refunded_once(url: str, scope: str) -> None:
    accounts = SqlAccounts(url, scope=scope)
    accounts.credit("t1", "cold", 5)
    accounts.charge("c1", "cold", 5)

    def refund(number: int) -> bool:
        try:
            accounts.refund(f"r{number}", "c1")
        except RecordConflict:
            return False
        return True

    assert sum(at_once(4, refund)) == 1
    assert accounts.balance("cold") == 5
    accounts.close()


def test_a_reader_misses_no_record_of_writers_at_once(url: str, scope: str) -> None:
    records = SqlRecords(url, scope=scope)
    writing = threading.Event()
    writing.set()
    seen: list[str] = []

    def read() -> None:
        after = 0
        while True:
            is_last = not writing.is_set()
            rows = records.read("events", after=after, limit=7)
            seen.extend(row.key for row in rows)
            after = rows[-1].position if rows else after
            if is_last and not rows:
                return

    reader = threading.Thread(target=read)
    reader.start()

    def write(number: int) -> None:
        for i in range(25):
            records.append("events", f"{number}-{i}", {"number": number})

    at_once(4, write)
    writing.clear()
    reader.join()
    assert len(seen) == len(set(seen)) == 100
    records.close()


def test_additions_at_once_count_each_mark_once(open_counters: Callable[[], Counters]) -> None:
    """Four writers add the same 40 marks, and one closes intervals meanwhile."""
    opened = [open_counters() for _ in range(5)]
    closed = []

    def work(number: int) -> int:
        if number == 4:
            for i in range(2):
                closed.append(opened[4].close_interval(f"i{i}"))
                time.sleep(0.01)
            return 0
        return sum(opened[number].add("5F", {"b": 1, "a": 2}, once=f"m{i}") for i in range(40))

    assert sum(at_once(5, work)) == 40
    closed.append(opened[4].close_interval("last"))
    counted = [counts.get("5F", {}) for counts in closed]
    assert sum(counts.get("a", 0) for counts in counted) == 80
    assert sum(counts.get("b", 0) for counts in counted) == 40
    assert all(counts.get("a", 0) == 2 * counts.get("b", 0) for counts in counted)
    for counters in opened:
        counters.close()


def test_an_interval_that_is_closed_at_once_has_one_result(open_counters: Callable[[], Counters]) -> None:
    opened = [open_counters() for _ in range(4)]
    opened[0].add("5F", {"a": 3})
    results = at_once(4, lambda number: opened[number].close_interval("i1"))
    assert results == [{"5F": {"a": 3}}] * 4
    assert opened[0].read_all() == {}
    for counters in opened:
        counters.close()


class TestKilledWriters:
    """`tables_writer.py` credits, charges with records, and counts, always the same, until somebody kills it."""

    def run(self, url: str, redis_url: str, scope: str, *, kill_after: int | None) -> None:
        """Start the writer, and kill it after that many charges. Without a number, let it end."""
        process = subprocess.Popen(
            [sys.executable, str(WRITER), url, redis_url, scope],
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert process.stdout is not None
        with process.stdout as lines:
            for number, _line in enumerate(lines, start=1):
                if number == kill_after:
                    time.sleep(random.Random(number).random() * 0.01)
                    process.send_signal(signal.SIGKILL)
        assert process.wait() == (0 if kill_after is None else -signal.SIGKILL)

    @pytest.mark.parametrize("kills", [(1, 20)])
    def test_nothing_is_half_written_and_no_money_is_lost(
        self, url: str, scope: str, kills: tuple[int, ...], request: pytest.FixtureRequest
    ) -> None:
        redis_url = ""
        if redis.is_installed():
            redis_url = request.getfixturevalue("redis_server").url
        SqlAccounts(url).close()
        for kill_after in kills:
            self.run(url, redis_url, scope, kill_after=kill_after)
            self.check_whole(url, scope)
        self.run(url, redis_url, scope, kill_after=None)
        accounts = SqlAccounts(url, scope=scope)
        assert accounts.balance("cold") == START_RAO - CHARGES * FEE_RAO
        assert len(accounts.events(purpose="season")) == CHARGES
        counters: Counters = SqlCounters.beside(accounts)
        assert counters.read("5F") == {"charges": CHARGES, "paid": CHARGES * FEE_RAO}
        if redis_url:
            in_redis = RedisCounters(request.getfixturevalue("redis_server").address, scope=scope)
            assert in_redis.read("5F") == {"charges": CHARGES, "paid": CHARGES * FEE_RAO}
            in_redis.close()
        accounts.close()

    def check_whole(self, url: str, scope: str) -> None:
        """A charge has its record and a record its charge; the balance is what the charges left."""
        accounts = SqlAccounts(url, scope=scope)
        charges = accounts.events(purpose="season")
        enrolled = SqlRecords.beside(accounts).read("enrolments")
        assert [f"charge:{row.key}" for row in enrolled] == [event.event_id for event in charges]
        assert 0 < len(charges) < CHARGES
        assert accounts.balance("cold") == START_RAO - len(charges) * FEE_RAO
        counted = SqlCounters.beside(accounts).read("5F")
        assert counted.get("paid", 0) == counted.get("charges", 0) * FEE_RAO
        assert counted.get("charges", 0) in (len(charges), len(charges) - 1)
        accounts.close()
        engine = state_database.open_engine(url)
        state_database.check(engine)
        engine.dispose()


@redis.needs_redis
def test_a_redis_that_is_killed_keeps_what_it_counted(redis_server: redis.TestServer, scope: str) -> None:
    counters = RedisCounters(redis_server.address, scope=scope)
    for number in range(50):
        counters.add("5F", {"a": 1, "b": 2}, once=f"m{number}")
    redis_server.kill()
    redis_server.start()
    assert [counters.add("5F", {"a": 1, "b": 2}, once=f"m{number}") for number in range(48, 52)] == [
        False,
        False,
        True,
        True,
    ]
    assert counters.read("5F") == {"a": 52, "b": 104}
    counters.close()
