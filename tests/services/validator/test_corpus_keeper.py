"""A validator's commitment to its corpus, beside what its hotkey has on the chain already."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundsright.core.corpus_commitment import CorpusCommitment, corpus_commitment_in
from soundsright.core.round_commitment import RoundCommitment, round_commitment_in
from soundsright.services.http import Health
from soundsright.services.rounds import commitment_to
from soundsright.services.validator.corpus import CHECK_EVERY_S, CorpusKeeper
from soundsright.testing import FakeChain, VirtualClock
from tests.services.private_corpus import private_material

VERA = "5Vera"
OTHER = CorpusCommitment("ab" * 32, "c" * 16)
ROUND = RoundCommitment("2030-01-05", "d" * 64)


class Bench:
    """A validator with a private corpus."""

    def __init__(self, folder: Path) -> None:
        self.material = private_material(folder)
        self.chain, self.clock = FakeChain(), VirtualClock(1e9)
        self.health = Health(self.clock)
        self.keeper = CorpusKeeper(self.chain, VERA, self.material, 4, self.clock, self.health)  # type: ignore[arg-type]

    def tend(self) -> str:
        """The text on the chain after the next look."""
        self.clock.sleep(CHECK_EVERY_S)
        self.keeper.tend(())
        return next((c.digest for c in self.chain.commitments() if c.hotkey == VERA), "")

    @property
    def problem(self) -> str:
        return str(self.health.problems().get("corpus", ""))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_the_commitment_to_a_round_stays(bench: Bench) -> None:
    bench.chain.publish(VERA, ROUND.text)
    own = commitment_to(bench.material, 4)
    assert round_commitment_in(bench.tend()) == RoundCommitment(ROUND.round_id, ROUND.sha256, own)


@pytest.mark.parametrize(("present", "why"), [("5" * 64, "has an entry"), ("leoma:gate", "another system")])
def test_an_entry_and_the_text_of_another_system_stay(bench: Bench, present: str, why: str) -> None:
    bench.chain.publish(VERA, present)
    assert bench.tend() == present
    assert why in bench.problem
    assert "rounds pay nobody" in bench.problem


def test_the_corpus_of_another_program_with_this_hotkey_is_not_replaced_again_and_again(bench: Bench) -> None:
    bench.chain.publish(VERA, OTHER.text)  # That of an earlier corpus.
    assert corpus_commitment_in(bench.tend()) == commitment_to(bench.material, 4)
    assert bench.problem == ""
    bench.chain.publish(VERA, OTHER.text)
    assert [bench.tend(), bench.tend()] == [OTHER.text] * 2
    assert "Another program with this hotkey" in bench.problem
