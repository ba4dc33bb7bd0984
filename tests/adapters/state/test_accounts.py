"""Accounts in SQL: money is conserved whatever happens, and the database itself refuses what must not be."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from soundsright.adapters.state import database as state_database
from soundsright.adapters.state.accounts import SqlAccounts
from soundsright.adapters.state.counters import SqlCounters
from soundsright.adapters.state.records import SqlRecords
from soundsright.core.errors import BalanceTooLow, RecordConflict, UsageError
from soundsright.core.ports import NewRecord
from soundsright.testing import MemoryAccounts

COLDKEYS = st.sampled_from(["a", "b", "c"])
AMOUNTS = st.integers(1, 100)
EVENTS = st.sampled_from([f"e{number}" for number in range(12)])


class Conservation(RuleBasedStateMachine):
    """Any order of credits, charges, refunds, repeats and restarts, in SQL and in memory."""

    charges: Bundle[str] = Bundle("charges")

    def __init__(self) -> None:
        super().__init__()
        # In memory where the system has such a folder, because each write waits for the disk.
        self._folder = tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
        self.accounts = self.opened()
        self.memory = MemoryAccounts()

    def opened(self) -> SqlAccounts:
        return SqlAccounts(Path(self._folder.name) / "state.db")

    @initialize()
    def first_credit(self) -> None:
        self.both("credit", "first", "a", 150)

    @rule(event=EVENTS, coldkey=COLDKEYS, amount=AMOUNTS)
    def credit(self, event: str, coldkey: str, amount: int) -> None:
        self.both("credit", event, coldkey, amount)

    @rule(target=charges, event=EVENTS, coldkey=COLDKEYS, amount=AMOUNTS, key=st.none() | EVENTS)
    def charge(self, event: str, coldkey: str, amount: int, key: str | None) -> str:
        record = None if key is None else NewRecord("paid", key, {"by": coldkey})
        self.both("charge", event, coldkey, amount, record=record)
        return event

    @rule(event=EVENTS, charge=charges)
    def refund(self, event: str, charge: str) -> None:
        self.both("refund", event, charge)

    @rule(event=EVENTS, charge=consumes(charges))
    def refund_twice(self, event: str, charge: str) -> None:
        self.both("refund", event, charge)
        self.both("refund", f"{event}-again", charge)

    @rule()
    def restart(self) -> None:
        self.accounts.close()
        self.accounts = self.opened()

    def both(self, write: str, *arguments: object, **more: object) -> None:
        """The same write in SQL and in memory has the same result, or the same error."""
        results: list[object] = []
        for accounts in (self.accounts, self.memory):
            try:
                results.append(getattr(accounts, write)(*arguments, **more).balance_rao)
            except (BalanceTooLow, RecordConflict, UsageError) as error:
                results.append(type(error))
        assert results[0] == results[1]

    @invariant()
    def money_is_conserved(self) -> None:
        events = self.accounts.events(limit=1_000)
        total = sum(-event.amount_rao if event.kind == "charge" else event.amount_rao for event in events)
        balances = [self.accounts.balance(coldkey) for coldkey in "abc"]
        assert sum(balances) == total
        assert min(balances) >= 0
        assert balances == [self.memory.balance(coldkey) for coldkey in "abc"]
        assert [event.event_id for event in events] == [event.event_id for event in self.memory.events(limit=1_000)]
        paid = SqlRecords.beside(self.accounts).read("paid")
        assert [(row.key, row.facts) for row in paid] == [
            (row.key, row.facts) for row in self.memory.records.read("paid")
        ]

    def teardown(self) -> None:
        self.accounts.close()
        self._folder.cleanup()


TestConservation = Conservation.TestCase
TestConservation.settings = settings(max_examples=6, stateful_step_count=20)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    accounts = SqlAccounts(tmp_path / "state.db")
    accounts.credit("t1", "cold", 500)
    accounts.charge("c1", "cold", 200)
    accounts.close()
    return tmp_path / "state.db"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE accounts SET balance_rao = -1",
        "UPDATE account_events SET amount_rao = 0",
        "UPDATE account_events SET kind = 'gift'",
        "UPDATE account_events SET refunded = 'c1'",
        "INSERT INTO account_events (event_id, kind, coldkey, amount_rao, balance_rao, purpose) "
        "VALUES ('t1', 'credit', 'cold', 1, 1, '')",
        "INSERT INTO account_events (event_id, kind, coldkey, amount_rao, balance_rao, purpose) "
        "VALUES ('t2', 'credit', 'nobody', 1, 1, '')",
        "DELETE FROM accounts",
    ],
)
def test_the_database_itself_refuses_what_must_not_be(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA foreign_keys = ON")
        with pytest.raises(sqlite3.IntegrityError):
            db.execute(statement)


def test_a_check_finds_a_balance_that_is_not_the_sum_of_its_events(path: Path) -> None:
    engine = state_database.open_engine(path)
    assert state_database.check(engine)["account_events"] == 2
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE accounts SET balance_rao = 400")
        db.commit()
    with pytest.raises(UsageError, match="cold has 400 RAO, and its events sum to 300"):
        state_database.check(engine)
    engine.dispose()


def test_organisers_who_share_a_database_share_no_rows(path: Path) -> None:
    own = SqlAccounts(path)
    other = SqlAccounts.beside(own, scope="other")
    assert other.balance("cold") == 0
    assert other.credit("t1", "cold", 7).balance_rao == 7
    assert own.balance("cold") == 300
    assert [event.event_id for event in other.events()] == ["t1"]
    SqlRecords.beside(own).append("s", "k", {"n": 1})
    assert SqlRecords.beside(other).append("s", "k", {"n": 2}).facts == {"n": 2}
    SqlCounters.beside(own).add("5F", {"a": 1}, once="m")
    counters = SqlCounters.beside(other)
    assert counters.add("5F", {"a": 2}, once="m")
    assert counters.close_interval("i1") == {"5F": {"a": 2}}
    assert SqlCounters.beside(own).read("5F") == {"a": 1}
    own.close()


def test_a_backup_has_the_tables(path: Path, tmp_path: Path) -> None:
    engine = state_database.open_engine(path)
    state_database.backup(engine, tmp_path / "copy.db")
    engine.dispose()
    copy = SqlAccounts(tmp_path / "copy.db")
    assert copy.balance("cold") == 300
    assert copy.charge("c1", "cold", 200).balance_rao == 300
    copy.close()
