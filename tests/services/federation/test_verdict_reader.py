"""Verdicts of peers are read once, unknown ones are asked for again, and bad ones count for nobody."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from itertools import count, pairwise
from pathlib import Path

import pytest

from soundsright.adapters.peers import Hotkey, valid_signature
from soundsright.core.errors import BucketForbidden, BucketMissing, InfrastructureFault
from soundsright.core.federation import MAX_VIEW_TASKS
from soundsright.core.ports import Bucket
from soundsright.services.federation import (
    MAX_VERDICT_BYTES,
    Absent,
    BucketReader,
    Equivocation,
    Found,
    ObjectOf,
    ReadVerdict,
    Refused,
    Unknown,
    bucket_reader,
    open_verdict,
    sign_verdict,
    verdict_key,
)
from soundsright.testing import VirtualClock
from tests.services.federation.places import Machine, Watched, away, folders
from tests.services.federation.published import ADDRESSES, TASK, account_of, sha, task_facts, verdict

SIGNER = account_of(TASK)
KEY = verdict_key(TASK, SIGNER.address)
RAW = sign_verdict(verdict(), SIGNER)


@pytest.fixture
def buckets(tmp_path: Path) -> dict[str, Watched]:
    return folders(tmp_path / "buckets")


@pytest.fixture
def machine(tmp_path: Path, buckets: dict[str, Watched]) -> Machine:
    return Machine(tmp_path / "machine", buckets)


@pytest.fixture
def bucket(buckets: dict[str, Watched]) -> Watched:
    """That of the validator whose verdict is read."""
    return buckets[SIGNER.address]


def read(machine: Machine, task: int = TASK, step: int = 0) -> ReadVerdict:
    validator = account_of(task, step).address
    return machine.read([(task_facts(task), validator)])[task, validator]


def publish(buckets: dict[str, Watched], task: int, step: int = 0, **changes: object) -> None:
    account = account_of(task, step)
    made = verdict(task, step, **changes)  # type: ignore[arg-type]
    buckets[account.address].put(verdict_key(task, account.address), sign_verdict(made, account))


def test_a_verdict_is_found_and_fetched_once(machine: Machine, bucket: Watched) -> None:
    bucket.put(KEY, RAW)
    found = read(machine)
    assert isinstance(found, Found)
    assert found.verdict == verdict()
    assert read(machine) == found
    machine.restart()
    assert read(machine) == found
    assert bucket.reads == [KEY]


def test_an_absent_verdict_is_asked_for_each_time_and_found_when_it_comes(
    machine: Machine, bucket: Watched
) -> None:
    assert isinstance(read(machine), Absent)
    assert isinstance(read(machine), Absent)
    bucket.put(KEY, RAW)
    assert isinstance(read(machine), Found)
    assert bucket.reads == [KEY] * 3


def test_a_verdict_that_was_absent_when_its_time_was_over_does_not_count_if_it_appears_later(
    machine: Machine, bucket: Watched
) -> None:
    wanted = [(task_facts(late_block=1_500), SIGNER.address)]
    for finalized in (1_400, 1_499, 1_500):
        machine.read(wanted, finalized=finalized)
    assert len(bucket.reads) == 3
    bucket.put(KEY, RAW)
    for _ in range(2):
        machine.clock.sleep(10_000.0)
        assert isinstance(machine.read(wanted, finalized=1_600)[TASK, SIGNER.address], Absent)
        machine.restart()
    assert len(bucket.reads) == 3


def test_a_verdict_that_was_unknown_when_its_time_was_over_counts_once_it_is_read(
    machine: Machine, bucket: Watched
) -> None:
    wanted = [(task_facts(late_block=1_500), SIGNER.address)]
    bucket.put(KEY, RAW)
    bucket.fault = away
    assert isinstance(machine.read(wanted, finalized=1_600)[TASK, SIGNER.address], Unknown)
    bucket.fault = lambda key: None
    machine.clock.sleep(1_000.0)
    assert isinstance(machine.read(wanted, finalized=1_600)[TASK, SIGNER.address], Found)


def refuse_keys(key: str) -> bytes | None:
    raise BucketForbidden("wrong keys")


def lose_the_bucket(key: str) -> bytes | None:
    raise InfrastructureFault("another fault")


@pytest.mark.parametrize("fault", [away, refuse_keys, lose_the_bucket])
def test_a_bucket_that_gives_no_answer_is_unknown_and_asked_again_after_growing_pauses(
    machine: Machine, bucket: Watched, fault: Callable[[str], bytes | None]
) -> None:
    bucket.put(KEY, RAW)
    bucket.fault = fault
    times_s, asked = [], 0
    for _ in range(2_000):
        assert isinstance(read(machine), Unknown)
        if len(bucket.reads) > asked:
            times_s.append(machine.clock.now())
            asked = len(bucket.reads)
        machine.clock.sleep(1.0)
    pauses = [later - earlier for earlier, later in pairwise(times_s)]
    assert pauses[:5] == [5.0, 10.0, 20.0, 40.0, 80.0]
    assert max(pauses) == 300.0
    bucket.fault = lambda key: None
    machine.clock.sleep(300.0)
    assert isinstance(read(machine), Found)


def test_a_bucket_that_fails_repeatedly_is_left_alone_and_the_others_are_read(
    machine: Machine, buckets: dict[str, Watched]
) -> None:
    tasks = range(12, 72)
    for task in tasks:
        publish(buckets, task, previous=sha("a verdict long ago"))
    buckets[SIGNER.address].fault = away
    wanted = [(task_facts(task), account_of(task).address) for task in tasks]
    results = machine.read(wanted)
    assert len(results) == 60
    for task in tasks:
        kind = Unknown if account_of(task) is SIGNER else Found
        assert isinstance(results[task, account_of(task).address], kind)
    assert len(buckets[SIGNER.address].reads) <= 16, "those that were under way when the third failed"


def test_16_objects_are_read_at_a_time(machine: Machine, buckets: dict[str, Watched]) -> None:
    def slow(key: str) -> bytes | None:
        time.sleep(0.01)
        return None

    for watched in buckets.values():
        watched.fault = slow
    machine.read([(task_facts(task), account_of(task).address) for task in range(12, 108)])
    assert 4 <= sum(watched.most_at_once for watched in buckets.values()) <= 3 * 16
    assert max(watched.most_at_once for watched in buckets.values()) <= 16


def test_a_validator_whose_bucket_is_not_configured_is_unknown(tmp_path: Path, buckets: dict[str, Watched]) -> None:
    del buckets[SIGNER.address]
    own = next(iter(buckets))
    assert isinstance(read(Machine(tmp_path / "m", buckets, own=own)), Unknown)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "malformed"),
        (b"<html>not found</html>", "malformed"),
        (RAW[:-1], "malformed"),
        (b" " * (MAX_VERDICT_BYTES + 1), "too_large"),
        (b"[" * 20_000_000, "too_large"),
        (RAW.replace(b"0.25", b"0.26"), "bad_signature"),
        (sign_verdict(verdict(), Hotkey.of_seed("mallory")), "wrong_signer"),
        (sign_verdict(verdict(TASK + 3), SIGNER), "wrong_task"),
        (sign_verdict(verdict(block=TASK * 100 + 60), SIGNER), "wrong_turn"),
        (sign_verdict(verdict(allowlist=sha("another")), SIGNER), "wrong_allowlist"),
        (sign_verdict(verdict(rules=sha("others")), SIGNER), "wrong_rules"),
        (sign_verdict(verdict(block_hash=sha("fork")), SIGNER), "wrong_seed"),
        (sign_verdict(verdict(TASK, 1), account_of(TASK, 1)), "wrong_signer"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_object_is_refused_once_and_asked_for_again_after_a_minute(
    machine: Machine, bucket: Watched, raw: bytes, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    bucket.put(KEY, raw)
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            refused = read(machine)
            assert isinstance(refused, Refused)
            assert refused.code == code
    assert bucket.reads == [KEY]
    assert [(r.action, r.peer, r.reason) for r in caplog.records] == [  # type: ignore[attr-defined]
        ("verdict_refused", SIGNER.address, code)
    ]
    assert all(record.exc_info is None for record in caplog.records)
    bucket.put(KEY, RAW)
    machine.clock.sleep(60.0)
    assert isinstance(read(machine), Found)


def test_a_verdict_from_the_future_is_read_again_at_once(machine: Machine, bucket: Watched) -> None:
    bucket.put(KEY, RAW)
    wanted = [(task_facts(), SIGNER.address)]
    refused = machine.read(wanted, finalized=TASK * 100)[TASK, SIGNER.address]
    assert isinstance(refused, Refused)
    assert refused.code == "from_future"
    assert isinstance(machine.read(wanted, finalized=TASK * 100 + 1)[TASK, SIGNER.address], Found)


def test_a_bucket_that_serves_garbage_which_changes_is_ignored(machine: Machine, bucket: Watched) -> None:
    numbers = count()
    bucket.fault = lambda key: f'{{"number":{next(numbers)}}}'.encode()
    for _ in range(50):
        assert isinstance(read(machine), Refused)
        machine.clock.sleep(60.0)
    assert machine.verdicts.equivocations == ()
    assert len(bucket.reads) < 12, "the pauses grow"


def test_a_bucket_that_serves_another_verdict_each_time_is_read_once_and_found_out(
    machine: Machine, bucket: Watched
) -> None:
    numbers = count(1)
    bucket.fault = lambda key: sign_verdict(verdict(miners=next(numbers)), SIGNER)
    first = read(machine)
    assert isinstance(first, Found)
    assert all(read(machine) == first for _ in range(5))
    # The disk is lost, so the verdict is fetched again, and it is another one.
    machine.contents.forget(first.digest)
    machine.restart()
    refused = read(machine)
    assert isinstance(refused, Refused)
    assert refused.code == "equivocation"
    (found,) = machine.verdicts.equivocations
    assert (found.task, found.validator, found.first) == (TASK, SIGNER.address, first.digest)
    assert machine.contents.get(found.second) is not None
    machine.restart()
    assert machine.seen.find(TASK, SIGNER.address).digest == first.digest  # type: ignore[union-attr]


def test_a_second_signed_verdict_is_an_equivocation_also_if_it_is_not_valid(
    machine: Machine, bucket: Watched
) -> None:
    bucket.put(KEY, RAW)
    first = read(machine)
    assert isinstance(first, Found)
    other = sign_verdict(verdict(block=TASK * 100 + 99), SIGNER)
    signed = machine.verdicts.take(other)
    assert machine.verdicts.equivocations == (Equivocation(TASK, SIGNER.address, first.digest, signed.digest),)
    assert read(machine) == first


def test_a_file_that_a_crash_cut_is_fetched_again(machine: Machine, bucket: Watched) -> None:
    bucket.put(KEY, RAW)
    found = read(machine)
    assert isinstance(found, Found)
    for damaged in (b"", RAW[:100], sign_verdict(verdict(miners=2), SIGNER)):
        machine.contents.put(found.digest, damaged)
        machine.restart()
        assert read(machine) == found
    assert len(bucket.reads) == 4


@pytest.mark.parametrize("order", [(0, 3, 6), (6, 3, 0), (0, 6, 3)])
def test_a_verdict_that_leaves_out_one_before_it_is_valid_in_every_order_and_is_told(
    machine: Machine, buckets: dict[str, Watched], order: tuple[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    publish(buckets, TASK)
    publish(buckets, TASK + 3, previous=digest_of(TASK))
    publish(buckets, TASK + 6, previous=digest_of(TASK))
    for after in order:
        assert isinstance(read(machine, TASK + after), Found)
    told = [record for record in caplog.records if getattr(record, "action", "") == "broken_chain"]
    assert bool(told) is (order.index(3) < order.index(6)), "told by whom has seen the one that is left out"


def test_a_verdict_that_names_a_later_one_is_valid_and_is_told(
    machine: Machine, buckets: dict[str, Watched], caplog: pytest.LogCaptureFixture
) -> None:
    publish(buckets, TASK + 1)
    assert isinstance(read(machine, TASK + 1), Found)
    publish(buckets, TASK, previous=digest_of(TASK + 1))
    assert isinstance(read(machine), Found)
    assert any(getattr(record, "action", "") == "broken_chain" for record in caplog.records)


def test_a_verdict_that_names_one_which_is_not_known_here_is_found(
    machine: Machine, buckets: dict[str, Watched]
) -> None:
    publish(buckets, TASK, previous=sha("long ago"))
    assert isinstance(read(machine), Found)


def digest_of(task: int, previous: str = "") -> str:
    raw = sign_verdict(verdict(task, previous=previous), account_of(task))
    return open_verdict(raw, valid_signature=valid_signature).digest


def test_the_own_disk_that_fails_is_a_fault_of_this_machine(machine: Machine, bucket: Watched) -> None:
    bucket.put(KEY, RAW)
    (machine.folder / "contents").parent.mkdir(parents=True, exist_ok=True)
    (machine.folder / "contents").write_bytes(b"a file in place of the folder")
    with pytest.raises(InfrastructureFault):
        read(machine)


def test_a_slow_bucket_is_unknown_when_the_time_is_over(tmp_path: Path, buckets: dict[str, Watched]) -> None:
    def slow(key: str) -> bytes | None:
        time.sleep(0.5)
        raise BucketMissing("late")

    buckets[SIGNER.address].fault = slow
    reader = BucketReader(buckets, VirtualClock(), pass_s=0.05)
    answers = dict(reader.each([ObjectOf(SIGNER.address, f"k{number}", 10) for number in range(40)]))
    assert len(answers) == 40
    assert all(isinstance(answer, Unknown) for answer in answers.values())
    assert isinstance(reader.one(ObjectOf(SIGNER.address, "k", 10)), Unknown), "the bucket is left alone now"


def test_a_port_is_a_bucket(buckets: dict[str, Watched]) -> None:
    port: Bucket = buckets[SIGNER.address]
    assert port.list("", 10) == ()


def test_a_bucket_that_refuses_ever_new_objects_does_not_fill_the_memory(
    tmp_path: Path, buckets: dict[str, Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_reader, "MAX_PAUSES", 50)
    reader = BucketReader(buckets, VirtualClock())
    objects = [ObjectOf(ADDRESSES[0], f"{number}/none", 10) for number in range(200)]
    for item in objects:
        reader.refuse(item)
    assert len(reader._object_pauses) == 50
    # Those that were met last are left alone still.
    assert isinstance(reader.one(objects[-1]), Unknown)
    assert buckets[ADDRESSES[0]].reads == []
    assert isinstance(reader.one(objects[0]), Absent)
    assert buckets[ADDRESSES[0]].reads == ["0/none"]


def test_what_is_too_old_for_any_lookback_leaves_the_memory_and_stays_in_the_state(machine: Machine) -> None:
    old, new = verdict(task=1), verdict(task=MAX_VIEW_TASKS + 2)
    machine.seen.record(old, sha("old"))
    machine.seen.record(new, sha("new"))
    machine.seen.refresh()
    assert machine.seen.find(1, old.validator) is None
    assert machine.seen.of_digest(sha("old")) is None
    assert machine.seen.find(new.task, new.validator) is not None
    assert machine.seen.record(old, sha("other")).digest == sha("old")
