from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter

from soundsright.data.levels import SILENCE_DB, active_level, gain_to, power_db


def p56_sample_by_sample(x: NDArray[np.float64], rate: int) -> float:
    """ITU-T P.56 method B written as in its text: envelope, counts and hangover at the full sample rate."""
    g = np.exp(-1 / (rate * 0.03))
    q = lfilter([1 - g], [1, -g], lfilter([1 - g], [1, -g], np.abs(x)))
    hangover = int(np.ceil(0.2 * rate))
    deltas = []
    for j in range(16):
        c = 2.0 ** (j - 15)
        active, h = 0, hangover
        for above in (q >= c).tolist():
            if above:
                active, h = active + 1, 0
            elif h < hangover:
                active, h = active + 1, h + 1
        if active == 0:
            break
        a = 10 * np.log10(np.dot(x, x) / active)
        deltas.append((a, a - 20 * np.log10(c)))
    for (a0, d0), (a1, d1) in pairwise(deltas):
        if d1 <= 15.9 <= d0:
            return float(a0 + (d0 - 15.9) / (d0 - d1) * (a1 - a0))
    raise AssertionError("no crossing")


def speech_like(rng: np.random.Generator, rate: int, seconds: float = 3.0) -> NDArray[np.float64]:
    """Noise in bursts of 100 to 500 ms with pauses, like speech for an active level."""
    t = np.arange(int(rate * seconds)) / rate
    gate = (np.sin(2 * np.pi * 0.9 * t) + 0.5 * np.sin(2 * np.pi * 2.3 * t + 1) > 0.2).astype(float)
    loudness: NDArray[np.float64] = gate * (0.4 + 0.6 * np.abs(np.sin(7 * t)))
    return 0.1 * rng.standard_normal(t.size) * loudness + 1e-4


@pytest.mark.parametrize("rate", [16_000, 48_000])
@pytest.mark.parametrize("seed", [1, 2])
def test_active_level_agrees_with_the_recommendation_at_full_rate(rate: int, seed: int) -> None:
    x = speech_like(np.random.default_rng(seed), rate)
    assert active_level(x, rate).level_db == pytest.approx(p56_sample_by_sample(x, rate), abs=0.1)


def test_pauses_do_not_lower_the_active_level() -> None:
    rng = np.random.default_rng(0)
    burst = 0.1 * rng.standard_normal(16_000)
    sparse = np.concatenate([burst, np.zeros(48_000)])
    # The hangover of 200 ms counts as speech: 0.8 dB of a burst of one second.
    assert active_level(sparse, 16_000).level_db == pytest.approx(active_level(burst, 16_000).level_db, abs=1.5)
    assert active_level(sparse, 16_000).activity < 0.35
    assert power_db(sparse) < active_level(sparse, 16_000).level_db - 4


def test_a_gain_moves_the_active_level_by_exactly_that_gain() -> None:
    x = speech_like(np.random.default_rng(3), 16_000)
    before = active_level(x, 16_000).level_db
    after = active_level(x * gain_to(before, -26.0), 16_000).level_db
    assert after == pytest.approx(-26.0, abs=1e-9)


def test_silence_and_nothing_have_the_lowest_level() -> None:
    assert active_level(np.zeros(1_000), 16_000).level_db == SILENCE_DB
    assert active_level(np.zeros(0), 16_000).activity == 0.0
    assert power_db(np.zeros(0)) == SILENCE_DB
