"""The executor's commitment to its private corpus, beside what its hotkey has on the chain already."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundsright.core.corpus_commitment import CorpusCommitment, corpus_commitment_in
from soundsright.core.errors import HistoryGone
from soundsright.core.material import Material
from soundsright.core.ports import Snapshot, TxResult
from soundsright.core.round_commitment import RoundCommitment, round_commitment_in
from soundsright.services.executor.committing import COMMIT_EVERY_S, CorpusCommitter
from soundsright.services.rounds import material_digest
from tests.services.executor.world import Account, World, entry
from tests.services.private_corpus import private_material

A, B = entry("Aa", 60), entry("Bb", 80)
OTHER = CorpusCommitment("ab" * 32, "c" * 16)
ROUND = RoundCommitment("2030-01-05", "d" * 64)


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return private_material(tmp_path_factory.mktemp("home"))


@pytest.fixture
def world(tmp_path: Path, private: Material) -> World:
    return World(tmp_path, material=private)


def on_chain(world: World) -> str:
    texts = [c.digest for c in world.chain.commitments() if c.hotkey == Account.address]
    return texts[-1] if texts else ""


def tended(world: World, committer: CorpusCommitter) -> str:
    world.clock.sleep(COMMIT_EVERY_S)
    return committer.tend()


def test_the_commitment_to_a_round_stays(world: World, private: Material) -> None:
    world.chain.publish(Account.address, ROUND.text)
    assert CorpusCommitter(world.context).tend() == ""
    corpus = corpus_commitment_in(on_chain(world))
    assert corpus is not None
    assert corpus.root == material_digest(private)
    assert round_commitment_in(on_chain(world)) == RoundCommitment(ROUND.round_id, ROUND.sha256, corpus)


@pytest.mark.parametrize(("present", "why"), [("5" * 64, "an entry"), ("leoma:gate", "another system")])
def test_an_entry_and_the_text_of_another_system_stay(world: World, present: str, why: str) -> None:
    world.chain.publish(Account.address, present)
    problem = CorpusCommitter(world.context).tend()
    assert on_chain(world) == present
    assert why in problem
    assert "validators pay nobody" in problem


def test_the_corpus_of_another_program_with_this_hotkey_is_not_replaced_again_and_again(world: World) -> None:
    committer = CorpusCommitter(world.context)
    world.chain.publish(Account.address, OTHER.text)  # That of an earlier corpus.
    assert committer.tend() == ""
    assert on_chain(world) != OTHER.text
    world.chain.publish(Account.address, OTHER.text)
    for _ in range(2):
        assert "Another program with this hotkey has committed to the corpus abababababababab" in tended(
            world, committer
        )
        assert on_chain(world) == OTHER.text


def test_a_commitment_that_a_round_without_corpus_replaced_comes_back(world: World) -> None:
    committer = CorpusCommitter(world.context)
    committer.tend()
    world.chain.publish(Account.address, ROUND.text)
    assert tended(world, committer) == ""
    assert round_commitment_in(on_chain(world)) is not None
    assert corpus_commitment_in(on_chain(world)) is not None


def test_a_write_of_which_nothing_is_known_is_looked_for_at_once(world: World) -> None:
    committer = CorpusCommitter(world.context)
    publish = world.chain.publish

    def unknown(hotkey: str, text: str) -> TxResult:
        publish(hotkey, text)
        return TxResult(False, unknown=True)

    world.chain.publish = unknown  # type: ignore[method-assign,assignment]
    assert committer.tend() == ""
    before = world.chain.head()
    assert committer.tend() == ""
    assert world.chain.head() == before, "it was found, so it is not written again"


def test_no_round_begins_from_a_seed_before_the_commitment(world: World) -> None:
    """Every validator would burn the share of such a round."""
    world.play(A)
    assert on_chain(world)
    assert world.service.table().round_id == ""
    world.play(A, B)
    assert world.service.table().round_id == "images-20"
    assert world.check()(world.results()).reason == ""


def test_without_a_commitment_rounds_are_run_for_those_that_pay_nevertheless(world: World) -> None:
    world.chain.publish = lambda *_: TxResult(False, "not_registered", "no")  # type: ignore[method-assign]
    world.play(A)
    assert world.service.table().round_id == "images-10"


def test_a_round_begins_if_the_chain_no_longer_knows_when_the_commitment_was(world: World) -> None:
    """It is not said to be late. Validators look for themselves."""

    snapshot = world.chain.snapshot

    def gone(number: int | None = None) -> Snapshot:
        if number is None:
            return snapshot()
        raise HistoryGone("The state of that block is gone", "Use an archive node.")

    world.chain.snapshot = gone  # type: ignore[method-assign]
    world.play(A)
    assert world.service.table().round_id == "images-10"
