"""Signals are float, shape `(n,)`, full scale ±1; levels in dB re full scale (a full-scale square wave is 0 dB).

Speech is measured by its active level (ITU-T P.56, method B), which pauses do not lower; noise by its mean power.
The signal-to-noise ratio of a clip is the difference of the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

Signal = NDArray[np.float64]

SILENCE_DB = -120.0
SILENT_DB = -70.0
"""A recording below this level counts as silent."""

_TIME_CONSTANT_S = 0.03
_HANGOVER_S = 0.2
_MARGIN_DB = 15.9
_ENVELOPE_STEP_S = 0.001
_MEMORY_S = 0.9  # After thirty time constants a value has no effect.
_THRESHOLDS = 15
_USUAL_HALVINGS = 4


@dataclass(frozen=True)
class ActiveLevel:
    """`level_db`: mean power while speech is active. `activity`: share of the time with active speech, 0 to 1."""

    level_db: float
    activity: float


def power_db(samples: NDArray[np.floating]) -> float:
    """Mean power in dB; `SILENCE_DB` at least.

    >>> round(power_db(np.full(100, 0.1)), 6)
    -20.0
    """
    if samples.size == 0:
        return SILENCE_DB
    return max(SILENCE_DB, float(10.0 * np.log10(energy_of(samples) / samples.size + 1e-30)))


def energy_of(values: NDArray[np.floating]) -> float:
    """The sum of squares. It avoids BLAS, whose last bits depend on the number of threads."""
    # Converting first and then multiplying is faster than a product that converts.
    exact = values.astype(np.float64, copy=False)
    squares = np.multiply(exact, exact, out=None if exact is values else exact)
    return float(squares.sum())


def active_level(samples: NDArray[np.floating], sample_rate_hz: int) -> ActiveLevel:
    """Active speech level of ITU-T P.56 (12/2011), method B.

    The envelope (two exponential averages of 30 ms) is compared with thresholds 6.02 dB apart, with 200 ms of
    hangover. The level is the one that exceeds its own threshold by 15.9 dB. The envelope is slow enough to be
    sampled every 1 ms. Thresholds count down from the envelope's peak instead of full scale, so a gain moves the
    level by exactly that gain. Silence has the level `SILENCE_DB` and activity 0.

    >>> tone = np.sin(np.arange(32_000) * 0.3)
    >>> half = np.concatenate([tone, np.zeros(32_000)])
    >>> abs(active_level(half, 16_000).level_db - power_db(tone)) < 0.6
    True
    """
    values = np.asarray(samples)
    step = max(1, round(sample_rate_hz * _ENVELOPE_STEP_S))
    count = -(-values.size // step)
    magnitude = np.empty(count * step)
    magnitude[: values.size] = values
    magnitude[values.size :] = 0.0
    energy = energy_of(magnitude[: values.size])
    if values.size == 0 or energy < 1e-12 * values.size:
        return ActiveLevel(SILENCE_DB, 0.0)
    np.abs(magnitude, out=magnitude)
    envelope = _smoothed_twice(magnitude.reshape(count, step).mean(axis=1), step / sample_rate_hz)

    peak = float(envelope.max())
    long_term_db = 10.0 * np.log10(energy / values.size)

    @cache
    def measured(halvings: int) -> tuple[float, float]:
        """The level for the threshold `halvings` x 6.02 dB below the envelope's peak, and its excess over it."""
        threshold = peak * 2.0**-halvings
        share = _activity(envelope >= threshold, round(_HANGOVER_S / _ENVELOPE_STEP_S))
        level = long_term_db - 10.0 * np.log10(share)
        return float(level), float(level - 20.0 * np.log10(threshold))

    # The excess grows as the threshold falls, so bisect for the threshold where it passes the margin. Begin at
    # the usual place.
    above, below, middle = 0, _THRESHOLDS + 1, _USUAL_HALVINGS
    while below - above > 1:
        if measured(middle)[1] > _MARGIN_DB:
            below = middle
        else:
            above = middle
        middle = (above + below) // 2
    level, excess = measured(min(below, _THRESHOLDS))
    if below <= _THRESHOLDS:
        level_above, excess_above = measured(above)
        if excess_above < excess:
            level += (excess - _MARGIN_DB) / (excess - excess_above) * (level_above - level)
    return ActiveLevel(level, float(10.0 ** ((long_term_db - level) / 10.0)))


def _smoothed_twice(values: Signal, step_s: float) -> Signal:
    """The values after two exponential averages (P.56's p and q), by their common impulse response.

    It uses a transform instead of a recursion: the library for the recursion takes longer to load than drawing a
    hundred clips.
    """
    from scipy.fft import irfft, rfft

    size, response = _response_of_two_averages(step_s, values.size)
    smoothed: Signal = irfft(rfft(values, size) * response, size)[: values.size]
    return smoothed


@lru_cache(maxsize=256)
def _response_of_two_averages(step_s: float, count: int) -> tuple[int, NDArray[np.complex128]]:
    """The size of a transform for `count` values, and the response in it."""
    from scipy.fft import next_fast_len, rfft

    decay = float(np.exp(-step_s / _TIME_CONSTANT_S))
    index = np.arange(round(_MEMORY_S / step_s))
    response = (1.0 - decay) ** 2 * (index + 1) * decay**index
    size = int(next_fast_len(count + response.size, real=True))
    return size, rfft(response, size)


def _activity(above: NDArray[np.bool_], hangover: int) -> float:
    """Share of the values that are above, or come at most `hangover` values after one that is."""
    hits = np.flatnonzero(above)
    if hits.size == 0:
        return 0.0
    active = np.minimum(hits[1:] - hits[:-1], hangover + 1).sum() + min(hangover + 1, above.size - int(hits[-1]))
    return float(active / above.size)


def gain_to(level_db: float, target_db: float) -> float:
    """The gain that moves a signal from `level_db` to `target_db`."""
    return float(10.0 ** ((target_db - level_db) / 20.0))
