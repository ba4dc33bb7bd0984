"""A sampler reads its own bucket after a crash, after a lost state, and beside another machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soundsright.core.errors import BucketUnavailable, StateUnavailable
from soundsright.services.federation import claim_key, federation_steps, verdict_key
from soundsright.services.federation.claims import (
    MAX_CLAIMS,
    MAX_REMOVED,
    claim_task,
    last_verdict,
    remove_old_claims,
)
from soundsright.services.federation.sampler import Sampler
from soundsright.services.rounds import steps
from soundsright.testing import MemoryState
from tests.services.federation.samplers import Federation, bucket_content, metadata_of


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    return Federation(tmp_path)


class _Killed:
    """A bucket in front of one whose machine dies right after the verdict was put."""

    def __init__(self, bucket: Any) -> None:
        self._bucket = bucket

    def put(self, key: str, data: bytes, create: bool = False) -> Any:
        etag = self._bucket.put(key, data, create=create)
        if "evaluation_results" in key:
            raise BucketUnavailable("The machine is gone")
        return etag

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bucket, name)


@pytest.mark.parametrize("is_late", [False, True])
def test_a_verdict_that_was_put_and_not_recorded_is_found_after_a_restart(
    federation: Federation, is_late: bool
) -> None:
    state = MemoryState()
    federation.reach(61)
    federation.validator("v0", state, bucket=_Killed(federation.buckets.of("v0"))).tick()
    first = federation.buckets.verdict(3, "v0")
    assert steps.read(state, "task-3", federation_steps.PUBLISHED) is None

    federation.reach(121 if is_late else 62)
    restarted = federation.validator("v0", state)
    restarted.tick()
    assert restarted.published == ([3, 6] if is_late else [3])
    assert steps.read(state, "task-3", federation_steps.ABANDONED) is None
    federation.reach(121)
    restarted.tick()
    assert restarted.verdict(6).previous == first.digest


def test_a_signed_task_is_not_abandoned_while_the_bucket_does_not_answer(federation: Federation) -> None:
    state = MemoryState()
    federation.reach(61)
    federation.validator("v0", state, bucket=_Killed(federation.buckets.of("v0"))).tick()
    federation.reach(181)
    bucket = _Silent(federation.buckets.of("v0"))
    restarted = federation.validator("v0", state, bucket=bucket)
    restarted.tick()
    assert restarted.problems
    assert steps.read(state, "task-3", federation_steps.ABANDONED) is None
    bucket.is_silent = False
    restarted.tick()
    assert restarted.published == [3, 9]


class _Silent:
    def __init__(self, bucket: Any) -> None:
        self._bucket, self.is_silent = bucket, True

    def get(self, key: str, max_bytes: int) -> Any:
        if self.is_silent:
            raise BucketUnavailable("It does not answer")
        return self._bucket.get(key, max_bytes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bucket, name)


def test_a_late_task_without_its_verdict_in_the_bucket_is_abandoned(federation: Federation) -> None:
    state = MemoryState()
    federation.reach(61)
    federation.validator("v0", state, bucket=_Killed(federation.buckets.of("v0"))).tick()
    federation.buckets.of("v0").delete(verdict_key(3, "v0"))
    federation.reach(121)
    restarted = federation.validator("v0", state)
    restarted.tick()
    assert restarted.published == [6]
    assert restarted.verdict(6).previous == ""
    assert steps.read(state, "task-3", federation_steps.ABANDONED) is not None


@pytest.mark.parametrize("kept", ["nothing", "an old backup"])
def test_the_chain_of_verdicts_goes_on_after_the_state_was_lost(federation: Federation, kept: str) -> None:
    backup, state = MemoryState(), MemoryState()
    federation.reach(61)
    federation.validator("v0", backup if kept == "an old backup" else state).tick()
    federation.reach(121)
    federation.validator("v0", state if kept == "nothing" else MemoryState()).tick()
    before = federation.buckets.verdict(6, "v0").digest

    federation.reach(181)
    again = federation.validator("v0", backup)
    again.tick()
    assert again.verdict(9).previous == before


def test_a_damaged_or_missing_verdict_is_passed_over(federation: Federation) -> None:
    bucket = federation.buckets.of("v0")
    federation.reach(61)
    federation.validator("v0").tick()
    digest = federation.buckets.verdict(3, "v0").digest
    raw = bucket.get(verdict_key(3, "v0"), 1 << 20)
    for task, content in {6: None, 9: b"", 12: b"[]", 15: b'{"document":7}', 18: raw}.items():
        assert claim_task(bucket, task, "v0", "x")
        if content is not None:
            bucket.put(verdict_key(task, "v0"), content)
    bucket.put("claims/other.json", b"")
    assert last_verdict(bucket, "v0", range(100)) == digest
    assert last_verdict(bucket, "v0", range(4, 100)) is None
    assert last_verdict(bucket, "v1", range(100)) is None


def test_more_claims_than_can_be_listed_are_told_as_none(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = federation.buckets.of("v0")
    for task in range(3):
        claim_task(bucket, task, "v0", "x")
    monkeypatch.setattr("soundsright.services.federation.claims.MAX_CLAIMS", 2)
    assert last_verdict(bucket, "v0", range(3)) is None
    assert MAX_CLAIMS >= 100_000


def test_a_second_machine_with_the_hotkey_overwrites_nothing(federation: Federation) -> None:
    federation.reach(61)
    first = federation.validator("v0")
    first.tick()
    before = bucket_content(federation.folder / "buckets" / "v0")
    # It looked before the first one had published, and sees other entries.
    second = federation.validator("v0", shown=lambda _task, _hotkey: False, reveals=lambda _closed: {})
    second.tick()
    assert second.published == []
    assert "Another machine with the hotkey v0 has claimed task 3" in second.problems[-1]
    assert second.sandbox.enhanced == {}
    assert bucket_content(federation.folder / "buckets" / "v0") == before
    assert len(metadata_of(federation, 3, "v0")["answers"]) == 2
    second.context = replace(second.context, shown=federation.buckets.shown, reveals=second.revealed)
    federation.reach(121)
    Sampler(second.context).tick()
    assert second.verdict(6).previous == federation.buckets.verdict(3, "v0").digest


def test_a_claim_is_made_once_and_by_one_machine(federation: Federation) -> None:
    bucket = federation.buckets.of("v0")
    assert claim_task(bucket, 3, "v0", "ab")
    assert claim_task(bucket, 3, "v0", "ab"), "it is the same machine after a restart"
    assert not claim_task(bucket, 3, "v0", "cd")
    assert not claim_task(bucket, 3, "v0", "a")
    assert claim_task(bucket, 4, "v0", "cd")
    assert set(bucket_content(federation.folder / "buckets" / "v0")) == {claim_key(3), claim_key(4)}


def test_a_machine_that_dies_at_its_claim_continues_the_task(federation: Federation) -> None:
    state, failing = MemoryState(), _Claims(federation.buckets.of("v0"))
    federation.reach(61)
    federation.validator("v0", state, bucket=failing).tick()
    assert claim_key(3) in bucket_content(federation.folder / "buckets" / "v0")
    restarted = federation.validator("v0", state)
    restarted.tick()
    assert restarted.published == [3]


class _Claims(_Killed):
    def put(self, key: str, data: bytes, create: bool = False) -> Any:
        etag = self._bucket.put(key, data, create=create)
        if key.startswith("claims/"):
            raise StateUnavailable("The machine is gone", "Start it again.")
        return etag


def test_claims_of_long_ago_are_removed_some_at_a_time(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = federation.buckets.of("v0")
    for task in range(40):
        claim_task(bucket, task, "v0", "x")
    monkeypatch.setattr("soundsright.services.federation.claims.MAX_LOOKED", 5)
    remove_old_claims(bucket)
    assert len(bucket.list("claims/", 100)) == 40 - MAX_REMOVED
    remove_old_claims(bucket)
    assert {item.key for item in bucket.list("claims/", 100)} == {claim_key(task) for task in range(35, 40)}
