"""A set that is drawn in parts."""

from __future__ import annotations

from pathlib import Path

import pytest

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
from tests.services.rounds.spoken import Spoken


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
