"""A set that is drawn in parts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundsright.core.audio import Audio, Clip, ClipRecipe
from soundsright.core.competition import PUBLISHED
from soundsright.core.errors import UsageError
from soundsright.core.material import Material
from soundsright.services.rounds.clipset import (
    MAX_CLIPS_OF_A_JOB,
    DrawnClips,
    SetRequest,
    draw_to_disk,
    reference_without_value,
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


def test_a_clip_whose_reference_has_no_value_is_unfit() -> None:
    tone = np.sin(np.arange(48_000) * 0.3).astype(np.float32)
    tone[3_000:] = 0.0
    clip = Clip("1", Audio(tone, 16_000), Audio(tone + np.float32(0.01), 16_000), ClipRecipe("s", "ada", 0.0))
    assert "ESTOI has no value for its clean speech" in reference_without_value(["SI_SDR", "ESTOI"], clip)
    assert reference_without_value(["SI_SDR"], clip) == ""


def corpus_of(folder: Path, voices: dict[str, float]) -> Material:
    """A corpus of a few voices, each with a sound of so many seconds in 6 s of silence, and one noise."""
    rng = np.random.default_rng(0)
    lines = []
    for name, sounding_s in {**voices, "rain": 6.0}.items():
        samples = np.zeros(6 * 16_000)
        samples[: round(sounding_s * 16_000)] = 0.1 * rng.standard_normal(round(sounding_s * 16_000))
        folder.mkdir(exist_ok=True)
        soundfile.write(folder / f"{name}.wav", samples, 16_000)
        kind = "noise" if name == "rain" else "speech"
        facts = {"kind": kind, "id": name, "file": f"{name}.wav", "speaker": name, "bandwidth_hz": 8_000}
        lines.append(json.dumps(facts))
    (folder / "manifest.jsonl").write_text("\n".join(lines))
    return Material(folder, noise="recordings")


def test_no_clip_whose_reference_has_no_value_gets_into_a_set(tmp_path: Path) -> None:
    material = corpus_of(tmp_path / "corpus", {"ada": 6.0, "ben": 6.0, "click": 0.1})
    drawn = []
    for name in ("one", "two"):
        request = SetRequest(PUBLISHED[0], 5, 8, material, tmp_path / name)
        for signal in ("clean", "degraded"):
            (request.folder / signal).mkdir(parents=True)
        parts = [draw_to_disk(request, part) for part in ((0, 1, 2, 3), (7, 6, 5, 4))]
        drawn.append({clip: digest for part in parts for clip, digest in part.digests.items()})
        speech = {str(recipe["speech"]) for part in parts for recipe in part.recipes.values()}
        assert speech == {"ada", "ben"}
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 8


def test_material_without_a_clip_that_can_be_measured_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soundsright.data.render._TRIES", 4)
    request = SetRequest(PUBLISHED[0], 5, 1, corpus_of(tmp_path / "corpus", {"click": 0.1}), tmp_path)
    with pytest.raises(UsageError, match=r"recordings in a row cannot be used, .*(no value|is silent)"):
        draw_to_disk(request, (0,))
