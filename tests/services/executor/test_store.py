"""The executor's store takes lists as a whole, and shows the table of the last round until the next is complete."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.state.records import SqlRecords
from soundsright.adapters.state.store import SqlState
from soundsright.core.errors import EntryRefused, StateUnavailable, UsageError
from soundsright.core.images import NO_SCORE, ImageMetrics, ImageRow, SubmittedImage
from soundsright.core.ports import Record, Records, StateStore, TakenSubmissions
from soundsright.services.executor.executor_steps import PUBLISHED, PublishedStep
from soundsright.services.executor.store import SUBMISSIONS, ExecutorStore
from soundsright.services.rounds import steps
from soundsright.testing import MemoryRecords, MemoryState, VirtualClock
from tests.adapters.state.postgres import SQL
from tests.services.executor.images import submitted

NOW_S = 1_000
A, B, C = submitted("Aa", 10), submitted("Bb", 20), submitted("Cc", 30)

Database = tuple[StateStore, Records]


@pytest.fixture(params=["memory", *SQL])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "memory":
        yield MemoryState(), MemoryRecords()
        return
    place: tuple[Any, str] = (tmp_path / "executor.db", "")
    if request.param == "postgresql":
        place = request.getfixturevalue("executor_place")
    with closing(SqlState(place[0], scope=place[1])) as state:
        yield state, SqlRecords.beside(state)


@pytest.fixture
def memory() -> Database:
    return MemoryState(), MemoryRecords()


def opened(database: Database) -> ExecutorStore:
    return ExecutorStore(*database, VirtualClock(NOW_S))


def hotkeys(count: int) -> list[str]:
    letters = "ABCDEFGHJKLMNPQRSTUVWXYZ"
    return ["".join(letters) for letters in itertools.islice(itertools.product(letters, repeat=4), count)]


def publish(store: ExecutorStore, round_id: str, *rows: ImageRow) -> None:
    store.state.begin_round(round_id, {})
    participants = tuple(row.submission.entry_id for row in rows)
    store.publish(round_id, PublishedStep(rows, participants, f'{{"round":"{round_id}"}}'))


def row(entry: SubmittedImage, score: float) -> ImageRow:
    return ImageRow(entry, ImageMetrics(final_score=score, quality_score=score))


def test_a_list_replaces_the_one_before_and_counts_what_is_new(database: Database) -> None:
    store = opened(database)
    assert store.take([A, B]) == TakenSubmissions(2, new=2, changed=0)
    newer = submitted("Bb", 40, "better")
    assert store.take([newer, C]) == TakenSubmissions(2, new=1, changed=1)
    assert store.standing() == {"Bb": newer, "Cc": C}
    assert store.take([newer, C]) == TakenSubmissions(2, new=0, changed=0)


def test_a_restart_finds_the_same_submissions(database: Database) -> None:
    store = opened(database)
    store.take([A, B])
    store.take([B, C])
    assert opened(database).standing() == {"Bb": B, "Cc": C}
    opened(database).take([A])
    assert opened(database).standing() == {"Aa": A}


def test_the_same_list_again_writes_nothing(memory: Database) -> None:
    store = opened(memory)
    for _ in range(3):
        store.take([A, B])
    assert len(memory[1].read(SUBMISSIONS)) == 1


def test_a_hotkey_that_leaves_and_returns_has_its_submission_again(memory: Database) -> None:
    store = opened(memory)
    store.take([A, B])
    store.take([B])
    store.take([A, B])
    assert opened(memory).standing() == {"Aa": A, "Bb": B}


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ([A, submitted("Aa", 11)], "duplicate_hotkey"),
        ([A, submitted("Bb", NOW_S + 601)], "bad_submission"),
        ([submitted(name, 1) for name in hotkeys(4_097)], "too_many"),
    ],
)
def test_a_list_with_a_fault_is_refused_whole(memory: Database, wrong: list[SubmittedImage], code: str) -> None:
    store = opened(memory)
    store.take([C])
    with pytest.raises(EntryRefused) as refused:
        store.take(wrong)
    assert refused.value.code == code
    assert store.standing() == {"Cc": C}


class FailingRecords(MemoryRecords):
    """Records whose n-th append fails, before or after it wrote."""

    def __init__(self, fails_at: int, *, after: bool) -> None:
        super().__init__()
        self._left, self._after = fails_at, after

    def append(self, stream: str, key: str, facts: Mapping[str, Any]) -> Record:
        self._left -= 1
        if self._left == 0 and not self._after:
            raise StateUnavailable("The disk is full")
        record = super().append(stream, key, facts)
        if self._left == 0:
            raise StateUnavailable("The connection broke")
        return record


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_a_long_list_that_cannot_be_written_is_taken_whole_or_not_at_all(fails_at: int, after: bool) -> None:
    records = FailingRecords(fails_at + 1, after=after)
    store = opened((MemoryState(), records))
    store.take([A])
    long = [submitted(name, 1) for name in hotkeys(2_500)]
    with pytest.raises(StateUnavailable):
        store.take(long)
    was_taken = fails_at == 3 and after
    expected = {entry.hotkey: entry for entry in (long if was_taken else [A])}
    assert store.standing() == expected
    assert opened((MemoryState(), records)).standing() == expected
    store.take([A, B])
    assert opened((MemoryState(), records)).standing() == store.standing() == {"Aa": A, "Bb": B}


def test_the_table_has_the_last_round_and_then_the_waiting_submissions(database: Database) -> None:
    store = opened(database)
    store.take([C, A])
    table = store.table({})
    assert [(r.submission, r.metrics.final_score) for r in table.rows] == [(A, NO_SCORE), (C, NO_SCORE)]
    assert table.round_id == ""
    publish(store, "1", row(C, 0.7))
    table = store.table({"Aa-10": 0.5})
    assert table.round_id == "1"
    assert [(r.submission, r.metrics.final_score) for r in table.rows] == [(C, 0.7), (A, NO_SCORE)]
    assert table.coming == {"Aa-10": 0.5}
    assert opened(database).table({}).rows == table.rows


def test_the_version_changes_with_the_rows_only(memory: Database) -> None:
    store = opened(memory)
    store.take([A])
    first = store.table({}).version
    assert store.table({"Aa-10": 0.1}).version == opened(memory).table({}).version == first
    store.take([A, B])
    second = store.table({}).version
    publish(store, "1", row(A, 0.1), row(B, 0.0))
    assert len({first, second, store.table({}).version}) == 3


def test_results_are_found_by_round_and_the_first_publication_stays(database: Database) -> None:
    store = opened(database)
    assert store.results("1") is None
    publish(store, "1", row(A, 0.1))
    publish(store, "1", row(A, 0.9))
    publish(store, "2", row(A, 0.2))
    assert store.results("1") == b'{"round":"1"}'
    assert [r.metrics.final_score for r in store.table({}).rows] == [0.2]
    assert store.results("3") is None


def test_a_round_that_runs_leaves_the_table_as_it_is(memory: Database) -> None:
    store = opened(memory)
    publish(store, "1", row(A, 0.1))
    store.state.begin_round("2", {})
    assert store.table({}).round_id == opened(memory).table({}).round_id == "1"


def test_a_newer_record_is_not_read(memory: Database) -> None:
    state = memory[0]
    state.begin_round("1", {})
    state.finish_step("1", PUBLISHED.name, {"version": 2})
    with pytest.raises(UsageError, match="version 2"):
        steps.read(state, "1", PUBLISHED)


class LostAnswer(MemoryState):
    """A state whose connection breaks once, after the write was done."""

    breaks = True

    def finish_step(self, *args: Any, **options: Any) -> None:
        super().finish_step(*args, **options)
        if self.breaks:
            self.breaks = False
            raise StateUnavailable("The connection broke")


def test_a_table_whose_write_was_done_is_shown_although_the_answer_was_lost() -> None:
    store = ExecutorStore(LostAnswer(), MemoryRecords(), VirtualClock(1e9))
    assert store.published() is None
    with pytest.raises(StateUnavailable):
        publish(store, "images-1")
    published = store.published()
    assert published is not None
    assert published[0] == "images-1"
