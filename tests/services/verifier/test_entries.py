"""The entries whose provers a verifier asks: the last round's, or what the commitments on the chain reveal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from soundsright.adapters.chains import LocalChain
from soundsright.core.competition import PUBLISHED
from soundsright.core.entry_rules import EntryRules
from soundsright.core.errors import EntryRefused, PeerUnavailable
from soundsright.core.ports import Snapshot
from soundsright.core.sources import ModelRef
from soundsright.core.submission import Reveal
from soundsright.services.verifier import VerifiedEntries
from soundsright.testing import MemoryState
from tests.services.rounds.test_last_entries import finished_round

ID = PUBLISHED[0].id
SALT = "5" * 32


class Reveals:
    """Gives the reveals of a snapshot, and counts how often it is asked."""

    def __init__(self) -> None:
        self.by_hotkey: dict[str, Reveal | EntryRefused] = {}
        self.fault: Exception | None = None
        self.asked = 0

    def __call__(self, snapshot: Snapshot) -> Mapping[str, Reveal | EntryRefused]:
        self.asked += 1
        if self.fault is not None:
            raise self.fault
        committed = {each.hotkey for each in snapshot.commitments}
        return {hotkey: reveal for hotkey, reveal in self.by_hotkey.items() if hotkey in committed}


class World:
    def __init__(self, folder: Path) -> None:
        self.chain, self.state, self.reveals = LocalChain(folder / "chain.db"), MemoryState(), Reveals()
        self.entries = VerifiedEntries(self.chain, self.state, self.reveals, PUBLISHED, EntryRules())

    def commit(self, hotkey: str, content: str) -> None:
        """Register a hotkey, and commit to a model with that content, in a block of its own."""
        reveal = Reveal(ModelRef("lab", hotkey, "a" * 40), ID, SALT, content * 64)
        self.reveals.by_hotkey[hotkey] = reveal
        self.chain.register(hotkey)
        self.chain.publish(hotkey, reveal.digest(hotkey))
        self.chain.advance(1)

    def hotkeys(self) -> list[str]:
        return [each.submission.hotkey for each in self.entries()]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_without_a_round_revealed_commitments_count(world: World) -> None:
    world.commit("alice", "a")
    world.commit("bob", "b")
    del world.reveals.by_hotkey["bob"]
    assert [(each.submission.hotkey, each.content_hash) for each in world.entries()] == [("alice", "a" * 64)]


def test_of_equal_contents_the_first_commitment_counts(world: World) -> None:
    world.commit("zoe", "a")
    world.commit("alice", "a")
    world.commit("bob", "b")
    assert world.hotkeys() == ["zoe", "bob"]


def test_the_entries_of_the_last_round_replace_the_commitments(world: World) -> None:
    world.commit("alice", "a")
    assert world.hotkeys() == ["alice"]
    finished_round(world.state, "r1", 1, range(1))
    assert world.hotkeys() == ["hotkey0"]
    assert world.reveals.asked == 1


def test_commitments_are_read_again_after_ten_blocks(world: World) -> None:
    world.commit("alice", "a")
    assert world.hotkeys() == ["alice"]
    first = world.chain.finalized().number
    world.commit("bob", "b")
    while world.chain.finalized().number < first + 9:
        world.chain.advance(1)
    assert (world.hotkeys(), world.reveals.asked) == (["alice"], 1)
    world.chain.advance(1)
    assert (world.hotkeys(), world.reveals.asked) == (["alice", "bob"], 2)


def test_a_seal_that_cannot_be_opened_now_is_not_taken_for_no_entries(world: World) -> None:
    world.commit("alice", "a")
    world.reveals.fault = PeerUnavailable("No relay answers")
    with pytest.raises(PeerUnavailable):
        world.entries()
    world.reveals.fault = None
    assert world.hotkeys() == ["alice"]
