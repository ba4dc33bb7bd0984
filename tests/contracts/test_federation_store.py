"""One suite for the store of a federation's API over memory, SQLite and PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from soundsright.adapters.state import SqlRecords, SqlState
from soundsright.core.errors import RequestRefused
from soundsright.services.federation_api.lists import Blacklist, ValidatorList
from soundsright.services.federation_api.samples import read_report, sample_of
from soundsright.services.federation_api.store import FederationStore
from soundsright.testing import MemoryRecords, MemoryState, VirtualClock
from tests.adapters.state.postgres import SQL
from tests.contracts.conftest import Place
from tests.services.federation_api.api_bench import MINERS, NOW_S, TASK, VALIDATORS, body_of, report, sample

Open = Callable[[], FederationStore]
FIRST, SECOND = VALIDATORS[0].address, VALIDATORS[1].address


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(NOW_S)


@pytest.fixture(params=["memory", *SQL])
def open_store(request: pytest.FixtureRequest, place: Place, clock: VirtualClock) -> Iterator[Open]:
    """A function that opens the same store again, as a restarted API and a command do."""
    opened: list[SqlState] = []
    memory = (MemoryState(), MemoryRecords())
    url, organiser = ("", "") if request.param == "memory" else place(request.param)

    def open_store() -> FederationStore:
        if request.param == "memory":
            return FederationStore(*memory, clock, kept_tasks=3)
        opened.append(SqlState(url, scope=organiser))
        return FederationStore(opened[-1], SqlRecords.beside(opened[-1]), clock, kept_tasks=3)

    yield open_store
    for state in opened:
        state.close()


@pytest.fixture
def store(open_store: Open) -> FederationStore:
    return open_store()


def test_samples_survive_a_restart(store: FederationStore, open_store: Open) -> None:
    samples = [sample_of(sample(number)) for number in range(3)]
    assert store.add_samples(FIRST, samples) == 3
    assert store.add_samples(FIRST, samples) == 0
    assert store.add_samples(SECOND, [sample_of(sample(0, passed=False, means={"SI_SDR": -0.1}))]) == 1
    for each in (store, open_store()):
        assert [(kept.number, kept.validator) for kept in each.of_task(TASK)] == [
            (1, FIRST),
            (2, FIRST),
            (3, FIRST),
            (4, SECOND),
        ]
        assert [kept.sample for kept in each.of_task(TASK)][:3] == samples
        assert each.newest(1)[0].sample.means == {"SI_SDR": -0.1}
        assert each.add_samples(FIRST, samples) == 0


def test_the_first_sample_stays_after_a_restart(store: FederationStore, open_store: Open) -> None:
    store.add_samples(FIRST, [sample_of(sample(0))])
    for each in (store, open_store()):
        with pytest.raises(RequestRefused) as refused:
            each.add_samples(FIRST, [sample_of(sample(1)), sample_of(sample(0, failures=1))])
        assert (refused.value.code, refused.value.status) == ("other_sample", 409)
        assert each.count == 1


def test_only_the_newest_tasks_are_kept(store: FederationStore, open_store: Open) -> None:
    for task in range(TASK, TASK + 6):
        store.add_samples(FIRST, [sample_of(sample(0, task))])
    for each in (store, open_store()):
        assert each.tasks() == (TASK + 3, TASK + 4, TASK + 5)
        assert each.count == 3
        assert [kept.number for kept in each.newest(10)] == [6, 5, 4]
    reopened = open_store()
    reopened.add_samples(FIRST, [sample_of(sample(0, TASK + 6))])
    assert [kept.number for kept in reopened.newest(10)] == [7, 6, 5]


def test_a_report_replaces_the_one_before(store: FederationStore, open_store: Open, clock: VirtualClock) -> None:
    for number in range(4):
        store.replace_report(FIRST, read_report(body_of(report(number, winner=number))))
    clock.jump(-3_600)  # A clock that was set back does not bring back an old report.
    store.replace_report(FIRST, read_report(body_of(report(5))))
    for each in (store, open_store()):
        kept = each.report(FIRST)
        assert kept is not None
        assert [miner.hotkey for miner in kept.report.miners] == [MINERS[5]]
        assert kept.received_s == NOW_S - 3_600
        assert each.report(SECOND) is None
        assert each.seen_s(FIRST) == NOW_S - 3_600


def test_a_list_has_what_every_process_changed(store: FederationStore, open_store: Open) -> None:
    other = open_store()
    assert store.validators.add(FIRST, 1)
    assert other.validators.add(SECOND, 2)
    assert not store.validators.add(SECOND, 2)
    assert store.validators.add(SECOND, 3)
    assert dict(other.validators.members()) == {FIRST: 1, SECOND: 3}
    assert other.validators.remove(FIRST)
    assert not store.validators.remove(FIRST)
    assert dict(open_store().validators.members()) == {SECOND: 3}
    assert store.blacklist.add(MINERS[0], "copies")
    assert not store.blacklist.add(MINERS[0], "copies")
    assert dict(other.blacklist.members()) == {MINERS[0]: "copies"}


def test_a_uid_has_one_validator(store: FederationStore) -> None:
    store.validators.add(FIRST, 1)
    with pytest.raises(RequestRefused) as refused:
        store.validators.add(SECOND, 1)
    assert (refused.value.code, refused.value.status) == ("uid_taken", 409)
    store.validators.remove(FIRST)
    assert store.validators.add(SECOND, 1)


def test_a_list_is_full_at_256_validators(store: FederationStore, open_store: Open) -> None:
    members = [f"hotkey-{number}" for number in range(257)]
    for uid, hotkey in enumerate(members[:256]):
        store.validators.add(hotkey, uid)
    for each in (store, open_store()):
        with pytest.raises(RequestRefused, match="takes no more"):
            each.validators.add(members[256], 256)
        assert each.validators.add(members[0], 1_000 + each.validators.members()[members[0]])


def test_changes_at_the_same_time_are_all_kept(open_store: Open) -> None:
    stores = [open_store() for _ in range(4)]

    def change(number: int) -> None:
        for uid in range(5):
            stores[number].validators.add(f"hotkey-{number}-{uid}", 10 * number + uid)

    threads = [threading.Thread(target=change, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(open_store().validators.members()) == 20
    assert all(len(each.validators.members()) == 20 for each in stores)


def test_samples_at_the_same_time_are_all_kept(store: FederationStore, open_store: Open) -> None:
    def send(number: int) -> None:
        for miner in range(6):
            store.add_samples(VALIDATORS[number].address, [sample_of(sample(miner))])

    threads = [threading.Thread(target=send, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.number for each in open_store().newest(500)] == list(range(24, 0, -1))


def test_the_lists_are_those_of_the_commands(store: FederationStore, open_store: Open) -> None:
    store.validators.add(FIRST, 7)
    records = open_store().validators._records
    assert [(each.hotkey, each.uid) for each in ValidatorList(records).validators()] == [(FIRST, 7)]
    assert dict(Blacklist(records).members()) == {}
