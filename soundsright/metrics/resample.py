"""Two resamplers. Signals are shape `(n,)`; rates in Hz.

`to_rate_of_stoi` is the polyphase filter of Matlab's `resample`, which the authors of STOI used, as in `pystoi`.
`to_rate` is soxr's HQ setting, for metrics that do not define a resampler.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from soundsright.core.audio import Samples
from soundsright.metrics.compiled import compiled
from soundsright.metrics.frames import sin_pi

STOI_RATE_HZ = 10_000

_STOP_BAND_DB = 60.0
_BLOCK = 512
_TAPS_AT_ONCE = 4


def to_rate(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """The signal at another rate by soxr's HQ setting; the same array if the rate is the same."""
    if from_hz == to_hz:
        return samples
    import soxr

    resampled: Samples = soxr.resample(samples, from_hz, to_hz, quality="HQ")
    return resampled


def to_rate_of_stoi(samples: NDArray[np.floating], from_hz: int) -> NDArray[np.float64]:
    """The signal at 10 kHz, float64, equal to `scipy.signal.resample_poly` with the window of `pystoi`.

    >>> len(to_rate_of_stoi(np.zeros(16_000), 16_000))
    10000
    """
    signal = np.ascontiguousarray(samples, dtype=np.float64)
    if from_hz == STOI_RATE_HZ:
        return signal
    up, down, table, half = _polyphase_table(from_hz)
    return _polyphase(signal, table, half, up, down)


@lru_cache(maxsize=8)
def _polyphase_table(from_hz: int) -> tuple[int, int, NDArray[np.float64], int]:
    """Up and down factors, a table with one row of reversed taps per output phase, and half the filter's length.

    The filter is a Kaiser-windowed sinc with 60 dB rejection and a transition of a tenth of the stop band.
    """
    divisor = math.gcd(STOI_RATE_HZ, from_hz)
    up, down = STOI_RATE_HZ // divisor, from_hz // divisor
    steps = max(up, down)
    stop_band = 1.0 / (2 * steps)
    half = math.ceil((_STOP_BAND_DB - 8) / (28.714 * stop_band / 10))
    beta = 0.1102 * (_STOP_BAND_DB - 8.7)
    taps = np.empty(2 * half + 1)
    for i in range(-half, half + 1):
        sinc = sin_pi(i, steps) / (math.pi * i / steps) if i else 1.0
        window = _bessel_i0(beta * math.sqrt(1.0 - (i / half) ** 2)) / _bessel_i0(beta)
        taps[i + half] = 2 * up * stop_band * sinc * window
    taps *= up / math.fsum(taps)
    length = math.ceil(len(taps) / up / _TAPS_AT_ONCE) * _TAPS_AT_ONCE
    table = np.zeros((up, length))
    for phase in range(up):
        column = taps[phase::up]
        table[phase, length - len(column) :] = column[::-1]
    return up, down, table, half


def _bessel_i0(x: float) -> float:
    """The modified Bessel function of order zero, by its power series."""
    term = total = 1.0
    k = 0
    while term > total * 1e-17:
        k += 1
        term *= (x / (2 * k)) ** 2
        total += term
    return total


@compiled
def _polyphase(
    x: NDArray[np.float64], table: NDArray[np.float64], half: int, up: int, down: int
) -> NDArray[np.float64]:
    """The signal resampled by `up / down`.

    The input is dealt into `down` rows, so that each tap adds a contiguous run to a block of outputs of one phase.
    The loop is vectorised across outputs, while the sum of each output keeps its order, tap by tap.
    """
    n, length = x.shape[0], table.shape[1]
    n_out = (n * up + down - 1) // down
    per_phase = (n_out + up - 1) // up
    rows = np.zeros((down, (n + 2 * length) // down + per_phase + 4))
    row, column = length % down, length // down
    for i in range(n):
        rows[row, column] = x[i]
        row += 1
        if row == down:
            row, column = 0, column + 1
    y = np.empty(per_phase * up)
    block = np.empty(_BLOCK)
    for phase in range(up):
        position = phase * down + half
        filtered, first = position % up, position // up + 1
        for start in range(0, per_phase, _BLOCK):
            width = min(_BLOCK, per_phase - start)
            sums = block[:width]
            sums[:] = 0.0
            for k in range(0, length, _TAPS_AT_ONCE):
                at = first + k
                a = rows[at % down, at // down + start :][:width]
                b = rows[(at + 1) % down, (at + 1) // down + start :][:width]
                c = rows[(at + 2) % down, (at + 2) // down + start :][:width]
                d = rows[(at + 3) % down, (at + 3) // down + start :][:width]
                p, q, r, s = (
                    table[filtered, k],
                    table[filtered, k + 1],
                    table[filtered, k + 2],
                    table[filtered, k + 3],
                )
                for j in range(width):
                    sums[j] = (((sums[j] + p * a[j]) + q * b[j]) + r * c[j]) + s * d[j]
            for j in range(width):
                y[(start + j) * up + phase] = sums[j]
    return y[:n_out]
