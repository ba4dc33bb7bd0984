"""Signals are float, shape `(n,)`, full scale ±1; levels in dB re full scale (a full-scale square wave is 0 dB).

Speech is measured by its active level (ITU-T P.56, method B), which pauses do not lower; noise by its mean power.
The signal-to-noise ratio of a clip is the difference of the two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SILENCE_DB = -120.0
SILENT_DB = -70.0
"""What lies below is taken for silence: no recording of anything is so quiet."""

_TIME_CONSTANT_S = 0.03
_HANGOVER_S = 0.2
_MARGIN_DB = 15.9
_ENVELOPE_STEP_S = 0.001


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
    hangover; the level lies where it exceeds its own threshold by 15.9 dB. The envelope is taken at 1 ms, as the
    recommendation allows (at least 694 values a second).

    Returns `SILENCE_DB` and activity 0 for silence.

    >>> tone = np.sin(np.arange(32_000) * 0.3)
    >>> half = np.concatenate([tone, np.zeros(32_000)])
    >>> abs(active_level(half, 16_000).level_db - power_db(tone)) < 0.6
    True
    """
    from scipy.signal import lfilter

    values = np.asarray(samples, dtype=np.float64)
    energy = energy_of(values)
    if values.size == 0 or energy < 1e-12 * values.size:
        return ActiveLevel(SILENCE_DB, 0.0)
    step = max(1, round(sample_rate_hz * _ENVELOPE_STEP_S))
    count = -(-values.size // step)
    magnitude = np.zeros(count * step)
    np.abs(values, out=magnitude[: values.size])
    means = magnitude.reshape(count, step).mean(axis=1)
    decay = float(np.exp(-step / (sample_rate_hz * _TIME_CONSTANT_S)))
    once = [1.0 - decay], [1.0, -decay]
    envelope = lfilter(*once, lfilter(*once, means))

    hangover = round(_HANGOVER_S / _ENVELOPE_STEP_S)
    thresholds = 2.0 ** -np.arange(15.0, -1.0, -1.0)
    long_term_db = 10.0 * np.log10(energy / values.size)
    previous: tuple[float, float] | None = None
    # From the lowest threshold up: activity falls and the level rises until their difference passes the margin.
    for threshold in thresholds:
        share = _activity(envelope >= threshold, hangover)
        if share == 0.0:
            break
        level = long_term_db - 10.0 * np.log10(share)
        excess = level - 20.0 * np.log10(threshold)
        if excess <= _MARGIN_DB:
            if previous is None:
                return ActiveLevel(float(level), share)
            above, level_above = previous
            weight = (above - _MARGIN_DB) / (above - excess)
            level = level_above + weight * (level - level_above)
            return ActiveLevel(float(level), float(10.0 ** ((long_term_db - level) / 10.0)))
        previous = excess, float(level)
    level = long_term_db if previous is None else previous[1]
    return ActiveLevel(float(level), float(10.0 ** ((long_term_db - level) / 10.0)))


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
