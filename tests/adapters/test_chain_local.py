"""The private chain in one file."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from soundsright.adapters.chain_local import LocalChain, seeded_entropy
from soundsright.core.errors import ChainUnavailable


def test_a_commitment_carries_the_block_it_was_made_in(tmp_path: Path) -> None:
    chain = LocalChain(tmp_path / "c.db")
    chain.register("alice")
    chain.advance(5)
    result = chain.publish("alice", "digest")
    assert result.ok
    (commitment,) = chain.commitments()
    assert (commitment.hotkey, commitment.digest, commitment.block) == ("alice", "digest", result.block)
    assert commitment.block == chain.head().number


def test_the_last_commitment_stands_with_its_own_block(tmp_path: Path) -> None:
    chain = LocalChain(tmp_path / "c.db")
    chain.register("alice")
    first = chain.publish("alice", "one")
    second = chain.publish("alice", "two")
    (commitment,) = chain.commitments()
    assert (commitment.digest, commitment.block) == ("two", second.block)
    assert first.block is not None
    assert commitment.block > first.block


def test_what_one_process_writes_another_reads(tmp_path: Path) -> None:
    writer, reader = LocalChain(tmp_path / "c.db"), LocalChain(tmp_path / "c.db")
    uid = writer.register("alice", stake=5.0, permit=True)
    assert [(n.uid, n.hotkey, n.stake, n.permit) for n in reader.neurons()] == [(uid, "alice", 5.0, True)]
    assert reader.head() == writer.head()


def test_registering_twice_keeps_the_uid_and_makes_no_block(tmp_path: Path) -> None:
    chain = LocalChain(tmp_path / "c.db")
    uid = chain.register("alice")
    head = chain.head()
    assert chain.register("alice") == uid
    assert chain.head() == head


def test_nobody_can_know_the_hash_of_a_block_to_come(tmp_path: Path) -> None:
    hashes = {LocalChain(tmp_path / f"{i}.db").advance(3).hash for i in range(4)}
    assert len(hashes) == 4


def test_a_seeded_chain_has_the_same_hashes_whatever_is_written(tmp_path: Path) -> None:
    one = LocalChain(tmp_path / "1.db", entropy=seeded_entropy(7))
    two = LocalChain(tmp_path / "2.db", entropy=seeded_entropy(7))
    one.register("alice")
    one.publish("alice", "x")
    assert one.advance(10 - one.head().number) == two.advance(10)
    assert LocalChain(tmp_path / "3.db", entropy=seeded_entropy(8)).advance(10) != two.head()


@pytest.mark.parametrize("weights", [{}, {"alice": math.nan}, {"alice": -0.1}, {"alice": math.inf}])
def test_weights_that_are_empty_negative_or_not_finite_are_refused(
    tmp_path: Path, weights: dict[str, float]
) -> None:
    chain = LocalChain(tmp_path / "c.db")
    chain.register("alice")
    chain.register("v", permit=True)
    assert chain.set_weights("v", weights).code == "bad_weights"
    assert chain.weights("v") == {}


def test_only_a_permitted_validator_sets_weights_and_only_for_the_registered(tmp_path: Path) -> None:
    chain = LocalChain(tmp_path / "c.db")
    chain.register("alice")
    chain.register("v", permit=True)
    assert chain.set_weights("alice", {"alice": 1.0}).code == "no_permit"
    assert chain.set_weights("bob", {"alice": 1.0}).code == "not_registered"
    assert chain.set_weights("v", {"bob": 1.0}).code == "unknown_hotkey"
    assert chain.set_weights("v", {"alice": 0.25, "v": 0.75}).ok
    assert chain.set_weights("v", {"alice": 1.0}).ok
    assert chain.weights("v") == {0: 1.0}


def test_an_unregistered_hotkey_and_an_overlong_digest_cannot_commit(tmp_path: Path) -> None:
    chain = LocalChain(tmp_path / "c.db")
    assert chain.publish("ghost", "digest").code == "not_registered"
    chain.register("alice")
    assert chain.publish("alice", "x" * 129).code == "too_long"
    assert chain.commitments() == ()


def test_a_file_that_is_no_chain_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.db").write_bytes(b"not a database at all, just some text" * 50)
    with pytest.raises(ChainUnavailable, match=r"c\.db"):
        LocalChain(tmp_path / "c.db")


def test_a_block_that_does_not_exist_yet_has_no_hash(tmp_path: Path) -> None:
    with pytest.raises(ChainUnavailable, match="no block 99"):
        LocalChain(tmp_path / "c.db").block_hash(99)
