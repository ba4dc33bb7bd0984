"""STOI and ESTOI against `pystoi`, on voiced signals at every allowed rate."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pystoi
import pytest
from scipy.signal import resample_poly

from soundsright.core.audio import Audio
from soundsright.metrics.facts import ANY_RATE_HZ
from soundsright.metrics.resample import to_rate_of_stoi
from soundsright.metrics.stoi import band_envelopes, estoi, stoi

MakeClip = Callable[..., tuple[Audio, Audio, Audio]]


def both(clean: np.ndarray, enhanced: np.ndarray, rate: int = 16_000) -> tuple[float, float]:
    envelopes = band_envelopes(clean, enhanced, rate)
    assert envelopes is not None
    return stoi(envelopes), estoi(envelopes)


@pytest.mark.parametrize("rate", ANY_RATE_HZ)
def test_both_equal_pystoi_at_every_rate(make_clip: MakeClip, rate: int) -> None:
    clean, enhanced, _ = make_clip(seed=rate, rate=rate)
    x, y = (audio.samples.astype(np.float64) for audio in (clean, enhanced))
    ours = both(clean.samples, enhanced.samples, rate)
    assert ours[0] == pytest.approx(pystoi.stoi(x, y, rate), abs=1e-12)
    assert ours[1] == pytest.approx(pystoi.stoi(x, y, rate, extended=True), abs=1e-12)


@pytest.mark.parametrize("snr_db", [-20, -5, 30])
def test_both_equal_pystoi_from_drowned_to_clear(make_clip: MakeClip, snr_db: float) -> None:
    clean, _, noisy = make_clip(seed=3, snr_db=snr_db)
    x, y = (audio.samples.astype(np.float64) for audio in (clean, noisy))
    ours = both(clean.samples, noisy.samples)
    assert ours[0] == pytest.approx(pystoi.stoi(x, y, 16_000), abs=1e-12)
    assert ours[1] == pytest.approx(pystoi.stoi(x, y, 16_000, extended=True), abs=1e-12)


@pytest.mark.parametrize("length", [0, 1, 7, 100, 4_001])
@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
def test_the_resampler_equals_scipys_with_the_same_window(rate: int, length: int) -> None:
    signal = np.random.default_rng(length).standard_normal(length)
    ours = to_rate_of_stoi(signal, rate)
    if length == 0:
        assert len(ours) == 0
        return
    divisor = int(np.gcd(10_000, rate))
    window = pystoi.utils._resample_window_oct(10_000, rate)
    theirs = resample_poly(signal, 10_000 // divisor, rate // divisor, window=window / np.sum(window))
    np.testing.assert_allclose(ours, theirs, atol=1e-13)


def test_clean_against_itself_is_one(make_clip: MakeClip) -> None:
    clean, _, _ = make_clip()
    assert both(clean.samples, clean.samples) == pytest.approx((1.0, 1.0), abs=1e-12)


def test_neither_depends_on_level_or_sign(make_clip: MakeClip) -> None:
    clean, enhanced, _ = make_clip()
    assert both(clean.samples, -0.25 * enhanced.samples) == pytest.approx(
        both(clean.samples, enhanced.samples), abs=1e-9
    )


def test_under_30_voiced_frames_there_is_no_value(make_clip: MakeClip) -> None:
    clean, enhanced, _ = make_clip(seconds=0.3)
    assert band_envelopes(clean.samples, enhanced.samples, 16_000) is None


def test_a_gap_of_digital_zeros_gives_one_value_every_time(make_clip: MakeClip) -> None:
    clean, enhanced, _ = make_clip(seconds=3.0)
    gap = enhanced.samples.copy()
    gap[8_000:24_000] = 0.0
    values = {both(clean.samples, gap) for _ in range(5)}
    assert len(values) == 1
    assert -1.0 <= min(values)[1] < both(clean.samples, enhanced.samples)[1]
