"""The first holder of a model stays the first one when it improves the model."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import DTypeLike

from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.schedule import Round
from soundsright.core.sources import ModelRef
from soundsright.core.submission import FetchedModel, Submission
from soundsright.services.rounds import steps
from soundsright.testing import Behaviour, FakeHub, FakeRepository, salted_reveal
from soundsright.testing.state import MemoryState
from tests.services.rounds.subnet import COMPETITION, Subnet

TENSORS = {
    name: np.random.default_rng(seed).standard_normal((count, 300)).astype(np.float32)
    for seed, (name, count) in enumerate(
        {"encoder": 40, "head 1": 2, "head 2": 2, "decoy": 40, "decoder": 95}.items()
    )
}
TENSORS["tuned encoder"] = TENSORS["encoder"] * np.float32(1.001)


class FilesHub(FakeHub):
    """A hub whose models have different files, by content hash."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.root = folder

    def fetch(self, submission: Submission, *, limits: FetchLimits) -> FetchedModel:
        model = super().fetch(submission, limits=limits)
        return replace(model, path=self.root / model.content_hash)

    def cached(self, submission: Submission, content_hash: str) -> FetchedModel | None:
        model = super().cached(submission, content_hash)
        return model and replace(model, path=self.root / content_hash)


class Rounds(Subnet):
    """A subnet of two, `victim` and `parasite`, round after round."""

    hub: FilesHub

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, qualities=())
        self.hub = FilesHub(folder / "models")
        self.sandbox = type(self.sandbox)(self.hub)
        self.commit("other", files=("other",))
        self.played = 0

    def commit(
        self, hotkey: str, *, files: Sequence[str] = (), tensors: Sequence[str] = (), dtype: DTypeLike = np.float32
    ) -> None:
        number = len(self.models)
        model = ModelRef(hotkey, "model", f"{number:040x}")
        self.models[f"{hotkey} {number}"] = model
        folder = self.hub.root / f"content-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "Dockerfile").write_text("FROM base\n")
        rows = np.concatenate([TENSORS[name] for name in tensors]).astype(dtype) if tensors else ()
        np.savez(folder / "weights.npz", *rows)
        self.hub.repositories[model] = FakeRepository(f"content-{number}", tuple(files), Behaviour(0.5))
        self.chain.register(hotkey)
        self.chain.advance(10)
        self.reveals[hotkey] = salted_reveal(model, hotkey, COMPETITION.id, f"content-{number}")
        self.chain.publish(hotkey, self.reveals[hotkey].digest(hotkey))

    def play(self) -> list[tuple[str, str]]:
        self.played += 1
        self.chain.advance(10)
        close = self.chain.head().number
        self.round = Round(f"round-{self.played}", close, self.chain.advance(5).number)
        self.chain.advance(5)
        return [(refusal.hotkey, refusal.code) for refusal in self.run().refusals]

    def play_with_one_who_came_back(self) -> list[tuple[str, str]]:
        """Two rounds. Between them `victim` registers again, after `another` entered the same weights."""
        self.commit("victim", files=("encoder",))
        self.play()
        self.chain.deregister("victim")
        self.commit("another", files=("encoder",))
        self.commit("victim", files=("encoder",))
        return self.play()


@pytest.fixture
def rounds(tmp_path: Path) -> Rounds:
    return Rounds(tmp_path)


def test_an_improved_model_is_not_a_copy_of_its_copy(rounds: Rounds) -> None:
    """The present commitment of the improved model is later than the copy."""
    rounds.commit("victim", files=("encoder", "head 1"))
    assert rounds.play() == []
    rounds.commit("parasite", files=("encoder", "junk"))
    assert rounds.play() == [("parasite", "shared_checkpoint")]
    rounds.commit("victim", files=("encoder", "head 2"))
    assert rounds.play() == [("parasite", "shared_checkpoint")]
    refusal = next(iter(rounds.run().refusals))  # from what was recorded
    entries = steps.read(rounds.state, "round-1", steps.ENTRIES)
    assert entries is not None
    first = entries.submissions[1].block
    assert f"held since block {first})" in refusal.sentence
    assert refusal.evidence["original_since_block"] == str(first)


