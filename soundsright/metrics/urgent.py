"""The log-spectral distance of the URGENT challenges. Signals are shape `(n,)`; results in nepers, not in dB.

It differs from `snr.log_spectral_distance` in four ways: the enhanced signal is first scaled to the clean one, the
logarithm is natural, frames hop by half their length, and no bin is raised to a floor 80 dB below the strongest.
The two cannot be converted into each other.

Source: the evaluation script of the URGENT challenge (Zhang et al., Interspeech 2024), where frames have 32 ms, a
periodic Hann window, and zeros beyond both ends of the signal.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from soundsright.metrics.compiled import compiled
from soundsright.metrics.frames import frames_of, sin_pi

Float64 = NDArray[np.float64]

_FRAME_S = 0.032
_HOP_S = 0.016
_EPS = 1e-8


def urgent_log_spectral_distance(
    clean: NDArray[np.floating], enhanced: NDArray[np.floating], sample_rate_hz: int
) -> float | None:
    """The mean over frames of the root mean square over bins of ln(|S|² / (|gE| + 1e-8)² + 1e-8).

    g = <s, e> / (<e, e> + 1e-8). None for an empty clip, or if the value overflows.
    """
    from scipy import fft

    length, hop = int(_FRAME_S * sample_rate_hz), int(_HOP_S * sample_rate_hz)
    if len(clean) == 0:
        return None
    s, e = np.asarray(clean, np.float64), np.asarray(enhanced, np.float64)
    product, energy = _products(s, e)
    gain = product / (energy + _EPS)
    window = _periodic_hann_window(length)
    spectra = [
        fft.rfft(frames_of(np.pad(signal, length // 2), length, hop) * window, axis=1).view(np.float64)
        for signal in (s, gain * e)
    ]
    distance = float(_distance(*spectra))
    return distance if math.isfinite(distance) else None


@lru_cache(maxsize=8)
def _periodic_hann_window(length: int) -> Float64:
    return np.array([sin_pi(i, length) ** 2 for i in range(length)])


@compiled
def _products(s: Float64, e: Float64) -> tuple[float, float]:
    """<s, e> and <e, e>, summed in the written order."""
    product = np.zeros(16)
    energy = np.zeros(16)
    for i in range(s.shape[0]):
        product[i % 16] += s[i] * e[i]
        energy[i % 16] += e[i] * e[i]
    product_sum = 0.0
    energy_sum = 0.0
    for j in range(16):
        product_sum += product[j]
        energy_sum += energy[j]
    return product_sum, energy_sum


@compiled
def _distance(s: Float64, e: Float64) -> float:
    """The distance of two spectra, which alternate real and imaginary parts."""
    frames, bins = s.shape[0], s.shape[1] // 2
    total = 0.0
    for f in range(frames):
        squares = 0.0
        for k in range(bins):
            clean_power = s[f, 2 * k] * s[f, 2 * k] + s[f, 2 * k + 1] * s[f, 2 * k + 1]
            enhanced = math.sqrt(e[f, 2 * k] * e[f, 2 * k] + e[f, 2 * k + 1] * e[f, 2 * k + 1]) + _EPS
            level = math.log(clean_power / (enhanced * enhanced) + _EPS)
            squares += level * level
        total += math.sqrt(squares / bins)
    return float(total / frames)
