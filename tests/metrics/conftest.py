"""Signals built for the tests: voiced syllables with pauses, and degraded versions of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from soundsright.core.audio import Audio

MakeClip = Callable[..., tuple[Audio, Audio, Audio]]


def speechlike(rng: np.random.Generator, seconds: float, sample_rate_hz: int) -> np.ndarray:
    """Gliding harmonics in syllables of 0.15 to 0.35 s, some of them breaths, with pauses, in a quiet room."""
    n = int(seconds * sample_rate_hz)
    signal = np.zeros(n)
    start = int(0.05 * sample_rate_hz)
    while start < n - 400:
        length = min(int(rng.uniform(0.15, 0.35) * sample_rate_hz), n - start)
        t = np.arange(length) / sample_rate_hz
        if rng.random() < 0.1:
            syllable = rng.standard_normal(length) * 0.3
        else:
            f0 = rng.uniform(90, 220) * (1 + rng.uniform(-0.3, 0.3) * t)
            phase = 2 * np.pi * np.cumsum(f0) / sample_rate_hz
            formants = rng.uniform([300, 900, 2200], [800, 2200, 3500])
            harmonics = [
                np.sin(k * phase + rng.uniform(0, 6)) * np.exp(-np.min(np.abs(formants - 150 * k)) / 250)
                for k in range(1, 25)
            ]
            syllable = sum(harmonics, np.zeros(length))
        signal[start : start + length] += syllable * np.hanning(length) * rng.uniform(0.3, 1.0)
        start += length + int(rng.uniform(0.02, 0.25) * sample_rate_hz)
    return np.asarray(signal / np.max(np.abs(signal)) * 0.5 + 5e-4 * rng.standard_normal(n))


@pytest.fixture
def make_clip() -> MakeClip:
    """`make_clip(seed, seconds, rate, snr_db)` gives clean, enhanced (some noise removed) and noisy."""

    def make(
        seed: int = 1, seconds: float = 2.0, rate: int = 16_000, snr_db: float = 5.0
    ) -> tuple[Audio, Audio, Audio]:
        rng = np.random.default_rng(seed)
        clean = speechlike(rng, seconds, rate)
        noise = rng.standard_normal(len(clean))
        noise *= np.linalg.norm(clean) / np.linalg.norm(noise) * 10 ** (-snr_db / 20)
        enhanced = 0.9 * clean + 0.3 * noise + 0.05 * np.tanh(20 * clean) * np.std(clean)
        signals = [Audio(x.astype(np.float32), rate) for x in (clean, enhanced, clean + noise)]
        return signals[0], signals[1], signals[2]

    return make
