"""A set that is drawn in parts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from soundsright.core.audio import Audio
from soundsright.core.competition import PUBLISHED
from soundsright.core.material import Material
from soundsright.services.rounds.clipset import (
    MAX_CLIPS_OF_A_JOB,
    DrawnClips,
    SetRequest,
    draw_to_disk,
    start_set,
)
from soundsright.testing import InlinePool


class Spoken:
    """The `RoundSpeech` of an engine at 16 kHz that notes each text that it speaks."""

    name = "spoken"

    def __init__(self, spoken: list[str]) -> None:
        self.spoken = spoken

    @property
    def facts(self) -> Mapping[str, str]:
        return {"engine": "spoken"}

    @property
    def repeats_itself(self) -> bool:
        return True

    def highest_price_usd(self, count: int) -> float:
        return 0.0

    def fills(self, sample_rate_hz: int) -> bool:
        return sample_rate_hz <= 16_000

    def of_set(self, seed: int, count: int, cache: Path) -> Utterances:
        return Utterances(self.spoken, seed, count)


class Utterances:
    def __init__(self, spoken: list[str], seed: int, count: int) -> None:
        self.spoken, self.seed, self.count = spoken, seed, count

    def __len__(self) -> int:
        return self.count

    def utterance_id(self, index: int) -> str:
        return f"{self.seed}-{index}"

    def speaker(self, index: int) -> str:
        return "spoken"

    def text(self, index: int) -> str | None:
        return None

    def read(self, index: int, sample_rate_hz: int) -> Audio:
        self.spoken.append(self.utterance_id(index))
        samples = 0.1 * np.random.default_rng(index).standard_normal(4 * sample_rate_hz)
        return Audio(samples.astype(np.float32), sample_rate_hz)


@pytest.mark.parametrize(("clips", "jobs", "parts"), [(1, 4, 1), (10, 4, 4), (100, 2, 2), (1_001, 2, 21)])
def test_a_set_is_drawn_in_short_parts_that_have_every_clip_once(
    tmp_path: Path, clips: int, jobs: int, parts: int
) -> None:
    drawn: list[tuple[int, ...]] = []

    def draw(_request: SetRequest, indices: tuple[int, ...]) -> DrawnClips:
        drawn.append(indices)
        return DrawnClips({}, {}, {}, 0.0)

    request = SetRequest(PUBLISHED[0], 1, clips, Material(), tmp_path)
    start_set(request, InlinePool({draw_to_disk: draw}), jobs=jobs)
    assert len(drawn) == parts
    assert max(map(len, drawn)) <= MAX_CLIPS_OF_A_JOB
    assert sorted(index for part in drawn for index in part) == list(range(clips))


def test_a_set_with_new_speech_is_the_same_in_any_parts_and_speaks_each_text_once(tmp_path: Path) -> None:
    spoken: list[str] = []
    speech = Spoken(spoken)
    material = Material(speech=speech)
    digests = []
    for name, parts in (("one", [(0, 1, 2, 3)]), ("two", [(3, 1), (2,), (0,)])):
        request = SetRequest(PUBLISHED[0], 5, 4, material, tmp_path / name)
        for signal in ("clean", "degraded"):
            (request.folder / signal).mkdir(parents=True)
        drawn = [draw_to_disk(request, part) for part in parts]
        digests.append({clip: digest for part in drawn for clip, digest in part.digests.items()})
        assert sorted(spoken) == [f"{5}-{i}" for i in range(4)]
        assert {str(recipe["speech"]) for part in drawn for recipe in part.recipes.values()} == set(spoken)
        spoken.clear()
    assert digests[0] == digests[1]


def test_a_set_whose_band_the_speech_does_not_fill_has_recorded_speech(tmp_path: Path) -> None:
    request = SetRequest(PUBLISHED[2], 5, 1, Material(speech=Spoken([])), tmp_path)
    assert PUBLISHED[2].sample_rate_hz == 48_000
    assert request.speech is None
