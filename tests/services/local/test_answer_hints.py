"""A valid answer that loses points for a removable reason gets a hint."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from soundsright.core.audio import Audio, Clip, ClipRecipe, on_pcm16_grid
from soundsright.core.ports import Answer
from soundsright.core.results import Failure
from soundsright.services.local.answer_hints import answer_hints


def audio(samples: NDArray[np.floating]) -> Audio:
    return Audio(on_pcm16_grid(samples), 16_000)


@pytest.fixture
def clips() -> list[Clip]:
    rng = np.random.default_rng(5)
    found = []
    for number in range(3):
        speech, noise = 0.1 * rng.standard_normal(8_000), 0.03 * rng.standard_normal(8_000)
        found.append(Clip(f"c{number}", audio(speech), audio(speech + noise), ClipRecipe("s", "x", 0.0)))
    return found


def answered(clips: list[Clip], lags: list[int], gain: float = 1.0) -> list[Answer]:
    signals = [np.roll(gain * clip.degraded.samples, lag) for clip, lag in zip(clips, lags, strict=True)]
    return [
        Answer(clip.id, audio(np.clip(signal, -1, 32_767 / 32_768)))
        for clip, signal in zip(clips, signals, strict=True)
    ]


def test_answers_without_delay_and_clipping_get_none(clips: list[Clip]) -> None:
    assert answer_hints(clips, answered(clips, [0, 0, 0])) == ()


def test_one_lag_of_all_answers_is_named(clips: list[Clip]) -> None:
    (hint,) = answer_hints(clips, answered(clips, [160, 160, 160]))
    assert hint.startswith("All answers fit best at the same lag of 160 samples (10.0 ms).")
    assert answer_hints(clips, answered(clips, [160, 160, 0])) == ()


def test_a_failed_clip_does_not_count(clips: list[Clip]) -> None:
    answers = answered(clips, [40, 40, 0])
    answers[2] = Answer("c2", failure=Failure("missing", "no file"))
    (hint,) = answer_hints(clips, answers)
    assert "lag of 40 samples (2.5 ms)" in hint
    assert answer_hints(clips[2:], answers[2:]) == ()


def test_samples_at_full_scale_are_counted(clips: list[Clip]) -> None:
    answers = answered(clips, [0, 0, 0], gain=12.0)
    share = np.mean([np.abs(a.audio.samples) >= 32_767 / 32_768 for a in answers if a.audio is not None])
    (hint,) = answer_hints(clips, answers)
    assert hint.startswith(f"{share:.1%} of the samples are at full scale.")
    loud = [Clip(c.id, c.clean, a.audio, c.recipe) for c, a in zip(clips, answers, strict=True) if a.audio]
    assert answer_hints(loud, answers) == (), "the model's input is clipped as much"
