"""SNR, segmental SNR and log-spectral distance. Signals are shape `(n,)`; results in dB.

Unlike SI-SDR, these metrics depend on level and sign: the noise is the difference to the clean signal. A higher SNR
is better; a lower log-spectral distance is better, and 0 dB is best.

Sources: Hansen, Pellom, "An Effective Quality Evaluation Protocol for Speech Enhancement Algorithms", ICSLP
1998, and Loizou, "Speech Enhancement: Theory and Practice", 2nd ed., 2013, section 11.1 (segmental SNR: frames
of 30 ms at a hop of 7.5 ms, each clipped to -10 to 35 dB); Gray, Markel, "Distance Measures for Speech
Processing", IEEE Trans. ASSP 24(5), 1976 (log-spectral distance).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from soundsright.metrics.compiled import compiled
from soundsright.metrics.frames import frames_of, hann_window, loizou_frames

Float64 = NDArray[np.float64]

LOWEST_SEGMENT_DB = -10.0
HIGHEST_SEGMENT_DB = 35.0

_LSD_FRAME_S = 0.032
_LSD_HOP_S = 0.008
_LSD_FLOOR = 1e-8  # relative to the clean signal's strongest bin: 80 dB below it is inaudible
_EPS = float(np.finfo(np.float64).eps)


def snr(clean: NDArray[np.floating], enhanced: NDArray[np.floating]) -> float | None:
    """10 lg |s|² / |s - e|² in dB; None without speech, infinite for a perfect copy.

    >>> snr(np.array([1.0, -1.0]), np.array([0.9, -0.9]))
    20.0
    """
    speech, noise = _energies(clean, enhanced)
    if speech == 0:
        return None
    return 10.0 * (math.log10(speech) - math.log10(noise)) if noise > 0 else math.inf


def segmental_snr(clean: NDArray[np.floating], enhanced: NDArray[np.floating], sample_rate_hz: int) -> float | None:
    """The mean SNR of frames, each clipped to -10 to 35 dB; None if the clip is shorter than one frame."""
    s = loizou_frames(clean, sample_rate_hz)
    e = loizou_frames(enhanced, sample_rate_hz)
    return float(_segmental_snr(s, e)) if len(s) else None


def log_spectral_distance(
    clean: NDArray[np.floating], enhanced: NDArray[np.floating], sample_rate_hz: int
) -> float | None:
    """The root mean square over bins of the difference of log power spectra, averaged over frames, in dB.

    Frames have 32 ms, a hop of 8 ms and a Hann window. Bins over 80 dB below the clean signal's strongest bin are
    raised to that level. None if the clip is shorter than one frame or the clean signal is silent.
    """
    from scipy import fft

    length, hop = round(_LSD_FRAME_S * sample_rate_hz), round(_LSD_HOP_S * sample_rate_hz)
    window = _lsd_window(length)
    s = frames_of(clean, length, hop) * window
    e = frames_of(enhanced, length, hop) * window
    if len(s) == 0:
        return None
    s, e = (fft.rfft(frames, axis=1).view(np.float64) for frames in (s, e))
    distance = float(_log_spectral_distance(s, e))
    return distance if math.isfinite(distance) else None


@lru_cache(maxsize=8)
def _lsd_window(length: int) -> Float64:
    return hann_window(length)


@compiled
def _energies(s: NDArray[np.floating], e: NDArray[np.floating]) -> tuple[float, float]:
    speech = np.zeros(16)
    noise = np.zeros(16)
    whole = s.shape[0] // 16 * 16
    for start in range(0, whole, 16):
        for j in range(16):
            a = np.float64(s[start + j])
            b = a - np.float64(e[start + j])
            speech[j] += a * a
            noise[j] += b * b
    for i in range(whole, s.shape[0]):
        a = np.float64(s[i])
        b = a - np.float64(e[i])
        speech[0] += a * a
        noise[0] += b * b
    speech_sum = 0.0
    noise_sum = 0.0
    for j in range(16):
        speech_sum += speech[j]
        noise_sum += noise[j]
    return speech_sum, noise_sum


@compiled
def _segmental_snr(s: Float64, e: Float64) -> float:
    total = 0.0
    for f in range(s.shape[0]):
        speech = 0.0
        noise = 0.0
        for i in range(s.shape[1]):
            difference = s[f, i] - e[f, i]
            speech += s[f, i] * s[f, i]
            noise += difference * difference
        level_db = 10.0 * math.log10(speech / (noise + _EPS) + _EPS)
        total += min(max(level_db, LOWEST_SEGMENT_DB), HIGHEST_SEGMENT_DB)
    return float(total / s.shape[0])


@compiled
def _log_spectral_distance(s: Float64, e: Float64) -> float:
    """The mean distance in dB. `s` and `e` alternate real and imaginary parts."""
    frames, bins = s.shape[0], s.shape[1] // 2
    strongest = 0.0
    for f in range(frames):
        for k in range(bins):
            strongest = max(strongest, s[f, 2 * k] * s[f, 2 * k] + s[f, 2 * k + 1] * s[f, 2 * k + 1])
    least = strongest * _LSD_FLOOR
    if least == 0.0:
        return np.nan
    total = 0.0
    for f in range(frames):
        squares = 0.0
        for k in range(bins):
            p = max(s[f, 2 * k] * s[f, 2 * k] + s[f, 2 * k + 1] * s[f, 2 * k + 1], least)
            q = max(e[f, 2 * k] * e[f, 2 * k] + e[f, 2 * k + 1] * e[f, 2 * k + 1], least)
            difference_db = 10.0 * (math.log10(p) - math.log10(q))
            squares += difference_db * difference_db
        total += math.sqrt(squares / bins)
    return float(total / frames)
