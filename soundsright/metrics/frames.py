"""Windows and frames that several measures share. Signals are shape `(n,)`, frames `(count, length)`, float64."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

LOIZOU_FRAME_S = 0.030


def hann_window(length: int) -> Float64:
    """A Hann window without its zeros, by Python's scalar cosine, which no vector unit changes.

    >>> hann_window(3).round(9).tolist()
    [0.5, 1.0, 0.5]
    """
    return np.array([0.5 - 0.5 * math.cos(2 * math.pi * i / (length + 1)) for i in range(1, length + 1)])


def frames_of(signal: NDArray[np.floating], length: int, hop: int) -> Float64:
    """Every whole frame of the signal, shape (count, length), a view where the signal is float64.

    >>> frames_of(np.arange(5.0), 3, 2).tolist()
    [[0.0, 1.0, 2.0], [2.0, 3.0, 4.0]]
    """
    if len(signal) < length:
        return np.empty((0, length))
    return np.lib.stride_tricks.sliding_window_view(np.asarray(signal, dtype=np.float64), length)[::hop]


def loizou_frames(signal: NDArray[np.floating], sample_rate_hz: int) -> Float64:
    """Frames of 30 ms at a quarter of it, with a Hann window, less the last: the framing of Loizou's measures."""
    length = round(LOIZOU_FRAME_S * sample_rate_hz)
    hop = length // 4
    windowed: Float64 = frames_of(signal, length, hop)[: max(0, (len(signal) - length) // hop)] * _window(length)
    return windowed


@cache
def _window(length: int) -> Float64:
    return hann_window(length)
