"""A log continues from its database, and two processes that share one give the same indexes."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

import pytest

from soundsright.adapters.state import SqlRecords
from soundsright.testing import MemoryRecords
from tests.services.log.log_bench import ADMISSION, VICTOR, WALTER, own_log, round_document


def test_a_restarted_log_has_the_same_entries_and_root(tmp_path: Path) -> None:
    with closing(SqlRecords(tmp_path / "log.db")) as records:
        log = own_log(records)
        for number in range(20):
            log.append(ADMISSION.entry(round_document(f"round-{number}")))
        head = log.head()
    with closing(SqlRecords(tmp_path / "log.db")) as records:
        again = own_log(records)
        assert (again.head().size, again.head().root) == (20, head.root)
        assert again.entries(0, 20) == log_entries(tmp_path)


def log_entries(folder: Path) -> tuple[str, ...]:
    with closing(SqlRecords(folder / "log.db")) as records:
        log = own_log(records)
        log.refresh()
        return tuple(log.entries(number, number + 1)[0] for number in range(20))


@pytest.mark.parametrize("chars", [0, 399_000, 900_000])
def test_a_long_document_is_kept_whole(chars: int, tmp_path: Path) -> None:
    entry = ADMISSION.entry(round_document("round-1", text='\\"' * (chars // 2)))
    with closing(SqlRecords(tmp_path / "log.db")) as records:
        own_log(records).append(entry)
        again = own_log(records)
        again.refresh()
        assert again.entries(0, 1) == (entry.text,)


def test_two_processes_append_to_one_database(tmp_path: Path) -> None:
    with closing(SqlRecords(tmp_path / "log.db")) as records:
        logs = [own_log(records), own_log(records)]
        documents = [ADMISSION.entry(round_document(f"round-{n}")) for n in range(10)]
        again = [ADMISSION.entry(round_document(f"round-{n}")) for n in range(10)]
        indexes: list[dict[str, int]] = [{}, {}]

        def append_all(number: int) -> None:
            for entry in (documents, again)[number]:
                indexes[number][entry.key] = logs[number].append(entry).index

        threads = [threading.Thread(target=append_all, args=[number]) for number in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert indexes[0] == indexes[1]
        assert sorted(indexes[0].values()) == list(range(10))
        assert logs[0].head().root == logs[1].head().root == own_log(records).head().root


def test_two_signers_of_one_document_are_two_entries() -> None:
    log = own_log(MemoryRecords())
    found = [log.append(ADMISSION.entry(round_document(signer=signer))) for signer in (VICTOR, WALTER)]
    assert [each.index for each in found] == [0, 1]
    assert found[1].others == ()
