"""Audio as bytes for a page."""

from __future__ import annotations

import io

import numpy as np
import soundfile

from soundsright.core.audio import Audio, on_pcm16_grid, pcm16
from soundsright.services.drawing import flac_bytes


def test_the_audio_of_a_page_has_exactly_the_samples_of_its_16_bit_file() -> None:
    audio = Audio(on_pcm16_grid(np.linspace(-1.0, 0.99, 4_000).astype(np.float32)), 16_000)
    samples, rate = soundfile.read(io.BytesIO(flac_bytes(audio)), dtype="int16")
    assert rate == 16_000
    assert np.array_equal(samples, pcm16(audio.samples))
