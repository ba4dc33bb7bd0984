"""Noise by formula, made fast: signals float32 `(n,)` of -20 dB, frequencies in Hz, times in seconds.

The kinds are those of `noise_kinds`, which keeps the slower formulas of earlier versions. Here a hiss is drawn as a
spectrum, whose shapes are kept; hum is read from a table of one period; and clicks and gusts are made all at once.
No sine, exponential or power of a whole signal is computed, because their last bits depend on the processor.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from soundsright.core.audio import Samples
from soundsright.data.levels import gain_to, power_db

LEVEL_DB = -20.0

COLOURS = {"white": 0.0, "pink": 1.0, "brown": 2.0, "blue": -1.0}
"""The exponents `a` of the power density `1 / f ** a` of each colour."""

_LOWEST_HZ = 20.0
_SIZE_S = 0.5

_WIND_CORNERS_HZ = (60.0, 85.0, 120.0, 170.0, 200.0)
_WIND_ORDERS = (0.75, 1.0, 1.25)

_TABLE_BITS = 13
_FAINT = np.float32(3.5e-3)


def coloured(rng: np.random.Generator, count: int, sample_rate_hz: int, *, exponent: float) -> Samples:
    """Gaussian noise whose power density goes as `1 / f ** exponent` above 20 Hz."""
    if exponent == 0.0:
        return _levelled(rng.standard_normal(count, dtype=np.float32))
    size = _size_of(count, sample_rate_hz)
    return _levelled(_shaped(rng, _colour_shape(exponent, size, sample_rate_hz))[:count])


def hum(rng: np.random.Generator, count: int, sample_rate_hz: int) -> Samples:
    """Mains hum: 50 or 60 Hz, slightly detuned, with decaying harmonics and faint hiss."""
    from scipy.fft import irfft

    mains_hz = float(rng.choice((50.0, 60.0))) * float(rng.uniform(0.998, 1.002))
    harmonics = min(int(rng.integers(6, 24)), int(0.45 * sample_rate_hz / mains_hz))
    size = 1 << _TABLE_BITS
    spectrum = np.zeros(size // 2 + 1, np.complex128)
    phases = rng.standard_normal((harmonics, 2))
    amplitudes = rng.uniform(0.2, 1.0, harmonics) / np.arange(1, harmonics + 1)
    amplitudes /= np.sqrt(np.square(phases).sum(axis=1))
    spectrum[1 : harmonics + 1] = amplitudes * (phases[:, 0] + 1j * phases[:, 1])
    table = (0.5 * size * irfft(spectrum, size)).astype(np.float32)
    # The place in the period is an integer of 32 bits, which wraps around.
    step = round(mains_hz / sample_rate_hz * 2**32)
    place = (np.arange(count, dtype=np.uint64) * np.uint64(step)).astype(np.uint32)
    index = place >> np.uint32(32 - _TABLE_BITS)
    between = (place & np.uint32((1 << (32 - _TABLE_BITS)) - 1)).astype(np.float32)
    between *= np.float32(2.0 ** (_TABLE_BITS - 32))
    rise = np.roll(table, -1) - table
    out = _faint_hiss(rng, count)
    between *= rise[index]
    out += table[index]
    out += between
    return _levelled(out)


def clicks(rng: np.random.Generator, count: int, sample_rate_hz: int) -> Samples:
    """Clicks of 0.1 to 3 ms at 5 to 40 a second, with faint hiss."""
    per_second = float(rng.uniform(5.0, 40.0))
    out = _faint_hiss(rng, count)
    number = max(1, int(rng.poisson(per_second * count / sample_rate_hz)))
    lengths = (rng.uniform(0.0001, 0.003, number) * sample_rate_hz).astype(np.int64) + 1
    starts = rng.integers(0, count, number)
    at = np.arange(int(lengths.max()))
    left = np.maximum(0.0, 1.0 - at / lengths[:, None])
    bursts = rng.standard_normal((number, at.size)) * rng.uniform(0.2, 1.0, number)[:, None] * left * left * left
    places = starts[:, None] + at
    inside = (left > 0.0) & (places < count)
    np.add.at(out, places[inside], bursts[inside].astype(np.float32))
    return _levelled(out)


def wind(rng: np.random.Generator, count: int, sample_rate_hz: int) -> Samples:
    """Wind at a microphone: rumble that decays above 60 to 200 Hz, in gusts of 0.1 to 0.4 s.

    A simpler version of the model of C. M. Nelke and P. Vary, "Measurement, analysis and simulation of wind noise
    signals for mobile communication devices", IWAENC 2014.
    """
    corner_hz, order = float(rng.choice(_WIND_CORNERS_HZ)), float(rng.choice(_WIND_ORDERS))
    size = _size_of(count, sample_rate_hz)
    rumble = _shaped(rng, _wind_shape(corner_hz, order, size, sample_rate_hz))[:count]
    step = round(float(rng.uniform(0.1, 0.4)) * sample_rate_hz)
    pieces = count // step + 1
    gusts_db = float(rng.uniform(4.0, 9.0)) * rng.standard_normal(pieces + 1)
    gusts = np.array([10.0 ** (gust_db / 20.0) for gust_db in gusts_db.tolist()], np.float32)
    ramp = np.arange(step, dtype=np.float32) / np.float32(step)
    envelope = ((gusts[1:] - gusts[:-1])[:, None] * ramp + gusts[:-1, None]).reshape(-1)
    return _levelled(rumble * envelope[:count])


FORMULAS: dict[str, Callable[[np.random.Generator, int, int], Samples]] = {
    **{name: partial(coloured, exponent=exponent) for name, exponent in COLOURS.items()},
    "hum": hum,
    "clicks": clicks,
    "wind": wind,
}
"""The kinds of noise by formula, by name."""


def _faint_hiss(rng: np.random.Generator, count: int) -> Samples:
    hiss = rng.random(count, dtype=np.float32)
    hiss -= np.float32(0.5)
    hiss *= _FAINT
    return hiss


def _size_of(count: int, sample_rate_hz: int) -> int:
    """The number of samples of a spectrum. There are few of them, so that few shapes are kept."""
    step = round(_SIZE_S * sample_rate_hz)
    return -(-count // step) * step


def _shaped(rng: np.random.Generator, shape: NDArray[np.float32]) -> Samples:
    """Gaussian noise with that amplitude at each frequency."""
    from scipy.fft import irfft

    spectrum = rng.standard_normal(2 * shape.size, dtype=np.float32).view(np.complex64)
    spectrum *= shape
    samples: Samples = irfft(spectrum, 2 * (shape.size - 1), overwrite_x=True)
    return samples


@lru_cache(maxsize=64)
def _colour_shape(exponent: float, size: int, sample_rate_hz: int) -> NDArray[np.float32]:
    frequency = np.fft.rfftfreq(size, 1.0 / sample_rate_hz)
    shape: NDArray[np.float32] = (np.maximum(frequency, _LOWEST_HZ) ** (-exponent / 2.0)).astype(np.float32)
    return shape


@lru_cache(maxsize=64)
def _wind_shape(corner_hz: float, order: float, size: int, sample_rate_hz: int) -> NDArray[np.float32]:
    frequency = np.fft.rfftfreq(size, 1.0 / sample_rate_hz)
    shape: NDArray[np.float64] = (1.0 + (frequency / corner_hz) ** 2) ** -order * np.minimum(
        1.0, frequency / _LOWEST_HZ
    )
    return shape.astype(np.float32)


def _levelled(samples: Samples) -> Samples:
    """The noise at `LEVEL_DB`."""
    samples *= np.float32(gain_to(power_db(samples), LEVEL_DB))
    return samples
