"""SNR, segmental SNR and log-spectral distance against exact values and plain formulas."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from soundsright.core.audio import Audio
from soundsright.metrics.snr import log_spectral_distance, segmental_snr, snr

MakeClip = Callable[..., tuple[Audio, Audio, Audio]]


@pytest.mark.parametrize("n", [1, 15, 16, 17, 5_000])
def test_snr_is_the_ratio_of_energies(n: int) -> None:
    rng = np.random.default_rng(n)
    clean, enhanced = rng.standard_normal((2, n))
    plain = 10 * math.log10(np.sum(clean**2) / np.sum((clean - enhanced) ** 2))
    assert snr(clean, enhanced) == pytest.approx(plain, abs=1e-9)


def test_snr_depends_on_level_and_sign() -> None:
    clean = np.random.default_rng(0).standard_normal(1_000)
    assert snr(clean, 0.5 * clean) == pytest.approx(20 * math.log10(2))
    assert snr(clean, -clean) == pytest.approx(-20 * math.log10(2))


def test_snr_of_a_perfect_copy_is_infinite_and_of_silence_undefined() -> None:
    clean = np.random.default_rng(0).standard_normal(1_000)
    assert snr(clean, clean) == math.inf
    assert snr(0 * clean, clean) is None


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
def test_segmental_snr_equals_its_formula_written_plainly(make_clip: MakeClip, rate: int) -> None:
    clean, enhanced, _ = (audio.samples.astype(np.float64) for audio in make_clip(rate=rate))
    length, hop = round(0.030 * rate), round(0.030 * rate) // 4
    window = 0.5 * (1 - np.cos(2 * np.pi * np.arange(1, length + 1) / (length + 1)))
    eps = np.finfo(float).eps
    levels = []
    for frame in range(int((len(clean) - length) / hop)):
        s = window * clean[frame * hop : frame * hop + length]
        e = window * enhanced[frame * hop : frame * hop + length]
        levels.append(10 * np.log10(np.sum(s**2) / (np.sum((s - e) ** 2) + eps) + eps))
    plain = np.mean(np.clip(levels, -10, 35))
    assert segmental_snr(clean, enhanced, rate) == pytest.approx(plain, abs=1e-9)


def test_segmental_snr_stays_between_its_limits() -> None:
    clean = np.random.default_rng(0).standard_normal(8_000)
    assert segmental_snr(clean, clean, 16_000) == 35.0
    assert segmental_snr(clean, 1e9 * clean, 16_000) == -10.0


def test_a_signal_shorter_than_a_frame_has_no_segments() -> None:
    assert segmental_snr(np.ones(100), np.ones(100), 16_000) is None
    assert log_spectral_distance(np.ones(100), np.ones(100), 16_000) is None


def test_log_spectral_distance_of_a_gain_is_the_gain() -> None:
    clean = np.random.default_rng(0).standard_normal(8_000)
    assert log_spectral_distance(clean, clean, 16_000) == 0.0
    assert log_spectral_distance(clean, clean * 10 ** (6 / 20), 16_000) == pytest.approx(6.0, abs=1e-9)


def test_log_spectral_distance_equals_its_formula_written_plainly(make_clip: MakeClip) -> None:
    clean, enhanced, _ = (audio.samples.astype(np.float64) for audio in make_clip())
    window = np.hanning(514)[1:-1]
    powers = []
    for signal in (clean, enhanced):
        frames = np.array([window * signal[i : i + 512] for i in range(0, len(signal) - 511, 128)])
        powers.append(np.abs(np.fft.rfft(frames, axis=1)) ** 2)
    p, q = (10 * np.log10(np.maximum(power, 1e-8 * powers[0].max())) for power in powers)
    plain = np.mean(np.sqrt(np.mean((p - q) ** 2, axis=1)))
    assert log_spectral_distance(clean, enhanced, 16_000) == pytest.approx(plain, abs=1e-9)


def test_an_enhanced_signal_of_silence_is_as_far_as_the_clean_one_is_loud() -> None:
    clean = np.random.default_rng(0).standard_normal(8_000)
    distance = log_spectral_distance(clean, 0 * clean, 16_000)
    assert distance is not None
    assert 60 < distance <= 80
