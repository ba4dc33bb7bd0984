"""Mel bands as librosa and the networks trained with it use them."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@lru_cache(maxsize=8)
def periodic_hann(length: int) -> NDArray[np.float32]:
    """A Hann window whose period is its length, shape `(length,)`."""
    phase = 2 * np.pi * np.arange(length) / length
    return (0.5 - 0.5 * np.cos(phase)).astype(np.float32)


@lru_cache(maxsize=8)
def slaney_filters(rate_hz: int, fft_length: int, bands: int) -> NDArray[np.float32]:
    """Triangles of unit area on Slaney's mel scale (linear to 1 kHz, then logarithmic), shape `(bands, bins)`.

    >>> slaney_filters(16_000, 400, 40).shape
    (40, 201)
    """
    top = 15.0 + 27.0 * math.log(rate_hz / 2 / 1000.0) / math.log(6.4)
    edges = [_slaney_hz(top * i / (bands + 1)) for i in range(bands + 2)]
    bins_hz = np.arange(fft_length // 2 + 1) * rate_hz / fft_length
    filters = np.zeros((bands, len(bins_hz)))
    for band in range(bands):
        low, centre, high = edges[band : band + 3]
        rising, falling = (bins_hz - low) / (centre - low), (high - bins_hz) / (high - centre)
        filters[band] = np.maximum(0.0, np.minimum(rising, falling)) * 2.0 / (high - low)
    return filters.astype(np.float32)


def _slaney_hz(mel: float) -> float:
    return mel * 200.0 / 3.0 if mel < 15.0 else 1000.0 * 6.4 ** ((mel - 15.0) / 27.0)
