"""A second machine with the same hotkey does not start while the first one lives, and starts once it is gone."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from soundsright.adapters.buckets import FolderBucket, new_bucket_folder
from soundsright.core.errors import BucketMissing, UsageError
from soundsright.services.federation import machine_of, sole_machine
from soundsright.services.federation.object_keys import SAMPLER_KEY
from soundsright.testing import MemoryRecords


@pytest.fixture
def bucket(tmp_path: Path) -> FolderBucket:
    return FolderBucket(new_bucket_folder(tmp_path))


def no_wait(_seconds: float) -> None:
    raise AssertionError("nothing has to be waited for")


def present(bucket: FolderBucket) -> bytes | None:
    try:
        return bucket.get(SAMPLER_KEY, 1_000)
    except BucketMissing:
        return None


def test_a_state_keeps_its_name_and_another_one_has_another() -> None:
    records = MemoryRecords()
    assert machine_of(records) == machine_of(records) != machine_of(MemoryRecords())


def test_a_second_machine_is_refused_while_the_first_one_lives(bucket: FolderBucket) -> None:
    def until_it_beats(_seconds: float) -> None:
        first, changed = present(bucket), threading.Event()
        for _ in range(1_000):
            if present(bucket) != first:
                return
            changed.wait(0.01)

    with sole_machine(bucket, "a", "5Lab", sleep=no_wait, beat_s=0.05):
        with (
            pytest.raises(UsageError, match="Another machine uses the hotkey 5Lab as a sampler on this bucket"),
            sole_machine(bucket, "b", "5Lab", sleep=until_it_beats),
        ):
            pass
        assert b'"a"' in (present(bucket) or b"")
    assert present(bucket) is None
    with sole_machine(bucket, "b", "5Lab", sleep=no_wait):
        assert b'"b"' in (present(bucket) or b"")


@pytest.mark.parametrize("machine", ["a", "b"])
def test_after_a_crash_the_same_machine_starts_at_once_and_another_one_after_a_minute(
    bucket: FolderBucket, machine: str
) -> None:
    with sole_machine(bucket, "a", "5Lab", sleep=no_wait):
        left = present(bucket) or b""
    bucket.put(SAMPLER_KEY, left)
    slept: list[float] = []
    with sole_machine(bucket, machine, "5Lab", sleep=slept.append):
        pass
    assert sum(slept) == (0 if machine == "a" else 60)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b"\xff", b"x" * 2_000])
def test_what_is_no_beat_stops_nobody(bucket: FolderBucket, raw: bytes) -> None:
    bucket.put(SAMPLER_KEY, raw)
    with sole_machine(bucket, "b", "5Lab", sleep=no_wait):
        pass


def test_the_first_one_that_ends_while_it_is_watched_is_no_obstacle(bucket: FolderBucket) -> None:
    with sole_machine(bucket, "a", "5Lab", sleep=no_wait):
        left = present(bucket) or b""
    bucket.put(SAMPLER_KEY, left)
    with sole_machine(bucket, "b", "5Lab", sleep=lambda _seconds: bucket.delete(SAMPLER_KEY)):
        assert b'"b"' in (present(bucket) or b"")
