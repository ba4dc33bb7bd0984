"""The same over services with S3's API: one that creates only, one with keys, and one that lets peers only read."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from soundsright.adapters.buckets import FolderBucket, S3Bucket, new_bucket_folder
from soundsright.adapters.chains import LocalChain
from soundsright.adapters.peers import valid_signature
from soundsright.core.errors import (
    BucketForbidden,
    BucketUnavailable,
    BucketUnsuitable,
    FaultClass,
    UsageError,
    fault_class,
)
from soundsright.core.federation import allowlist_json
from soundsright.core.ports import Bucket
from soundsright.core.profiles import Profile
from soundsright.services.federation import (
    Absent,
    Allowlist,
    Contents,
    Found,
    NoAllowlist,
    NoListReason,
    Refused,
    Unknown,
    ViewPublisher,
    committed_views,
    create_once,
    mirror_key,
    open_verdict,
    publish_allowlist,
    read_allowlist,
    sign_verdict,
    verdict_key,
    view_key,
)
from tests.adapters.buckets.services import ACCESS, SECRET, moto, place, proxy, rclone
from tests.services.federation.places import Machine
from tests.services.federation.published import (
    ADDRESSES,
    EPOCH,
    INTERVAL,
    TASK,
    VALIDATORS,
    account_of,
    epoch_facts,
    task_facts,
    verdict,
    view,
)

SIGNER = account_of(TASK)
OTHERS = [hotkey for hotkey in ADDRESSES if hotkey != SIGNER.address]
KEY = verdict_key(TASK, SIGNER.address)
RAW, LATER = (sign_verdict(verdict(task), SIGNER) for task in (TASK, TASK + 3))
LATER_DIGEST = open_verdict(LATER, valid_signature=valid_signature).digest


@dataclass(frozen=True)
class Service:
    """A service: its bucket as the owner has it, as a peer has it, and as one with wrong keys has it."""

    own: Bucket
    peer: Bucket
    stranger: Bucket | None
    creates: bool


@pytest.fixture(scope="module", params=["folder", "rclone", "moto"])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with ExitStack() as stack:
        if request.param == "folder":
            root = new_bucket_folder(folder / "b")
            yield Service(FolderBucket(root), FolderBucket(root, own=False), None, creates=True)
        elif request.param == "moto":
            url = stack.enter_context(moto())
            yield Service(bucket_at(url, own=True), bucket_at(url), None, creates=True)
        else:
            writes = stack.enter_context(rclone(folder))
            reads = stack.enter_context(rclone(folder, "--read-only", "--dir-cache-time", "0s"))
            stranger = bucket_at(reads, secret_key="wrongSecret0001")
            yield Service(bucket_at(writes, own=True), bucket_at(reads), stranger, creates=False)


def bucket_at(url: str, **changes: object) -> S3Bucket:
    return S3Bucket(place(url, **changes), pause=lambda seconds: None)


def machine_of(tmp_path: Path, bucket: Bucket, own: Bucket | None = None) -> Machine:
    """A machine for which the bucket is that of the validator whose turn it was. The others have empty folders."""
    buckets: dict[str, Bucket] = {
        hotkey: FolderBucket(new_bucket_folder(tmp_path / hotkey)) for hotkey in OTHERS
    } | {SIGNER.address: bucket}
    if own is not None:
        buckets[OTHERS[0]] = own
    return Machine(tmp_path / "machine", buckets, OTHERS[0])


def test_a_verdict_comes_from_a_bucket_that_a_peer_may_only_read(service: Service, tmp_path: Path) -> None:
    machine = machine_of(tmp_path, service.peer)
    absent = (task_facts(TASK + 3), account_of(TASK + 3).address)
    service.own.put(KEY, RAW)
    results = machine.read([(task_facts(), SIGNER.address), absent])
    assert isinstance(results[TASK, SIGNER.address], Found)
    assert isinstance(results[TASK + 3, SIGNER.address], Absent)


def test_a_large_object_is_refused_and_not_read(service: Service, tmp_path: Path) -> None:
    service.own.put(verdict_key(TASK + 6, SIGNER.address), b" " * 20_000_000)
    refused = machine_of(tmp_path, service.peer).read([(task_facts(TASK + 6), SIGNER.address)])
    result = refused[TASK + 6, SIGNER.address]
    assert isinstance(result, Refused)
    assert result.code == "too_large"


def test_wrong_keys_and_a_missing_bucket_are_unknown_and_never_absent(service: Service, tmp_path: Path) -> None:
    for bucket in (service.stranger, FolderBucket(tmp_path / "no such bucket")):
        if bucket is not None:
            results = machine_of(tmp_path, bucket).read([(task_facts(), SIGNER.address)])
            assert isinstance(results[TASK, SIGNER.address], Unknown)


def test_an_object_is_created_once(service: Service) -> None:
    key, other = verdict_key(TASK + 9, SIGNER.address), sign_verdict(verdict(miners=2), SIGNER)
    if not service.creates:
        with pytest.raises(BucketUnsuitable) as unsuitable:
            create_once(service.own, key, RAW, lambda present: False)
        assert fault_class(unsuitable.value) is FaultClass.LOCAL
        return
    create_once(service.own, key, RAW, lambda present: False)
    create_once(service.own, key, RAW, lambda present: False)
    create_once(service.own, key, other, lambda present: present == RAW)
    for another in (other, b"x"):
        with pytest.raises(UsageError, match="has another object") as error:
            create_once(service.own, key, another, lambda present: False)
        assert "\n" not in str(error.value)
    assert service.peer.get(key, 10**6) == RAW


def test_a_copy_in_a_bucket_that_one_may_only_read_is_a_local_fault(service: Service, tmp_path: Path) -> None:
    service.own.put(KEY, RAW)
    machine = machine_of(tmp_path, service.peer, own=service.own)
    found = machine.read([(task_facts(), SIGNER.address)])[TASK, SIGNER.address]
    assert isinstance(found, Found)
    machine.mirror.serve([found.digest])
    assert service.peer.get(mirror_key(found.digest), 10**6) == RAW
    if service.stranger is None:
        return
    refused = Machine(tmp_path / "machine", {**machine.buckets, OTHERS[0]: service.peer}, OTHERS[0])
    service.own.put("mirror/more.json", b"x")
    refused.contents.put(LATER_DIGEST, LATER)
    with pytest.raises((BucketForbidden, BucketUnavailable)):
        refused.mirror.serve([LATER_DIGEST])


def test_a_view_is_published_and_read_by_a_peer(service: Service, tmp_path: Path) -> None:
    service.own.put(KEY, RAW)
    chain = LocalChain(tmp_path / "chain.db")
    chain.register(ADDRESSES[0])
    chain.advance(EPOCH)
    buckets: dict[str, Bucket] = dict.fromkeys(ADDRESSES, service.own)
    machine = Machine(tmp_path / "own", buckets)
    found = machine.read([(task_facts(), SIGNER.address)])[TASK, SIGNER.address]
    assert isinstance(found, Found)
    publisher = ViewPublisher(
        VALIDATORS[0],
        service.own,
        chain,
        machine.contents,
        machine.mirror,
        machine.records,
        valid_signature=valid_signature,
    )
    made = view(VALIDATORS[0], {TASK: {SIGNER.address: found.digest}})
    if not service.creates:
        with pytest.raises(BucketUnsuitable):
            publisher.publish(made, EPOCH + 90)
        assert chain.commitments() == ()
        return
    assert publisher.publish(made, EPOCH + 90).ok
    assert publisher.publish(made, EPOCH + 90).ok
    chain.advance(90)
    committed = committed_views(chain, ADDRESSES, EPOCH, EPOCH + 90)
    peer = Machine(tmp_path / "peer", dict.fromkeys(ADDRESSES, service.peer))
    assert peer.views.read(committed, epoch_facts())[ADDRESSES[0]] == made
    assert service.peer.get(view_key(EPOCH, ADDRESSES[0]), 10**6)


def test_the_owners_list_is_read_by_validators(service: Service, tmp_path: Path) -> None:
    chain = LocalChain(tmp_path / "chain.db")
    chain.appoint("5Owner")
    raw = allowlist_json(ADDRESSES, INTERVAL).encode()

    def commit(text: str) -> None:
        assert chain.publish("5Owner", text).ok

    publish_allowlist(raw, service.own, commit, profile=Profile.SOUNDSRIGHT, interval=INTERVAL)

    def read(bucket: Bucket, disk: str) -> Allowlist | NoAllowlist:
        return read_allowlist(
            chain,
            bucket,
            chain.head().number,
            profile=Profile.SOUNDSRIGHT,
            interval=INTERVAL,
            contents=Contents(tmp_path / disk),
        )

    listed = read(service.peer, "peer")
    assert isinstance(listed, Allowlist)
    assert listed.validators == ADDRESSES
    if service.stranger is not None:
        none = read(service.stranger, "stranger")
        assert isinstance(none, NoAllowlist)
        assert none.reason is NoListReason.UNREADABLE


def test_a_service_that_goes_away_is_unknown_until_it_is_back(tmp_path: Path) -> None:
    with rclone(tmp_path / "s3") as url, proxy(url) as standing:
        bucket = bucket_at(standing.url)
        bucket.put(KEY, RAW)
        machine = machine_of(tmp_path, bucket)
        standing.always("cut")
        assert isinstance(machine.read([(task_facts(), SIGNER.address)])[TASK, SIGNER.address], Unknown)
        standing.always(None)
        machine.clock.sleep(5.0)
        assert isinstance(machine.read([(task_facts(), SIGNER.address)])[TASK, SIGNER.address], Found)


def test_no_log_and_no_reason_has_a_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Everything fails once: keys, service, object, copy and list. Nothing that is told or logged has a key."""
    told: list[str] = []
    with caplog.at_level(logging.DEBUG), rclone(tmp_path / "s3") as url, proxy(url) as standing:
        right, wrong = bucket_at(standing.url, own=True), bucket_at(url, secret_key="wrongSecret0001")
        right.put(KEY, RAW.replace(b"0.25", b"0.26"))
        chain = LocalChain(tmp_path / "chain.db")
        chain.appoint("5Owner")
        chain.publish("5Owner", "soundsright:allowlist:v1:" + "0" * 64)
        for number, bucket in enumerate((right, wrong, right)):
            if number == 2:
                standing.always("cut")
            machine = machine_of(tmp_path / str(number), bucket, own=bucket)
            told += map(repr, machine.read([(task_facts(), SIGNER.address)]).values())
            machine.contents.put(LATER_DIGEST, LATER)
            with pytest.raises((BucketForbidden, BucketUnavailable, BucketUnsuitable)) as error:
                create_once(bucket, KEY, RAW, lambda present: False)
            told += [repr(error.value), str(error.value.__cause__), str(error.value.__context__)]
            with suppress(BucketForbidden, BucketUnavailable):
                machine.mirror.serve([LATER_DIGEST])
            none = read_allowlist(
                chain,
                bucket,
                chain.head().number,
                profile=Profile.SOUNDSRIGHT,
                interval=INTERVAL,
                contents=machine.contents,
            )
            told.append(repr(none))
    assert len(told) == 3 * 5
    everything = "\n".join([*told, caplog.text, *(repr(vars(record)) for record in caplog.records)])
    for key in (SECRET, "wrongSecret0001", ACCESS):
        assert key not in everything
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.suffix != ".db":
            assert SECRET.encode() not in path.read_bytes()
