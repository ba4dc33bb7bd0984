"""Audio as bytes for a page."""

from __future__ import annotations

import io

import numpy as np
import soundfile
from PIL import Image

from soundsright.core.audio import Audio, on_pcm16_grid, pcm16
from soundsright.services.drawing import flac_bytes, spectrogram_png


def test_the_audio_of_a_page_has_exactly_the_samples_of_its_16_bit_file() -> None:
    audio = Audio(on_pcm16_grid(np.linspace(-1.0, 0.99, 4_000).astype(np.float32)), 16_000)
    samples, rate = soundfile.read(io.BytesIO(flac_bytes(audio)), dtype="int16")
    assert rate == 16_000
    assert np.array_equal(samples, pcm16(audio.samples))


def test_a_spectrogram_frames_marked_stretches_and_changes_nothing_else() -> None:
    audio = Audio(0.1 * np.random.default_rng(1).standard_normal(32_000).astype(np.float32), 16_000)
    plain, marked = (
        np.asarray(Image.open(io.BytesIO(spectrogram_png(audio, marks))).convert("RGB"), dtype=np.int16)
        for marks in ((), [(0.5, 1.0)])
    )
    left, right = 0.1 * 420, 0.98 * 420
    edges = [left + share * (right - left) for share in (0.25, 0.5)]
    changed = np.flatnonzero(np.abs(marked - plain).max(axis=2)[40:90].max(axis=0))
    assert {min(edges, key=lambda edge: abs(edge - x)) for x in changed} == set(edges)
    assert all(min(abs(edge - x) for edge in edges) <= 2.0 for x in changed)
