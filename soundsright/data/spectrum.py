"""Signals are float, shape `(n,)`, full scale ±1; frequencies in Hz, levels in dB.

Finds the bandwidth of a recording. An upsampled or lossy file has less than its sample rate suggests.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_FRAME = 2048


def power_spectrum(samples: NDArray[np.floating], frame: int = _FRAME) -> NDArray[np.float64]:
    """Mean power per bin over Hann frames without overlap, shape `(frame // 2 + 1,)`. Short signals are padded."""
    count = max(1, samples.shape[0] // frame)
    padded = np.zeros(count * frame)
    used = samples[: count * frame]
    padded[: used.shape[0]] = used
    spectra = np.fft.rfft(padded.reshape(count, frame) * np.hanning(frame), axis=1)
    power: NDArray[np.float64] = (spectra.real**2 + spectra.imag**2).mean(axis=0)
    return power


def bandwidth_hz(samples: NDArray[np.floating], sample_rate_hz: int, *, floor_db: float = -70.0) -> float:
    """The highest frequency with a mean power within `floor_db` of the strongest bin; 0 for silence.

    >>> t = np.arange(16_000) / 16_000
    >>> 990 < bandwidth_hz(np.sin(2 * np.pi * 1_000 * t), 16_000) < 1_050
    True
    """
    power = power_spectrum(samples)
    peak = float(power.max())
    if peak <= 0.0:
        return 0.0
    occupied = np.flatnonzero(power > peak * 10.0 ** (floor_db / 10.0))
    return float(occupied[-1] * sample_rate_hz / _FRAME)


def share_above_db(samples: NDArray[np.floating], sample_rate_hz: int, *, above_hz: float = 8_000.0) -> float:
    """The power above `above_hz` relative to the total power, in dB; -120 if there is none."""
    power = power_spectrum(samples)
    first = int(np.ceil(above_hz * _FRAME / sample_rate_hz))
    return float(10.0 * np.log10(power[first:].sum() / max(float(power.sum()), 1e-30) + 1e-12))
