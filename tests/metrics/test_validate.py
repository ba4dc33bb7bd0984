from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import DTypeLike

from soundsright.core.audio import Audio
from soundsright.core.errors import AudioRejected
from soundsright.metrics.validate import checked_enhanced

REFERENCE = Audio(np.zeros(100, np.float32), 16_000)


def code_of(samples: np.ndarray[Any, Any], rate: int = 16_000) -> str:
    with pytest.raises(AudioRejected) as caught:
        checked_enhanced("clip-1", samples, rate, REFERENCE)
    assert caught.value.clip_id == "clip-1"
    return caught.value.code


def test_right_audio_passes_unchanged() -> None:
    samples = np.linspace(-1, 1, 100, dtype=np.float32)
    assert np.array_equal(checked_enhanced("c", samples, 16_000, REFERENCE).samples, samples)


@pytest.mark.parametrize("shape", [(100, 1), (1, 100)])
def test_one_channel_written_as_a_column_or_row_passes(shape: tuple[int, int]) -> None:
    assert checked_enhanced("c", np.ones(shape), 16_000, REFERENCE).samples.shape == (100,)


def test_int16_is_scaled_by_its_full_scale() -> None:
    audio = checked_enhanced("c", np.full(100, -32768, np.int16), 16_000, REFERENCE)
    assert audio.samples[0] == -1.0


@pytest.mark.parametrize("length", [0, 1, 99, 101, 200])
def test_one_sample_more_or_less_is_refused(length: int) -> None:
    assert code_of(np.zeros(length, np.float32)) == "length"


def test_another_rate_is_refused() -> None:
    assert code_of(np.zeros(100, np.float32), 48_000) == "rate"


@pytest.mark.parametrize("shape", [(100, 2), (2, 100), (50, 2), (1, 1, 100), ()])
def test_stereo_and_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    assert code_of(np.zeros(shape, np.float32)) == "shape"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_samples_that_are_not_finite_in_float32_are_refused(value: float) -> None:
    samples = np.zeros(100)
    samples[50] = value
    assert code_of(samples) == "not_finite"


@pytest.mark.parametrize("dtype", [np.complex64, np.bool_, np.uint8, np.int64, object])
def test_samples_of_another_type_are_refused(dtype: DTypeLike) -> None:
    assert code_of(np.zeros(100, dtype)) == "format"
