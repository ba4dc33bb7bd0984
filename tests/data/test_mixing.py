import numpy as np
import pytest
from numpy.typing import NDArray

from soundsright.data.levels import active_level, power_db
from soundsright.data.mixing import PEAK, looped, mix_at_snr


def bursts(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    gate = np.sin(np.arange(count) / 1_500.0) > -0.2
    return 0.2 * rng.standard_normal(count) * gate


@pytest.mark.parametrize("snr_db", [-2.5, 0.0, 7.3, 17.5])
def test_the_mixture_has_the_requested_ratio_of_active_speech_to_noise(snr_db: float) -> None:
    rng = np.random.default_rng(1)
    mixture = mix_at_snr(bursts(rng, 64_000), rng.standard_normal(64_000), snr_db=snr_db, sample_rate_hz=16_000)
    noise = mixture.noisy - mixture.clean
    assert active_level(mixture.clean, 16_000).level_db - power_db(noise) == pytest.approx(snr_db, abs=0.4)


def test_a_loud_mixture_is_lowered_as_a_whole_and_keeps_its_ratio() -> None:
    rng = np.random.default_rng(2)
    speech = bursts(rng, 32_000) * 3.0
    mixture = mix_at_snr(speech, rng.standard_normal(32_000), snr_db=-2.5, sample_rate_hz=16_000)
    assert np.abs(mixture.noisy).max() == pytest.approx(PEAK)
    assert mixture.speech_gain < 1.0
    assert np.allclose(mixture.clean, speech * mixture.speech_gain)
    ratio = active_level(speech, 16_000).level_db - power_db((mixture.noisy - mixture.clean) / mixture.speech_gain)
    assert ratio == pytest.approx(-2.5, abs=1e-6)


def test_silent_noise_is_refused() -> None:
    with pytest.raises(ValueError, match="silent"):
        mix_at_snr(np.ones(100), np.zeros(100), snr_db=0.0, sample_rate_hz=16_000)


def test_a_looped_segment_has_no_jump_and_keeps_its_power() -> None:
    rng = np.random.default_rng(3)
    segment = (0.1 * rng.standard_normal(8_000)).astype(np.float32)
    long = looped(segment, 50_000, 16_000)
    assert long.shape == (50_000,)
    assert np.array_equal(long[:7_200], segment[:7_200])
    assert power_db(long) == pytest.approx(power_db(segment), abs=0.3)
    tone = np.sin(2 * np.pi * 100 * np.arange(8_000) / 16_000).astype(np.float32)
    assert np.abs(np.diff(looped(tone, 40_000, 16_000))).max() < 0.08


def test_a_long_segment_is_cut() -> None:
    assert looped(np.arange(10, dtype=np.float32), 4, 16_000).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("length", [1, 2, 3, 7])
def test_a_very_short_segment_still_fills_the_clip(length: int) -> None:
    assert looped(np.ones(length, dtype=np.float32), 1_000, 16_000).shape == (1_000,)
