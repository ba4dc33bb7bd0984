"""Windows and frames that several metrics share. Signals are shape `(n,)`, frames `(count, length)`, float64."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

LOIZOU_FRAME_S = 0.030


def sin_pi(numerator: int, denominator: int) -> float:
    """sin(pi x numerator / denominator), exact to about two ulp, from IEEE additions and multiplications only.

    The mathematics libraries of two machines can differ in the last bit of a sine, and so would every score that
    uses a table of sines.

    >>> round(sin_pi(1, 6), 15), sin_pi(-1, 2), sin_pi(14, 7)
    (0.5, -1.0, 0.0)
    """
    turn = numerator % (2 * denominator)
    sign = 1.0
    if turn >= denominator:
        turn, sign = turn - denominator, -1.0
    if 2 * turn > denominator:
        turn = denominator - turn
    x = math.pi * turn / denominator
    terms = [x]
    while abs(terms[-1]) > 1e-18 * x:
        k = 2 * len(terms)
        terms.append(-terms[-1] * x * x / (k * (k + 1)))
    return sign * math.fsum(terms)


def hann_window(length: int) -> Float64:
    """A Hann window without its zeros, with the same bits on every machine.

    >>> hann_window(3).round(15).tolist()
    [0.5, 1.0, 0.5]
    """
    return np.array([sin_pi(i, length + 1) ** 2 for i in range(1, length + 1)])


def frames_of(signal: NDArray[np.floating], length: int, hop: int) -> Float64:
    """Every whole frame of the signal, shape `(count, length)`; a view if the signal is float64.

    >>> frames_of(np.arange(5.0), 3, 2).tolist()
    [[0.0, 1.0, 2.0], [2.0, 3.0, 4.0]]
    """
    if len(signal) < length:
        return np.empty((0, length))
    return np.lib.stride_tricks.sliding_window_view(np.asarray(signal, dtype=np.float64), length)[::hop]


def loizou_frames(signal: NDArray[np.floating], sample_rate_hz: int) -> Float64:
    """Hann-windowed frames of 30 ms with a hop of 7.5 ms, without the last: the framing of Loizou's metrics."""
    length = round(LOIZOU_FRAME_S * sample_rate_hz)
    hop = length // 4
    windowed: Float64 = frames_of(signal, length, hop)[: max(0, (len(signal) - length) // hop)] * _window(length)
    return windowed


@cache
def _window(length: int) -> Float64:
    return hann_window(length)
