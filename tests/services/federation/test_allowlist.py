"""Without the owner's list there is no list, and the sentence says why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from soundsright.adapters.buckets import FolderBucket, new_bucket_folder
from soundsright.adapters.chains import LocalChain
from soundsright.core.errors import ChainUnavailable
from soundsright.core.federation import allowlist_json
from soundsright.core.federation_commitments import AllowlistCommitment, ViewCommitment
from soundsright.core.profiles import Profile
from soundsright.services.federation import (
    ALLOWLIST_KEY,
    MAX_ALLOWLIST_BYTES,
    Allowlist,
    Contents,
    NoAllowlist,
    NoListReason,
    parsed_allowlist,
    publish_allowlist,
    read_allowlist,
)
from tests.services.federation.places import Watched, away
from tests.services.federation.published import ADDRESSES, ALLOWLIST, INTERVAL, sha

OWNER = "5Owner"
RAW = allowlist_json(ADDRESSES, INTERVAL).encode()
LIST = Allowlist(ADDRESSES, INTERVAL, ALLOWLIST)


class Owner:
    """The owner with chain and bucket, and one validator's disk."""

    def __init__(self, folder: Path) -> None:
        self.chain = LocalChain(folder / "chain.db")
        self.bucket = Watched(FolderBucket(new_bucket_folder(folder / "bucket")))
        self.contents = Contents(folder / "contents")
        self.chain.appoint(OWNER)

    def publish(self, raw: bytes, profile: Profile = Profile.SOUNDSRIGHT) -> int:
        publish_allowlist(raw, self.bucket, self.commit, profile=profile, interval=INTERVAL)
        return self.chain.head().number

    def commit(self, text: str) -> None:
        assert self.chain.publish(OWNER, text).ok

    def read(self, block: int | None = None, profile: Profile = Profile.SOUNDSRIGHT) -> Allowlist | NoAllowlist:
        at = self.chain.head().number if block is None else block
        return read_allowlist(
            self.chain, self.bucket, at, profile=profile, interval=INTERVAL, contents=self.contents
        )

    def reason(self, block: int | None = None) -> NoListReason:
        result = self.read(block)
        assert isinstance(result, NoAllowlist)
        assert result.sentence.endswith(".")
        return result.reason


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    return Owner(tmp_path)


def test_the_digest_of_three_sorted_test_addresses_is_the_published_one() -> None:
    addresses = [
        "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY",
        "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty",
        "5FLSigC9HGRKVhB9FiEo4Y3koPsNmBmLJbpXg2mp1hXcS59Y",
    ]
    listed = parsed_allowlist(allowlist_json(addresses, 100).encode(), 100)
    assert isinstance(listed, Allowlist)
    assert listed.digest.startswith("d836eb65")
    assert listed.digest.endswith("9d73")
    assert listed.validators == tuple(sorted(addresses))


def test_a_published_list_is_read_as_of_its_block_and_not_before(owner: Owner) -> None:
    before = owner.chain.head().number
    block = owner.publish(RAW)
    assert owner.read(block) == LIST
    assert owner.reason(before) is NoListReason.NO_COMMITMENT


def test_an_earlier_list_is_found_when_another_one_has_followed(owner: Owner) -> None:
    first = owner.publish(RAW)
    second = owner.publish(allowlist_json(ADDRESSES[:2], INTERVAL).encode())
    assert owner.read(first) == LIST
    fewer = owner.read(second)
    assert isinstance(fewer, Allowlist)
    assert fewer.validators == ADDRESSES[:2]


def test_a_list_that_was_read_is_known_while_the_bucket_is_away(owner: Owner) -> None:
    owner.publish(RAW)
    assert owner.read() == LIST
    owner.bucket.fault = away
    assert owner.read() == LIST


def test_a_view_of_the_owner_keeps_its_list(owner: Owner) -> None:
    owner.publish(RAW)
    owner.commit(ViewCommitment(180, sha("view"), AllowlistCommitment(ALLOWLIST).text).text)
    assert owner.read() == LIST


