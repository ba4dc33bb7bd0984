"""One suite for every adapter of `Accounts`: SQLite, PostgreSQL and the fake."""

import functools
from collections.abc import Callable, Iterator

import pytest

from soundsright.adapters.state.accounts import SqlAccounts
from soundsright.adapters.state.records import SqlRecords
from soundsright.core.errors import BalanceTooLow, RecordConflict, UsageError
from soundsright.core.ports import Accounts, NewRecord, Records
from soundsright.core.ports.tables import MAX_RAO
from soundsright.testing import MemoryAccounts
from tests.adapters.state.postgres import SQL
from tests.contracts.conftest import Place

ENROLMENT = NewRecord("enrolments", "speech16-1:hotkey", {"hotkey": "hotkey"})


@pytest.fixture(params=["memory", *SQL])
def accounts(request: pytest.FixtureRequest, place: Place) -> Iterator[Accounts]:
    if request.param == "memory":
        yield MemoryAccounts()
        return
    url, organiser = place(request.param)
    opened = SqlAccounts(url, scope=organiser)
    yield opened
    opened.close()


def records_of(accounts: Accounts) -> Records:
    if isinstance(accounts, MemoryAccounts):
        return accounts.records
    assert isinstance(accounts, SqlAccounts)
    return SqlRecords.beside(accounts)


