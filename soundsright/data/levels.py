"""Signals are float, shape `(n,)`, full scale ±1; levels in dB re full scale (a full-scale square wave is 0 dB).

Speech is measured by its active level (ITU-T P.56, method B), which pauses do not lower; noise by its mean power.
The signal-to-noise ratio of a clip is the difference of the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Signal = NDArray[np.float64]

SILENCE_DB = -120.0
SILENT_DB = -70.0
"""What lies below is taken for silence: no recording of anything is so quiet."""

_TIME_CONSTANT_S = 0.03
_HANGOVER_S = 0.2
_MARGIN_DB = 15.9
_ENVELOPE_STEP_S = 0.001
_MEMORY_S = 0.9  # After thirty time constants nothing is left of a value.
_THRESHOLDS = 15


@dataclass(frozen=True)
class ActiveLevel:
    """`level_db`: mean power while speech is active; `activity`: share of the time that it is."""

    level_db: float
    activity: float


def power_db(samples: NDArray[np.floating]) -> float:
    """Mean power in dB; `SILENCE_DB` at least.

    >>> round(power_db(np.full(100, 0.1)), 6)
    -20.0
    """
    if samples.size == 0:
        return SILENCE_DB
    flat = np.asarray(samples, dtype=np.float64)
    return max(SILENCE_DB, float(10.0 * np.log10(energy_of(flat) / flat.size + 1e-30)))


def energy_of(values: NDArray[np.float64]) -> float:
    """The sum of squares, without BLAS: its sums depend on the number of threads, and the last bits with them."""
    return float(np.square(values).sum())


def active_level(samples: NDArray[np.floating], sample_rate_hz: int) -> ActiveLevel:
    """Active speech level of ITU-T P.56 (12/2011), method B.

    The envelope (two exponential averages of 30 ms) is held against thresholds 6.02 dB apart, with 200 ms of
    hangover; the level lies where it exceeds its own threshold by 15.9 dB. The envelope moves
    slowly enough to be taken every 1 ms. Thresholds count down from the envelope's peak instead of
    full scale, so that a gain moves the level by exactly itself.

    Returns `SILENCE_DB` and activity 0 for silence.

    >>> tone = np.sin(np.arange(32_000) * 0.3)
    >>> half = np.concatenate([tone, np.zeros(32_000)])
    >>> abs(active_level(half, 16_000).level_db - power_db(tone)) < 0.6
    True
    """
    values = np.asarray(samples, dtype=np.float64)
    energy = energy_of(values)
    if values.size == 0 or energy < 1e-12 * values.size:
        return ActiveLevel(SILENCE_DB, 0.0)
    step = max(1, round(sample_rate_hz * _ENVELOPE_STEP_S))
    count = -(-values.size // step)
    magnitude = np.zeros(count * step)
    np.abs(values, out=magnitude[: values.size])
    envelope = _smoothed_twice(magnitude.reshape(count, step).mean(axis=1), step / sample_rate_hz)

    peak = float(envelope.max())
    long_term_db = 10.0 * np.log10(energy / values.size)

    def measured(halvings: int) -> tuple[float, float]:
        """Level, and how far it exceeds the threshold that lies so many times 6.02 dB below the envelope's peak."""
        threshold = peak * 2.0**-halvings
        share = _activity(envelope >= threshold, round(_HANGOVER_S / _ENVELOPE_STEP_S))
        level = long_term_db - 10.0 * np.log10(share)
        return float(level), float(level - 20.0 * np.log10(threshold))

    # The lower the threshold, the more its level exceeds it: halve the interval in which the margin is passed.
    above, below = 0, _THRESHOLDS
    level, excess = measured(below)
    if excess > _MARGIN_DB:
        while below - above > 1:
            middle = (above + below) // 2
            found = measured(middle)
            if found[1] > _MARGIN_DB:
                below, (level, excess) = middle, found
            else:
                above = middle
        level_above, excess_above = measured(above)
        if excess_above < excess:
            level += (excess - _MARGIN_DB) / (excess - excess_above) * (level_above - level)
    return ActiveLevel(level, float(10.0 ** ((long_term_db - level) / 10.0)))


def _smoothed_twice(values: Signal, step_s: float) -> Signal:
    """The values after two exponential averages (P.56's p and q), by their common impulse response.

    A transform instead of a recursion: the recursion's library takes longer to load than a hundred clips to draw.
    """
    from scipy.fft import irfft, next_fast_len, rfft

    response = _response_of_two_averages(step_s)
    size = next_fast_len(values.size + response.size, real=True)
    smoothed: Signal = irfft(rfft(values, size) * rfft(response, size), size)[: values.size]
    return smoothed


@lru_cache(maxsize=8)
def _response_of_two_averages(step_s: float) -> Signal:
    decay = float(np.exp(-step_s / _TIME_CONSTANT_S))
    index = np.arange(round(_MEMORY_S / step_s))
    return np.asarray((1.0 - decay) ** 2 * (index + 1) * decay**index)


def _activity(above: NDArray[np.bool_], hangover: int) -> float:
    """Share of the values that are above, or follow one that is by at most `hangover` values."""
    hits = np.flatnonzero(above)
    if hits.size == 0:
        return 0.0
    active = np.minimum(np.diff(hits), hangover + 1).sum() + min(hangover + 1, above.size - int(hits[-1]))
    return float(active / above.size)


def gain_to(level_db: float, target_db: float) -> float:
    """The factor that moves one level to another."""
    return float(10.0 ** ((target_db - level_db) / 20.0))
