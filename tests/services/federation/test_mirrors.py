"""A document that a majority has read stays readable: from its author, or from any copy of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from soundsright.adapters.chains import LocalChain
from soundsright.adapters.peers import Hotkey, valid_signature
from soundsright.core.errors import BucketForbidden, BucketUnavailable, InfrastructureFault, UsageError
from soundsright.core.federation import View
from soundsright.core.federation_commitments import view_commitment_in
from soundsright.ranking import Unusable
from soundsright.services.federation import (
    MAX_VIEW_BYTES,
    VIEW,
    Found,
    Sought,
    ViewPublisher,
    commit_view,
    committed_views,
    evidence_of,
    mirror,
    mirror_key,
    open_evidence,
    open_view,
    sign_verdict,
    sign_view,
    verdict_key,
    view_key,
)
from soundsright.services.federation.mirror import KEPT_EPOCHS
from soundsright.services.federation.verdict_reader import verdict_objects
from tests.services.federation.places import Machine, Watched, away, folders
from tests.services.federation.published import (
    ADDRESSES,
    EPOCH,
    TASK,
    VALIDATORS,
    account_of,
    epoch_facts,
    sha,
    signed_facts,
    task_facts,
    verdict,
    view,
)

SIGNER = account_of(TASK)
RAW = sign_verdict(verdict(), SIGNER)
FIRST, SECOND, THIRD = ADDRESSES


@pytest.fixture
def buckets(tmp_path: Path) -> dict[str, Watched]:
    return folders(tmp_path / "buckets")


def machine_of(tmp_path: Path, buckets: dict[str, Watched], own: str = FIRST) -> Machine:
    return Machine(tmp_path / own, buckets, own)


def read_and_mirrored(machine: Machine) -> str:
    """The digest of the verdict on the task, which the machine reads and serves."""
    found = machine.read([(task_facts(), SIGNER.address)])[TASK, SIGNER.address]
    assert isinstance(found, Found)
    machine.mirror.serve([found.digest])
    return found.digest


def sought(digest: str, mirrors: tuple[str, ...] = ADDRESSES) -> Sought:
    (original,) = verdict_objects([(TASK, SIGNER.address)])
    return Sought(digest, original.max_bytes, original, mirrors)


def test_a_verdict_is_fetched_from_any_copy_when_its_author_is_away(
    tmp_path: Path, buckets: dict[str, Watched]
) -> None:
    buckets[SIGNER.address].put(verdict_key(TASK, SIGNER.address), RAW)
    others = [hotkey for hotkey in ADDRESSES if hotkey != SIGNER.address]
    digest = read_and_mirrored(machine_of(tmp_path, buckets, others[0]))
    buckets[SIGNER.address].fault = away
    late = machine_of(tmp_path, buckets, others[1])

    def accept(wanted: str, raw: bytes) -> bool:
        return late.verdicts.take(raw).digest == wanted

    assert late.mirror.fetch([sought(digest)], accept) == ()
    found = late.verdicts.of_digest(digest)
    assert found is not None
    assert found.verdict == verdict()


def test_a_document_that_no_place_gives_is_unknown_and_found_later(
    tmp_path: Path, buckets: dict[str, Watched]
) -> None:
    machine = machine_of(tmp_path, buckets)
    digest = sha("somewhere")
    assert machine.mirror.fetch([sought(digest)], lambda wanted, raw: True) == (digest,)
    buckets[THIRD].put(mirror_key(digest), b"it")
    assert machine.mirror.fetch([sought(digest)], lambda wanted, raw: raw == b"it") == ()


def test_a_wrong_copy_is_passed_over_and_left_alone(tmp_path: Path, buckets: dict[str, Watched]) -> None:
    machine, digest = machine_of(tmp_path, buckets), sha("it")
    buckets[FIRST].put(mirror_key(digest), b"not it")
    buckets[SECOND].put(mirror_key(digest), b" " * 10_000_000)
    buckets[THIRD].put(mirror_key(digest), b"it")
    for _ in range(3):
        assert machine.mirror.fetch([sought(digest)], lambda wanted, raw: raw == b"it") == ()
    assert buckets[FIRST].reads.count(mirror_key(digest)) == 1
    assert buckets[SECOND].reads.count(mirror_key(digest)) == 1


def test_copies_are_sent_once_also_after_a_restart(tmp_path: Path, buckets: dict[str, Watched]) -> None:
    buckets[SIGNER.address].put(verdict_key(TASK, SIGNER.address), RAW)
    machine = machine_of(tmp_path, buckets)
    digest = read_and_mirrored(machine)
    etag = buckets[FIRST].head(mirror_key(digest)).etag
    machine.restart()
    machine.mirror.serve([digest, digest])
    assert buckets[FIRST].head(mirror_key(digest)).etag == etag
    with pytest.raises(InfrastructureFault, match="is not on this machine"):
        machine.mirror.serve([sha("unread")])


def test_copies_that_no_epoch_needs_any_more_are_removed_later(tmp_path: Path, buckets: dict[str, Watched]) -> None:
    machine = machine_of(tmp_path, buckets)
    kept, old, older = sha("kept"), sha("old"), sha("older")
    for name in ("kept", "old", "older"):
        machine.contents.put(sha(name), name.encode())
    buckets[FIRST].put("mirror/of-somebody-else.json", b"x")
    machine.mirror.serve([kept, old, older])
    machine.restart()  # Then it is not known any more when each was needed.
    machine.mirror.serve([kept])
    for _ in range(KEPT_EPOCHS):
        machine.mirror.end_epoch()
        machine.mirror.serve([kept])
    assert mirrored(buckets) == {kept, old, older, "of-somebody-else"}
    machine.mirror.serve([old])
    machine.mirror.end_epoch()
    assert mirrored(buckets) == {kept, old, "of-somebody-else"}
    machine.mirror.serve([older])  # One that is needed again is put again.
    assert older in mirrored(buckets)


def test_a_bucket_that_removes_nothing_or_is_full_of_copies_stops_nobody(
    tmp_path: Path, buckets: dict[str, Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = machine_of(tmp_path, buckets)
    for name in ("one", "two"):
        machine.contents.put(sha(name), name.encode())
    machine.mirror.serve([sha("one")])

    def refused(key: str) -> None:
        raise BucketForbidden("these keys may not remove objects")

    monkeypatch.setattr(buckets[FIRST], "delete", refused)
    for _ in range(KEPT_EPOCHS + 2):
        machine.mirror.end_epoch()
    assert mirrored(buckets) == {sha("one")}
    monkeypatch.setattr(mirror, "MAX_MIRRORED", 0)
    machine.restart()
    machine.mirror.serve([sha("one"), sha("two")])
    assert mirrored(buckets) == {sha("one"), sha("two")}


def mirrored(buckets: dict[str, Watched]) -> set[str]:
    listed = buckets[FIRST].list("mirror/", 100)
    return {item.key.removeprefix("mirror/").removesuffix(".json") for item in listed}


def test_a_proof_is_served_and_checked_by_others(tmp_path: Path, buckets: dict[str, Watched]) -> None:
    proof = evidence_of(RAW, sign_verdict(verdict(miners=2), SIGNER), valid_signature=valid_signature)
    machine = machine_of(tmp_path, buckets)
    machine.contents.put(proof.digest, proof.raw)
    machine.mirror.serve([proof.digest])
    read = buckets[FIRST].get(mirror_key(proof.digest), 10**7)
    assert open_evidence(read, valid_signature=valid_signature) == proof


# Views


def published(buckets: dict[str, Watched], number: int, made: View | None = None) -> str:
    account = VALIDATORS[number]
    raw = sign_view(made or view(account, {TASK: {SECOND: sha("a")}}), account)
    buckets[account.address].put(view_key(EPOCH, account.address), raw)
    return open_view(raw, valid_signature=valid_signature).digest


def test_views_are_read_once_and_those_without_a_commitment_are_none(
    tmp_path: Path, buckets: dict[str, Watched]
) -> None:
    machine = machine_of(tmp_path, buckets)
    committed = {FIRST: published(buckets, 0), SECOND: published(buckets, 1), THIRD: None}
    views = machine.views.read(committed, epoch_facts())
    expected = [view(account, {TASK: {SECOND: sha("a")}}) for account in VALIDATORS[:2]]
    assert list(views.values()) == [*expected, None]
    reads = [list(bucket.reads) for bucket in buckets.values()]
    machine.restart()
    assert machine.views.read(committed, epoch_facts()) == views
    assert [bucket.reads for bucket in buckets.values()] == reads


def test_a_view_is_read_from_a_copy_when_its_author_is_away(tmp_path: Path, buckets: dict[str, Watched]) -> None:
    committed = {SECOND: published(buckets, 1)}
    other = machine_of(tmp_path, buckets, THIRD)
    other.views.read(committed, epoch_facts())
    other.mirror.serve([digest for digest in committed.values() if digest])
    buckets[SECOND].fault = away
    assert isinstance(machine_of(tmp_path, buckets).views.read(committed, epoch_facts())[SECOND], View)


def test_a_view_that_cannot_be_read_is_missing_and_is_read_later(
    tmp_path: Path, buckets: dict[str, Watched]
) -> None:
    machine = machine_of(tmp_path, buckets)
    committed = {SECOND: published(buckets, 1)}
    buckets[SECOND].fault = away
    assert machine.views.read(committed, epoch_facts()) == {SECOND: Unusable.MISSING}
    buckets[SECOND].fault = lambda key: None
    machine.clock.sleep(5.0)
    assert isinstance(machine.views.read(committed, epoch_facts())[SECOND], View)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b" " * (MAX_VIEW_BYTES + 1),
        sign_view(view(VALIDATORS[1], {}), VALIDATORS[1]),
        sign_view(view(VALIDATORS[1], {TASK: {SECOND: sha("a")}}), Hotkey.of_seed("mallory")),
        sign_verdict(verdict(TASK, 1), account_of(TASK, 1)),
    ],
    ids=["empty", "no envelope", "too large", "another view", "another signer", "a verdict"],
)
def test_other_bytes_than_the_committed_ones_leave_the_view_missing(
    tmp_path: Path, buckets: dict[str, Watched], raw: bytes
) -> None:
    committed = {SECOND: published(buckets, 1)}
    buckets[SECOND].put(view_key(EPOCH, SECOND), raw)
    machine = machine_of(tmp_path, buckets)
    assert machine.views.read(committed, epoch_facts()) == {SECOND: Unusable.MISSING}


def test_a_copy_whose_signature_was_changed_is_passed_over(tmp_path: Path, buckets: dict[str, Watched]) -> None:
    committed = {SECOND: published(buckets, 1)}
    digest = committed[SECOND]
    right = buckets[SECOND].get(view_key(EPOCH, SECOND), 10**6)
    envelope = json.loads(right)
    envelope["signature"] = "0x" + "0" * 128
    buckets[SECOND].put(view_key(EPOCH, SECOND), json.dumps(envelope).encode())
    buckets[FIRST].put(mirror_key(digest), right)
    assert isinstance(machine_of(tmp_path, buckets).views.read(committed, epoch_facts())[SECOND], View)


@pytest.mark.parametrize(
    "made",
    [
        view(VALIDATORS[1], {}, epoch_block=EPOCH - 180),
        view(VALIDATORS[1], {}, allowlist=sha("another")),
        view(VALIDATORS[1], {}, rules=sha("others")),
        view(VALIDATORS[1], {10**6: {SECOND: sha("a")}}),
    ],
    ids=["epoch", "allowlist", "rules", "task"],
)
def test_a_committed_view_that_is_none_of_this_epoch_is_malformed_for_all(
    tmp_path: Path, buckets: dict[str, Watched], made: View
) -> None:
    committed = {SECOND: published(buckets, 1, made)}
    for own in (FIRST, THIRD):
        machine = machine_of(tmp_path, buckets, own)
        assert machine.views.read(committed, epoch_facts()) == {SECOND: Unusable.MALFORMED}
        assert machine.views.read(committed, epoch_facts()) == {SECOND: Unusable.MALFORMED}


def test_a_committed_document_that_is_no_view_is_malformed_for_all(
    tmp_path: Path, buckets: dict[str, Watched]
) -> None:
    raw = signed_facts(VIEW, view(VALIDATORS[1], {}), VALIDATORS[1], lambda facts: facts.update(verdicts=7))
    digest = sha(json.loads(raw)["document"])
    buckets[SECOND].put(view_key(EPOCH, SECOND), raw)
    machine = machine_of(tmp_path, buckets)
    assert machine.views.read({SECOND: digest}, epoch_facts()) == {SECOND: Unusable.MALFORMED}


@pytest.mark.parametrize(("author", "copier"), [(0, 2), (1, 0), (2, 1)])
@pytest.mark.parametrize("shows", ["nothing", "a copy", "the document under its own signature"])
def test_a_validator_that_commits_to_anothers_view_hides_only_its_own(
    tmp_path: Path, buckets: dict[str, Watched], author: int, copier: int, shows: str
) -> None:
    digest = published(buckets, author)
    by, thief = VALIDATORS[author], VALIDATORS[copier]
    raw = buckets[by.address].get(view_key(EPOCH, by.address), 10**6)
    if shows != "nothing":
        shown = raw if shows == "a copy" else sign_view(view(by, {TASK: {SECOND: sha("a")}}), thief)
        buckets[thief.address].put(view_key(EPOCH, thief.address), shown)
        buckets[thief.address].put(mirror_key(digest), shown)
    committed: dict[str, str | None] = dict(sorted({by.address: digest, thief.address: digest}.items()))
    machine = machine_of(tmp_path, buckets)
    for _ in range(2):
        views = machine.views.read(committed, epoch_facts())
        assert isinstance(views[by.address], View)
        assert views[thief.address] is Unusable.MALFORMED
        machine.restart()


# Publishing the own view


class Publishing:
    """The first validator, which publishes views on a chain."""

    def __init__(self, tmp_path: Path, buckets: dict[str, Watched]) -> None:
        self.buckets = buckets
        self.machine = machine_of(tmp_path, buckets)
        self.chain = LocalChain(tmp_path / "chain.db")
        self.chain.register(FIRST)
        self.chain.advance(EPOCH)
        buckets[SIGNER.address].put(verdict_key(TASK, SIGNER.address), RAW)
        self.machine.read([(task_facts(), SIGNER.address)])
        self.restart()

    def restart(self) -> None:
        self.machine.restart()
        self.publisher = ViewPublisher(
            VALIDATORS[0],
            self.buckets[FIRST],
            self.chain,
            self.machine.contents,
            self.machine.mirror,
            self.machine.records,
            valid_signature=valid_signature,
        )

    def view(self, **changes: object) -> View:
        kept = self.machine.verdicts.kept(TASK, SIGNER.address)
        assert kept is not None
        return view(VALIDATORS[0], {TASK: {SIGNER.address: kept.digest}}, **changes)

    def committed(self, until: int) -> str | None:
        self.chain.advance(max(0, until - self.chain.head().number))
        return committed_views(self.chain, [FIRST], EPOCH, until)[FIRST]


@pytest.fixture
def publishing(tmp_path: Path, buckets: dict[str, Watched]) -> Publishing:
    return Publishing(tmp_path, buckets)


def test_a_view_is_served_with_all_it_lists_before_it_is_committed(publishing: Publishing) -> None:
    until = EPOCH + 90
    made = publishing.view()
    assert publishing.publisher.publish(made, until).ok
    served = open_view(
        publishing.buckets[FIRST].get(view_key(EPOCH, FIRST), 10**6), valid_signature=valid_signature
    )
    assert served.view == made
    (digest,) = made.verdicts[TASK].values()
    assert publishing.buckets[FIRST].get(mirror_key(digest), 10**6) == RAW
    assert publishing.committed(until) == served.digest
    assert publishing.publisher.own_view(EPOCH) == made
    assert publishing.publisher.own_view(EPOCH + 180) is None


def test_the_view_that_was_signed_first_is_published_also_after_a_restart(publishing: Publishing) -> None:
    until, first = EPOCH + 90, publishing.view()
    publishing.buckets[FIRST].put(view_key(EPOCH, THIRD), b"not in the way")
    assert publishing.publisher.publish(first, until).ok
    head = publishing.chain.head().number
    publishing.restart()
    assert publishing.publisher.publish(publishing.view(winners={}), until).ok
    assert publishing.publisher.own_view(EPOCH) == first
    assert publishing.chain.head().number == head, "nothing was committed again"


def test_a_view_whose_own_bucket_fails_is_published_later(publishing: Publishing) -> None:
    class Away(Watched):
        def put(self, key: str, data: bytes, create: bool = False):  # type: ignore[no-untyped-def]
            raise BucketUnavailable("away", own=True)

    right, until = publishing.buckets[FIRST], EPOCH + 90
    publishing.buckets[FIRST] = Away(right.inner)
    publishing.restart()
    with pytest.raises(BucketUnavailable):
        publishing.publisher.publish(publishing.view(), until)
    assert publishing.chain.commitments() == ()
    publishing.buckets[FIRST] = right
    publishing.restart()
    assert publishing.publisher.publish(publishing.view(winners={}), until).ok
    assert publishing.publisher.own_view(EPOCH) == publishing.view()


def test_another_view_in_the_own_bucket_is_a_fault_of_this_machine(publishing: Publishing) -> None:
    raw = sign_view(publishing.view(winners={}), VALIDATORS[0])
    publishing.buckets[FIRST].put(view_key(EPOCH, FIRST), raw)
    with pytest.raises(UsageError, match="has another object") as error:
        publishing.publisher.publish(publishing.view(), EPOCH + 90)
    assert "\n" not in str(error.value)
    assert publishing.buckets[FIRST].get(view_key(EPOCH, FIRST), 10**6) == raw
    assert publishing.chain.commitments() == ()


def test_the_same_view_that_was_signed_again_is_no_fault(publishing: Publishing) -> None:
    publishing.buckets[FIRST].put(view_key(EPOCH, FIRST), sign_view(publishing.view(), VALIDATORS[0]))
    assert publishing.publisher.publish(publishing.view(), EPOCH + 90).ok


def test_a_view_that_comes_too_late_is_not_committed(publishing: Publishing) -> None:
    publishing.chain.advance(90)
    late = publishing.publisher.publish(publishing.view(), EPOCH + 90)
    assert (late.ok, late.code) == (False, "too_late")
    assert publishing.chain.commitments() == ()


def test_a_round_that_replaces_a_view_on_the_chain_does_not_hide_it(publishing: Publishing) -> None:
    until = EPOCH + 90
    assert publishing.publisher.publish(publishing.view(), until).ok
    (present,) = publishing.chain.commitments()
    publishing.chain.publish(FIRST, "soundsright:round:r1:" + "0" * 64)
    found = view_commitment_in(present.digest)
    assert found is not None
    assert publishing.committed(until) == found.sha256
    assert commit_view(publishing.chain, FIRST, EPOCH + 180, sha("next")).ok
    (present,) = publishing.chain.commitments()
    assert present.digest.endswith(" soundsright:round:r1:" + "0" * 64)