class TestAccounts:
    @pytest.mark.parametrize("name", ["\ud800", "", "with space", "x" * 300])
    def test_a_reader_refuses_a_malformed_name(self, accounts: Accounts, name: str) -> None:
        for read in (
            lambda: accounts.balance(name),
            lambda: accounts.refund("r1", name),
            lambda: accounts.events(coldkey=name),
            lambda: accounts.events(purpose=name),
        ):
            with pytest.raises(ValueError, match="printable ASCII"):
                read()

    def test_a_position_beyond_any_row_is_refused(self, accounts: Accounts) -> None:
        for read in (accounts.events, functools.partial(records_of(accounts).read, "stream")):
            with pytest.raises(ValueError, match="after="):
                read(after=2**64)

    def test_a_balance_follows_its_events(self, accounts: Accounts) -> None:
        assert accounts.balance("cold") == 0
        assert accounts.credit("t1", "cold", 400_000_000).balance_rao == 400_000_000
        charge = accounts.charge("c1", "cold", 250_000_000, purpose="speech16-1")
        assert (charge.kind, charge.balance_rao, charge.purpose) == ("charge", 150_000_000, "speech16-1")
        refund = accounts.refund("r1", "c1")
        assert (refund.balance_rao, refund.purpose, refund.refunded) == (400_000_000, "speech16-1", "c1")
        assert accounts.balance("cold") == 400_000_000

    def test_each_event_counts_once(self, accounts: Accounts) -> None:
        credit = accounts.credit("t1", "cold", 400_000_000)
        charge = accounts.charge("c1", "cold", 250_000_000)
        refund = accounts.refund("r1", "c1")
        assert accounts.credit("t1", "cold", 400_000_000) == credit
        assert accounts.charge("c1", "cold", 250_000_000) == charge
        assert accounts.refund("r1", "c1") == refund
        assert accounts.balance("cold") == 400_000_000
        assert accounts.events() == (credit, charge, refund)

    def test_an_event_with_other_values_is_refused(self, accounts: Accounts) -> None:
        accounts.credit("t1", "cold", 400)
        accounts.charge("c1", "cold", 100)
        repeats: tuple[Callable[[], object], ...] = (
            lambda: accounts.credit("t1", "cold", 401),
            lambda: accounts.credit("t1", "other", 400),
            lambda: accounts.credit("t1", "cold", 400, purpose="gift"),
            lambda: accounts.charge("t1", "cold", 400),
            lambda: accounts.refund("t1", "c1"),
        )
        for repeat in repeats:
            with pytest.raises(RecordConflict, match="t1: the event is recorded as a credit"):
                repeat()
        assert (accounts.balance("cold"), accounts.balance("other")) == (300, 0)

    def test_a_balance_never_falls_below_zero(self, accounts: Accounts) -> None:
        accounts.credit("t1", "cold", 400_000_000)
        accounts.charge("c1", "cold", 250_000_000)
        with pytest.raises(BalanceTooLow, match="cold has 150000000 RAO, less than 250000000"):
            accounts.charge("c2", "cold", 250_000_000, record=ENROLMENT)
        with pytest.raises(BalanceTooLow):
            accounts.charge("c2", "stranger", 1)
        assert records_of(accounts).latest("enrolments") is None
        accounts.credit("t2", "cold", 100_000_000)
        assert accounts.charge("c2", "cold", 250_000_000).balance_rao == 0

    def test_a_charge_and_its_record_are_written_together(self, accounts: Accounts) -> None:
        accounts.credit("t1", "cold", 500)
        charge = accounts.charge("c1", "cold", 250, record=ENROLMENT)
        recorded = records_of(accounts).latest("enrolments", "speech16-1:hotkey")
        assert recorded is not None
        assert recorded.facts == {"hotkey": "hotkey"}
        assert accounts.charge("c1", "cold", 250, record=ENROLMENT) == charge
        assert len(records_of(accounts).read("enrolments")) == 1

    def test_nobody_pays_twice_for_one_record(self, accounts: Accounts) -> None:
        accounts.credit("t1", "cold", 500)
        accounts.charge("c1", "cold", 250, record=ENROLMENT)
        with pytest.raises(RecordConflict, match=r"speech16-1:hotkey: .*not with this event"):
            accounts.charge("c2", "cold", 250, record=ENROLMENT)
        records_of(accounts).append("enrolments", "k", {"n": 1})
        with pytest.raises(RecordConflict):
            accounts.charge("c2", "cold", 250, record=NewRecord("enrolments", "k", {"n": 2}))
        assert accounts.balance("cold") == 250
        assert [event.event_id for event in accounts.events()] == ["t1", "c1"]

    def test_an_event_does_not_get_a_record_afterwards(self, accounts: Accounts) -> None:
        accounts.credit("t1", "cold", 500)
        accounts.charge("c1", "cold", 250)
        with pytest.raises(RecordConflict, match="c1: the event was written without"):
            accounts.charge("c1", "cold", 250, record=ENROLMENT)
        assert records_of(accounts).latest("enrolments") is None

    def test_a_charge_is_refunded_once(self, accounts: Accounts) -> None:
        accounts.credit("t1", "cold", 500)
        accounts.charge("c1", "cold", 250)
        accounts.refund("r1", "c1")
        with pytest.raises(RecordConflict, match="r2: the charge c1 was refunded"):
            accounts.refund("r2", "c1")
        for unknown in ("none", "t1", "r1"):
            with pytest.raises(UsageError, match="There is no charge"):
                accounts.refund("r3", unknown)
        assert accounts.balance("cold") == 500

    def test_events_are_found_by_coldkey_and_purpose(self, accounts: Accounts) -> None:
        accounts.credit("t1", "a", 500)
        accounts.credit("t2", "b", 500)
        for event_id, coldkey, purpose in (("c1", "a", "x"), ("c2", "b", "x"), ("c3", "a", "y")):
            accounts.charge(event_id, coldkey, 10, purpose=purpose)
        found = accounts.events(purpose="x")
        assert [event.event_id for event in found] == ["c1", "c2"]
        assert [event.event_id for event in accounts.events(coldkey="a")] == ["t1", "c1", "c3"]
        assert [event.event_id for event in accounts.events(coldkey="a", purpose="x")] == ["c1"]
        assert accounts.events(purpose="x", after=found[0].position) == found[1:]
        assert len(accounts.events(limit=2)) == 2

    @pytest.mark.parametrize("amount", [0, -1, 1.0, True, "1", MAX_RAO + 1, 2**63])
    def test_amounts_are_whole_and_bounded(self, accounts: Accounts, amount: int) -> None:
        with pytest.raises(ValueError, match="RAO must be a whole number"):
            accounts.credit("e1", "cold", amount)
        with pytest.raises(ValueError, match="RAO must be a whole number"):
            accounts.charge("e1", "cold", amount)
        assert accounts.events() == ()

    def test_a_balance_is_bounded(self, accounts: Accounts) -> None:
        accounts.credit("t1", "cold", MAX_RAO)
        with pytest.raises(ValueError, match="would have"):
            accounts.credit("t2", "cold", 1)
        assert accounts.balance("cold") == MAX_RAO

    @pytest.mark.parametrize("bad", ["", "a b", "a\n", "x" * 256])
    def test_bad_names_are_refused(self, accounts: Accounts, bad: str) -> None:
        accounts.credit("t", "cold", 5)
        accounts.charge("c", "cold", 1)
        writes: tuple[Callable[[], object], ...] = (
            lambda: accounts.credit(bad, "cold", 1),
            lambda: accounts.charge("e", bad, 1),
            lambda: accounts.charge("e", "cold", 1, purpose=bad or " "),
            lambda: accounts.refund(bad, "c"),
        )
        for write in writes:
            with pytest.raises(ValueError, match="printable ASCII"):
                write()
        assert accounts.balance("cold") == 4
