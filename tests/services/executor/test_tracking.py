"""A tracker gets each image of a published round once, and its faults end nothing."""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from soundsright.cli.shared import image_tracking
from soundsright.cli.shared.settings_options import secrets_of
from soundsright.config import ExecutorSettings, read_settings
from soundsright.core.errors import InfrastructureFault, UsageError
from soundsright.core.results import Failure
from soundsright.services.executor import RoundTracker, TrackedImage
from soundsright.services.executor.service import ExecutorService
from tests.services.executor.world import World, entry


@dataclass
class Run:
    image: TrackedImage
    values: dict[str, float] = field(default_factory=dict)
    is_finished: bool = False
    fault: Exception | None = None

    def log(self, values: Mapping[str, float]) -> None:
        if self.fault is not None:
            raise self.fault
        self.values |= values

    def finish(self) -> None:
        self.is_finished = True


def play(folder: Path, *faults: Exception | None) -> tuple[World, list[Run]]:
    """Two rounds of a tracked executor: two images, of which one fails, and then none that is new."""
    runs: list[Run] = []
    left = list(faults)

    def begin(image: TrackedImage) -> Run:
        runs.append(Run(image, fault=left.pop(0) if left else None))
        return runs[-1]

    world, tracker = World(folder), RoundTracker(begin)
    world.service = ExecutorService(world.context, problem=world._problem, published=tracker)
    world.meter.failures["Bb"] = Failure("timeout", "too slow")
    for _ in range(2):
        world.play(entry("Aa", 80), entry("Bb", 60))
        tracker.wait(10)
    return world, runs


def test_each_image_of_a_round_is_one_run(tmp_path: Path) -> None:
    _, runs = play(tmp_path)
    assert [run.image.name for run in runs] == ["images-10-Aa", "images-10-Bb"]
    assert all(run.is_finished for run in runs)
    assert runs[0].values["rank"] == 1
    assert runs[0].values["quality_score"] == pytest.approx(0.8)
    assert runs[0].values["inference_time_sec"] == pytest.approx(1.0)
    assert runs[0].image.config["image_ref"] == str(entry("Aa", 80).image)
    assert "rank" not in runs[1].values
    assert runs[1].image.config["error"] == "timeout"


@pytest.mark.parametrize("fault", [InfrastructureFault("wandb is away"), RuntimeError("surprise")])
def test_a_fault_of_the_tracker_ends_its_run_and_no_round(tmp_path: Path, fault: Exception) -> None:
    world, runs = play(tmp_path, fault)
    assert [(run.values, run.is_finished) for run in runs] == [({}, True)]
    assert world.service.table().round_id == "images-10"
    assert world.problems == []


def settings(**changes: str) -> ExecutorSettings:
    return read_settings(ExecutorSettings, environment=changes)


def test_without_a_key_nothing_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", types.ModuleType("wandb"))  # Any call of it would fail.
    image_tracking.round_tracker(settings())("images-10", world_published(tmp_path))


def test_with_a_key_wandb_gets_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, Any]] = []
    wandb: Any = types.ModuleType("wandb")
    wandb.__spec__ = types.SimpleNamespace(name="wandb")
    wandb.init = lambda **options: calls.append(("init", options["name"]))
    wandb.log = lambda values: calls.append(("log", values["final_score"]))
    wandb.finish = lambda: calls.append(("finish", None))
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setenv("WANDB_API_KEY", "other")
    chosen = settings(WANDB_API_KEY="key-of-wandb")
    assert "key-of-wandb" in secrets_of(chosen)
    tracker = image_tracking.round_tracker(chosen)
    assert isinstance(tracker, RoundTracker)
    tracker("images-10", world_published(tmp_path))
    tracker.wait(10)
    assert [name for name, _ in calls] == ["init", "log", "finish"]
    assert calls[0][1] == "images-10-Aa"


def test_a_key_without_the_package_is_misuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_tracking, "find_spec", lambda _name: None)
    with pytest.raises(UsageError, match="wandb is not installed"):
        image_tracking.round_tracker(settings(WANDB_API_KEY="key-of-wandb"))


def world_published(folder: Path) -> Any:
    world = World(folder)
    world.play(entry("Aa", 80))
    published = world.context.store.published()
    assert published is not None
    return published[1]