@pytest.mark.parametrize(
    ("before", "after"),
    [(("encoder", "head 1"), ("encoder", "head 1")), (("encoder", "head 1"), ("encoder", "head 2"))],
    ids=["fixed outside its weights", "with a better head in the same file"],
)
def test_an_improved_model_is_not_a_copy_of_a_copy_in_another_format(
    rounds: Rounds, before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    rounds.commit("victim", files=("v1",), tensors=before)
    assert rounds.play() == []
    rounds.commit("parasite", files=("p",), tensors=("encoder",), dtype=np.float16)
    rounds.commit("victim", files=("v2",), tensors=after)
    assert rounds.play() == [("parasite", "same_tensors")]


def test_a_slightly_trained_model_is_not_a_copy_of_its_copy(rounds: Rounds) -> None:
    rounds.commit("victim", files=("v1",), tensors=("encoder",))
    rounds.commit("parasite", files=("p",), tensors=("encoder",))
    assert rounds.play() == [("parasite", "same_tensors")]
    rounds.commit("victim", files=("v2",), tensors=("tuned encoder",))
    assert rounds.play() == [("parasite", "same_tensors")]


def test_a_refused_entry_that_was_fixed_is_not_a_copy_of_its_copy(rounds: Rounds) -> None:
    rounds.commit("victim", files=("encoder",))
    (rounds.hub.root / f"content-{len(rounds.models) - 1}" / "Dockerfile").unlink()
    assert rounds.play() == [("victim", "no_dockerfile")]
    rounds.commit("parasite", files=("encoder",))
    rounds.commit("victim", files=("encoder",))
    assert rounds.play() == [("parasite", "shared_checkpoint")]


def test_the_first_holder_of_a_part_is_not_the_first_holder_of_the_whole(rounds: Rounds) -> None:
    """Public tensors in it, or other tensors that were entered with these, do not make the whole older."""
    rounds.commit("parasite", files=("p1",), tensors=("tuned encoder", "decoy"))
    assert rounds.play() == []
    rounds.commit("victim", files=("v",), tensors=("encoder", "decoder"))
    assert rounds.play() == []
    rounds.commit("parasite", files=("p2",), tensors=("tuned encoder", "decoder"))
    assert rounds.play() == [("parasite", "same_tensors")]


def test_an_early_entry_of_other_weights_does_not_count(rounds: Rounds) -> None:
    """Stolen weights do not become older if they are entered later beside early files and tensors."""
    rounds.commit("parasite", files=("decoy",), tensors=("decoy",))
    rounds.commit("accomplice", files=("another",))
    assert rounds.play() == []
    rounds.commit("victim", files=("encoder",), tensors=("encoder",))
    assert rounds.play() == []
    rounds.commit("accomplice", files=("decoy", "another"))
    rounds.commit("parasite", files=("decoy", "encoder"))
    assert rounds.play() == [("parasite", "shared_checkpoint")]
    rounds.commit("parasite", files=("decoy",), tensors=("decoy", "encoder"))
    rounds.commit("accomplice", files=("another",))
    assert rounds.play() == [("parasite", "same_tensors")]


def test_a_hotkey_that_registers_again_counts_as_a_new_one(rounds: Rounds) -> None:
    assert rounds.play_with_one_who_came_back() == [("victim", "shared_checkpoint")]


def test_without_earlier_rounds_the_present_blocks_count(rounds: Rounds) -> None:
    rounds.commit("victim", files=("encoder",))
    rounds.play()
    rounds.state = MemoryState()
    rounds.commit("parasite", files=("encoder",))
    rounds.commit("victim", files=("encoder", "head 2"))
    assert rounds.play() == [("victim", "shared_checkpoint")]
