"""Refusals that follow from files are found again, and a lie about one is named."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from soundsright.core.errors import HubUnavailable, JobTimeout
from soundsright.core.material import PUBLIC_MATERIAL
from soundsright.services.replay import FoundModels, RunPorts, models_again
from soundsright.services.rounds import RecordedRound, plan_document, steps
from soundsright.testing import InlinePool
from tests.services.rounds.subnet import COMPETITION
from tests.services.rounds.test_holdings import Rounds

T = TypeVar("T")
MODELS = ("other", "victim", "parasite", "careless")


class World(Rounds):
    """A round of four: an honest pair, a copy of its weights in another format, and one without a Dockerfile."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.commit("victim", tensors=("encoder",))
        self.commit("parasite", tensors=("encoder",), dtype=np.float16)
        self.commit("careless", tensors=("decoder",))
        self.folder_of("careless").joinpath("Dockerfile").unlink()
        self.chain.register("late")
        assert self.play() == [("careless", "no_dockerfile"), ("parasite", "same_tensors")]

    def folder_of(self, hotkey: str) -> Path:
        return self.hub.root / f"content-{MODELS.index(hotkey)}"

    def record(self, change: Callable[[str, Any], Any] = lambda _name, facts: facts) -> RecordedRound:
        """The record of the round, with lies if a test wants some."""
        own = {name: change(name, json.loads(json.dumps(f))) for name, f in self.state.steps("round-1").items()}
        plan = self.state.round_facts("round-1")
        assert plan is not None
        return RecordedRound("round-1", plan, own, {}, **_titles(self, plan))

    def again(
        self, record: RecordedRound | None = None, *, pool: InlinePool | None = None, **options: Any
    ) -> FoundModels:
        ports = RunPorts(self.hub, self.sandbox, pool or InlinePool(), PUBLIC_MATERIAL, self.folder)
        return models_again(record or self.record(), ports, **options)


def _titles(world: World, plan: Mapping[str, Any]) -> dict[str, Any]:
    document = plan_document(world.state, "round-1", plan)
    return {"titles": document["titles"], "history": document["history"]}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def lie(world: World, step: str, hotkey: str, facts: Mapping[str, Any]) -> RecordedRound:
    """The record in which a step of an entry has other facts."""
    entries = steps.read(world.state, "round-1", steps.ENTRIES)
    assert entries is not None
    entry_id = next(e.entry_id for e in entries.submissions if e.hotkey == hotkey)
    return world.record(lambda name, own: {**own, **facts} if name == f"{step}:{entry_id}" else own)


def test_honest_refusals_are_found_again(world: World) -> None:
    found = world.again()
    assert (found.difference, found.unchecked) == (None, [])
    assert found.checked == {
        "models with the recorded files": 3,
        "refusals found again in their files": 1,
        "pairs of models whose tensors were compared": 3,
    }


def test_an_entry_that_was_refused_without_a_fault_is_named(world: World) -> None:
    (world.folder_of("careless") / "Dockerfile").write_text("FROM base\n")
    difference = world.again().difference
    assert difference is not None
    assert (difference.step, difference.field) == ("fetch", "careless")
    assert (difference.recorded, difference.replayed) == ("the refusal no_dockerfile", "accepted")


def test_an_entry_that_should_have_been_refused_is_named(world: World) -> None:
    (world.folder_of("victim") / "Dockerfile").unlink()
    difference = world.again().difference
    assert difference is not None
    assert (difference.field, difference.recorded) == ("victim", "accepted")
    assert difference.replayed == "the refusal no_dockerfile"


def test_a_copy_that_was_spared_and_an_honest_entry_that_was_called_a_copy_are_named(world: World) -> None:
    spared = world.record(lambda name, facts: {**facts, "same_tensors": []} if name == "duplicates" else facts)
    difference = world.again(spared).difference
    assert difference is not None
    assert {*difference.field.split(" and ")} == {"victim", "parasite"}
    assert (difference.recorded, difference.replayed) == ("other tensors", "the same tensors")
    np.savez(world.folder_of("parasite") / "weights.npz", np.random.default_rng(9).standard_normal((40, 300)))
    called = world.again().difference
    assert called is not None
    assert (called.recorded, called.replayed) == ("the same tensors", "other tensors")


