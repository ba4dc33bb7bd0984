"""Hints about answers that are all late, clipped, or copies of another signal."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from soundsright.core.audio import Audio
from soundsright.metrics import answer_hints, answer_signs

MakeClip = Callable[..., tuple[Audio, Audio, Audio]]


def changed(audio: Audio, change: Callable[[np.ndarray], np.ndarray]) -> Audio:
    return Audio(np.ascontiguousarray(change(audio.samples), dtype=np.float32), audio.sample_rate_hz)


@pytest.mark.parametrize("lag", [160, 1, -32])
def test_answers_with_one_lag_are_named(make_clip: MakeClip, lag: int) -> None:
    clips = [make_clip(seed) for seed in range(3)]
    signs = [answer_signs(clean, changed(out, lambda x: np.roll(x, lag)), noisy) for clean, out, noisy in clips]
    (hint,) = answer_hints(signs)
    assert f"same lag of {lag} samples ({lag / 16:.1f} ms)" in hint


def test_honest_answers_give_no_hint(make_clip: MakeClip) -> None:
    assert answer_hints([answer_signs(*make_clip(seed)) for seed in range(3)]) == []


def test_different_lags_are_no_hint(make_clip: MakeClip) -> None:
    signs = []
    for lag in (0, 40, 80):
        clean, out, noisy = make_clip(lag)
        late = Audio(np.roll(out.samples, lag), out.sample_rate_hz)
        signs.append(answer_signs(clean, late, noisy))
    assert answer_hints(signs) == []


def test_samples_at_full_scale_are_counted(make_clip: MakeClip) -> None:
    clean, out, noisy = make_clip()
    signs = answer_signs(clean, changed(out, lambda x: np.clip(40 * x, -1, 1)), noisy)
    (hint,) = answer_hints([signs])
    assert f"{signs.at_full_scale:.1%} of the samples are at full scale" in hint
    assert signs.at_full_scale > 0.2


def test_copies_of_the_input_are_counted_after_rounding_to_16_bits(make_clip: MakeClip) -> None:
    clean, out, noisy = make_clip()
    copy = changed(noisy, lambda x: np.round(x * 32_768) / 32_768)
    hints = answer_hints([answer_signs(clean, copy, noisy), answer_signs(clean, out, noisy)])
    assert hints == ["The enhanced signal equals the noisy one in 1 of 2 clips."]
    assert answer_hints([answer_signs(clean, clean, noisy)]) == [
        "The enhanced signal equals the clean one in 1 of 1 clips."
    ]


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_blank_answer_has_no_lag(make_clip: MakeClip, value: float) -> None:
    clean, out, noisy = make_clip()
    assert answer_signs(clean, changed(out, lambda x: 0 * x + np.float32(value)), noisy).lag is None