def test_the_other_profiles_read_the_originals_commitment(owner: Owner) -> None:
    owner.publish(RAW, Profile.DOC)
    assert owner.read(profile=Profile.DOC) == LIST
    assert owner.read(profile=Profile.CODE) == LIST
    assert owner.reason() is NoListReason.NO_COMMITMENT


def too_large(owner: Owner) -> None:
    owner.bucket.put(ALLOWLIST_KEY, b" " * (MAX_ALLOWLIST_BYTES + 1))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda owner: owner.commit("soundsright:allowlist:v2:" + "0" * 64), NoListReason.NO_COMMITMENT),
        (lambda owner: owner.commit("corpus:1:" + "0" * 64), NoListReason.NO_COMMITMENT),
        (lambda owner: owner.chain.appoint("5Other"), NoListReason.NO_COMMITMENT),
        (lambda owner: setattr(owner.bucket, "fault", away), NoListReason.UNREADABLE),
        (lambda owner: owner.bucket.put(ALLOWLIST_KEY, RAW + b"\n"), NoListReason.OTHER_HASH),
        (too_large, NoListReason.OTHER_HASH),
    ],
    ids=["another version", "a corpus", "another owner", "away", "other bytes", "too large"],
)
def test_each_reason_is_told_apart(owner: Owner, spoil: Callable[[Owner], None], reason: NoListReason) -> None:
    owner.bucket.put(ALLOWLIST_KEY, RAW)
    owner.commit(AllowlistCommitment(ALLOWLIST).text)
    spoil(owner)
    assert owner.reason() is reason


def test_a_bucket_without_a_list_and_a_chain_without_an_owner_are_told_apart(tmp_path: Path, owner: Owner) -> None:
    owner.commit(AllowlistCommitment(ALLOWLIST).text)
    assert owner.reason() is NoListReason.MISSING
    owner.chain = LocalChain(tmp_path / "other.db")
    assert owner.reason() is NoListReason.NO_OWNER


def test_a_chain_that_does_not_answer_is_no_empty_list(owner: Owner) -> None:
    with pytest.raises(ChainUnavailable):
        owner.read(owner.chain.head().number + 1)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 10_000,
        b'{"interval":100,"validators":[],"version":1}',
        b'{"interval":100,"validators":["5B","5A"],"version":1}',
        b'{"interval":100,"validators":["5A","5A"],"version":1}',
        b'{"interval":100,"validators":["5A"],"version":2}',
        b'{"interval":100,"validators":["5A"],"version":1,"x":1}',
        b'{"interval":100, "validators":["5A"],"version":1}',
        b'{"interval":100.0,"validators":["5A"],"version":1}',
        b'{"interval":true,"validators":["5A"],"version":1}',
        b'{"interval":100,"validators":["../5A"],"version":1}',
        b'{"interval":100,"validators":[5],"version":1}',
        b'{"interval":100,"validators":"5A","version":1}',
        b'{"interval":100,"validators":{"5A":1},"version":1}',
        allowlist_json([f"5{n}" for n in range(257)], 100).encode(),
    ],
    ids=range(17),
)
def test_a_malformed_list_is_none_although_the_owner_committed_to_it(owner: Owner, raw: bytes) -> None:
    owner.bucket.put(ALLOWLIST_KEY, raw)
    owner.commit(AllowlistCommitment(sha_of(raw)).text)
    assert owner.reason() is NoListReason.MALFORMED
    with pytest.raises(ValueError, match="has another form"):
        publish_allowlist(raw, owner.bucket, owner.commit, profile=Profile.SOUNDSRIGHT, interval=INTERVAL)


def sha_of(raw: bytes) -> str:
    import hashlib

    return hashlib.sha256(raw).hexdigest()


def test_a_list_for_tasks_of_another_length_is_none(owner: Owner) -> None:
    raw = allowlist_json(ADDRESSES, 50).encode()
    owner.bucket.put(ALLOWLIST_KEY, raw)
    owner.commit(AllowlistCommitment(sha_of(raw)).text)
    assert owner.reason() is NoListReason.OTHER_INTERVAL
