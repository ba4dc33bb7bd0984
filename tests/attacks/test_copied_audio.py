"""A copied image is found by its enhanced audio: the attack is played on real clips, with the real comparison."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from soundsright.core.audio import Audio, on_pcm16_grid
from soundsright.core.images import MeasuredImage
from soundsright.core.submission import FetchedModel
from soundsright.services.executor import ImageJudge
from soundsright.services.executor.copied_images import alike_images
from soundsright.services.executor.run_records import MeasurementLog, attempt_folder
from soundsright.services.rounds import ClipSet, make_folder, write_wav
from tests.attacks.test_image_attacks import Arena
from tests.services.executor.world import Meter, World, entry
from tests.services.private_corpus import private_material


@dataclass
class AudioMeter(Meter):
    """A meter whose images answer with real audio: the clean speech with an error of their model.

    `builds` has the seed of the error and the output level of each image, by hotkey.
    """

    builds: dict[str, tuple[int, float]] = field(default_factory=dict)

    def measure(self, model: FetchedModel, clips: ClipSet, folder: Path, log: MeasurementLog) -> MeasuredImage:
        seed, level = self.builds[model.submission.hotkey]
        audio = attempt_folder(folder, 1)
        make_folder(audio)
        for number, clip_id in enumerate(clips.clip_ids):
            clean = clips.clean(clip_id)
            error = np.random.default_rng([seed, number]).standard_normal(len(clean.samples))
            samples = on_pcm16_grid(level * (clean.samples + 0.03 * error))
            write_wav(audio / f"{clip_id}.wav", Audio(samples, clean.sample_rate_hz))
        return super().measure(model, clips, folder, log)


@pytest.mark.parametrize(
    ("model", "alike", "paid"),
    [
        pytest.param(1, lambda *_: (), "Copy", id="nothing compares outputs"),
        pytest.param(2, alike_images, "Copy", id="a model of its own"),
        pytest.param(1, alike_images, "Honest", id="a copy"),
    ],
)
def test_a_copy_by_another_build_with_lucky_times_earns_nothing(
    tmp_path: Path, model: int, alike: Callable[..., Any], paid: str
) -> None:
    """Its digest and layers differ, and it answers at another level, with the errors of its original."""
    world = World(tmp_path / "world", judge_of=ImageJudge, clips=12, material=private_material(tmp_path / "home"))
    world.meter = AudioMeter(
        world.rules,
        builds={"First": (3, 1.0), "Honest": (1, 1.0), "Copy": (model, 0.8)},
        luck={"Copy": (0.96, 0.96)},
    )
    object.__setattr__(world.context, "alike", alike)
    now = Arena(world, world.check(pays_on_public=True), judge_of=ImageJudge)
    world.play(entry("First", 20))  # It commits the executor to its corpus.
    table = now.played(entry("Honest", 80, time_s=20, at_s=130), entry("Copy", 80, time_s=20, at_s=131))
    assert now.winner(table) == paid
