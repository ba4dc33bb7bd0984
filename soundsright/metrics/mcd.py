"""Mel-cepstral distortion: how far the timbre of speech is from the clean one's, in dB. Signals are `(n,)`.

The field computes MCD in several ways. Here:

- Frames are Hann windows of 32 ms with a hop of 8 ms, at 16 kHz. There is no alignment: frame is compared with
  frame.
- Mel cepstra 1 to 24 are the cepstrum of the power spectrum, warped by an all-pass of 0.42, as `sp2mc` of SPTK.
  The zeroth, the level, is left out.
- A spectrum is floored 80 dB below its signal's strongest bin.
- Only frames count in which the clean signal is within 40 dB of its loudest frame.

A frame's distortion is `10 / ln 10 * sqrt(2 * sum of squared differences)`, and MCD is their mean.

Source: Kubichek, "Mel-Cepstral Distance Measure for Objective Speech Quality Assessment", IEEE PacRim 1993;
cepstra: Tokuda, Kobayashi, Masuko, Imai, "Mel-Generalized Cepstral Analysis", ICSLP 1994.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from soundsright.core.audio import Samples

RATE_HZ = 16_000
ORDER = 24
WARP = 0.42

_FRAME = 512
_HOP = 128
_FLOOR_DB = 80.0
_ACTIVE_RANGE_DB = 40.0
_FRAMES_AT_ONCE = 1000

Float64 = NDArray[np.float64]


def mcd(clean: Samples, enhanced: Samples) -> float | None:
    """The distortion in dB of signals at 16 kHz; less is better. None if one is silent or under 32 ms."""
    if len(clean) < _FRAME or not (np.any(clean) and np.any(enhanced)):
        return None
    wanted, heard = _power_spectra(clean), _power_spectra(enhanced)
    energy = wanted.sum(axis=1)
    active = energy >= energy.max() * 10.0 ** (-_ACTIVE_RANGE_DB / 10)
    if not active.any():  # The power of the clean signal is not a number.
        return None
    difference = mel_cepstra(wanted[active]) - mel_cepstra(heard[active])
    distances = np.sqrt(2.0 * np.sum(difference[:, 1:] ** 2, axis=1))
    return 10.0 / math.log(10.0) * math.fsum(distances) / len(distances)


def mel_cepstra(power: Float64) -> Float64:
    """Mel cepstra 0 to 24 of each power spectrum, shape `(frames, 25)`, from spectra of shape `(frames, 257)`."""
    floor = max(float(power.max(initial=0.0)), 1e-300) * 10.0 ** (-_FLOOR_DB / 10)
    warped: Float64 = 0.5 * np.log(np.maximum(power, floor)) @ _transform()
    return warped


def _power_spectra(samples: Samples) -> Float64:
    """Shape (frames, 257), of the signal at a peak of 1, so that every finite float32 is allowed."""
    from scipy import fft

    signal = samples / np.float64(np.max(np.abs(samples)))
    frames = np.lib.stride_tricks.sliding_window_view(signal, _FRAME)[::_HOP]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_FRAME) / _FRAME)
    power = np.empty((len(frames), _FRAME // 2 + 1))
    for start in range(0, len(frames), _FRAMES_AT_ONCE):
        spectra = fft.rfft(frames[start : start + _FRAMES_AT_ONCE] * window, axis=1)
        power[start : start + _FRAMES_AT_ONCE] = spectra.real**2 + spectra.imag**2
    return power


@cache
def _transform() -> Float64:
    """The matrix from log magnitudes to mel cepstra, shape (257, 25): the cepstrum, then the all-pass."""
    from scipy import fft

    cepstra = fft.irfft(np.eye(_FRAME // 2 + 1), axis=1)[:, : _FRAME // 2 + 1]
    # Twice the cepstrum of positive times, so that the sum over them is the log magnitude.
    cepstra[:, 1:-1] *= 2.0
    return np.asarray(cepstra @ _all_pass(cepstra.shape[1]))


def _all_pass(length: int) -> Float64:
    """How each of `length` cepstra adds to the warped ones, shape (length, 25).

    Cepstrum `n` belongs to the n-th power of a delay. The warped delay is an all-pass of first order, whose n-th
    power is expanded in powers of the delay.
    """
    powers = np.zeros((length, ORDER + 1))
    powers[0, 0] = 1.0
    row = powers[0].copy()
    for n in range(1, length):
        # (z + a) / (1 + a z), times the row, as a power series in z.
        raised = np.zeros(ORDER + 1)
        raised[0] = WARP * row[0]
        for k in range(1, ORDER + 1):
            raised[k] = row[k - 1] + WARP * row[k] - WARP * raised[k - 1]
        powers[n] = row = raised
    return powers
