"""Plays speech faster or slower, with its pitch: signals float32 `(n,)`, full scale ±1; speeds in thousandths.

A validator must get the same bits on every processor, but libraries add in an order that depends on it. Here the
order does not matter, because no sum is rounded: samples and taps lie on grids so coarse that float64 has room for
all their sums. Only the result is rounded, once.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from soundsright.core.audio import Samples

TAPS = 48
"""The filter passes nine tenths of the band, and 80 dB less of what does not belong there (Kaiser window)."""
_KAISER_BETA = 7.86

TAP_BITS = 24
# Adding and subtracting this rounds samples to multiples of 2^-23 or coarser ones. Products with taps are then
# multiples of 2^-47, so their sums are exact below 2^6: float64 has 53 bits.
_ROUNDER = np.float32(3.0)

_PERIOD = 200
"""Speeds are multiples of 5 thousandths, so the taps repeat after 200 samples."""
_GROUP = 20
# A product of matrices this small stays in the cache, and no library starts threads for it.
_MOST_PERIODS = 160


def at_speed(samples: Samples, thousandths: int) -> Samples:
    """The signal played at that speed, a multiple of 5 thousandths, without delay; its pitch changes with it.

    >>> at_speed(np.zeros(1_020, dtype=np.float32), 1_020).shape
    (1000,)
    """
    step = thousandths * _PERIOD // 1000
    count = (samples.shape[0] * 1000 + thousandths // 2) // thousandths
    out = np.empty(count, dtype=np.float32)
    groups = filters(thousandths)
    before = -groups[0][0]
    periods = max(1, -(-count // _PERIOD))
    width = -(-periods // -(-periods // _MOST_PERIODS))
    padded = np.zeros((width + 1) * step + before + TAPS)
    played = np.empty((width, _PERIOD))
    # Each row of windows has the inputs of one period, so one product filters a group of samples of every period.
    products = [
        (
            np.ndarray((width, taps.shape[0]), padded.dtype, padded, 8 * (first + before), (8 * step, 8)),
            taps,
            played[:, group * _GROUP : (group + 1) * _GROUP],
        )
        for group, (first, taps) in enumerate(groups)
    ]
    for begin in range(0, count, width * _PERIOD):
        _fill(padded, samples, begin // _PERIOD * step - before)
        for windows, taps, found in products:
            np.matmul(windows, taps, out=found)
        piece = out[begin : begin + width * _PERIOD]
        piece[:] = played.reshape(-1)[: piece.shape[0]]
    return out


def _fill(padded: NDArray[np.float64], samples: Samples, start: int) -> None:
    """Put the samples from `start` on, rounded to their grid, into the buffer, with zeros outside of the signal."""
    low = max(0, start)
    high = max(low, min(samples.shape[0], start + padded.shape[0]))
    rounded = samples[low:high] + _ROUNDER
    rounded -= _ROUNDER
    padded[: low - start] = 0.0
    padded[low - start : high - start] = rounded
    padded[high - start :] = 0.0


@lru_cache(maxsize=32)
def filters(thousandths: int) -> tuple[tuple[int, NDArray[np.float64]], ...]:
    """For each group of output samples: the first input sample, and the taps `(inputs, outputs)` on their grid."""
    groups = []
    for begin in range(0, _PERIOD, _GROUP):
        place = np.arange(begin, begin + _GROUP) * thousandths / 1000.0
        first = int(np.ceil(place[0])) - TAPS // 2
        at = np.arange(first, int(np.floor(place[-1])) + TAPS // 2 + 1)
        taps = np.rint(taps_at(at[:, None] - place, thousandths) * 2.0**TAP_BITS)
        groups.append((first, taps * 2.0**-TAP_BITS))
    return tuple(groups)


def taps_at(lag: NDArray[np.float64], thousandths: int) -> NDArray[np.float64]:
    """The windowed sinc at these lags in input samples. Its cut-off is the lower of the two limits of the band."""
    cut = min(1.0, 1000.0 / thousandths)
    inside = np.maximum(0.0, 1.0 - (2.0 * lag / TAPS) ** 2)
    window = np.where(inside > 0.0, np.i0(_KAISER_BETA * np.sqrt(inside)) / np.i0(_KAISER_BETA), 0.0)
    taps: NDArray[np.float64] = cut * np.sinc(cut * lag) * window
    return taps