def test_other_weights_than_recorded_are_named(world: World) -> None:
    facts = {"checkpoint_hashes": ["of another file"]}
    difference = world.again(lie(world, "fetch", "victim", facts)).difference
    assert difference is not None
    assert (difference.step, difference.field) == ("content of the weights", "victim")


def test_what_the_hub_does_not_give_any_more_is_listed(world: World) -> None:
    for hotkey in ("parasite", "careless"):
        model = world.models[f"{hotkey} {MODELS.index(hotkey)}"]
        known = world.hub.repositories[model]
        world.hub.repositories[model] = replace(known, hub_fault=HubUnavailable("The hub is away"))
        world.hub.cache.pop(known.content_hash)
    found = world.again()
    assert found.difference is None
    name = COMPETITION.id
    assert dict(found.unchecked) == {
        f"{name}: answers of parasite": "The hub does not give the model (The hub is away).",
        f"{name}: the refusal (no_dockerfile) of careless": "The hub does not give the model (The hub is away).",
        f"{name}: the same tensors of victim and parasite": "A model of the two is not at hand.",
    }


@pytest.mark.parametrize("hotkey", ["victim", "careless"])
def test_a_sealed_model_whose_key_is_withheld_accuses_nobody(world: World, hotkey: str) -> None:
    model = world.models[f"{hotkey} {MODELS.index(hotkey)}"]
    known = world.hub.repositories[model]
    world.hub.cache.pop(known.content_hash)
    (world.hub.root / "closed").mkdir()
    (world.hub.root / "closed" / "model.sealed").write_bytes(b"sealed")
    world.hub.repositories[model] = replace(known, content_hash="closed")
    found = world.again()
    assert found.difference is None
    assert "The model is sealed, and the bundle has no key of it." in dict(found.unchecked).values()


def test_other_files_on_the_hub_accuse_nobody_whose_entry_was_refused(world: World) -> None:
    model = world.models["careless 3"]
    known = world.hub.repositories[model]
    world.hub.cache.pop(known.content_hash)
    world.hub.repositories[model] = replace(known, content_hash="content-0")
    found = world.again()
    assert found.difference is None
    assert found.unchecked[0][1] == "The hub gives other files now."


class FailingPool(InlinePool):
    """A pool whose workers end when they read the weights in a folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def submit(self, function: Callable[..., T], /, *args: Any, deadline_s: float | None = None) -> Future[T]:
        if self._folder / "weights.npz" in args[0]:
            failed: Future[T] = Future()
            failed.set_exception(JobTimeout("tensor_fingerprint", 60.0))
            return failed
        return super().submit(function, *args, deadline_s=deadline_s)


def test_a_file_that_only_one_machine_can_read_accuses_nobody(world: World) -> None:
    found = world.again(pool=FailingPool(world.folder_of("parasite")))
    assert found.difference is None
    assert "could not be read on one of the two machines" in found.unchecked[0][1]


def test_refusals_that_rest_on_the_chain_are_listed(world: World) -> None:
    refusal = {"hotkey": "late", "uid": 9, "label": "late", "competition_id": None, "code": "too_late"}
    refusal |= {"sentence": "Too late", "evidence": {}}
    record = world.record(lambda name, facts: {**facts, "refusals": [refusal]} if name == "entries" else facts)
    ((part, why),) = world.again(record).unchecked
    assert part == "refusals at screening (too_late)"
    assert "follows from the chain" in why


def test_a_sample_fetches_its_models_and_looks_at_no_refusal(world: World) -> None:
    entries = steps.read(world.state, "round-1", steps.ENTRIES)
    assert entries is not None
    wanted = [e.entry_id for e in entries.submissions if e.hotkey == "victim"]
    found = world.again(wanted=wanted)
    assert (list(found.models), found.checked) == (wanted, {"models with the recorded files": 1})
