"""Alignment for measurements outside a competition. Signals are float32, shape `(n,)`; times in seconds.

A competition never aligns: its tolerance is 0 samples. Outside one, you can ask to remove the delay of a codec, a
recording or a model with latency before it is measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from soundsright.core.audio import Samples

MAX_DELAY_S = 0.5
"""The largest delay that alignment corrects, in either direction."""


@dataclass(frozen=True, eq=False)
class Aligned:
    """The enhanced signal at the reference's length, and the delay that was removed, in samples."""

    samples: Samples
    delay: int


def aligned(enhanced: Samples, reference: Samples, sample_rate_hz: int) -> Aligned:
    """The enhanced signal, shifted to its best match with the reference, and cut or padded with silence to its
    length.

    The delay has the largest absolute cross-correlation within ±`MAX_DELAY_S`; among equal ones the smallest delay
    is used. The sign of the signal does not change.

    >>> click = np.zeros(100, np.float32)
    >>> click[10] = 1
    >>> aligned(np.roll(click, 7), click, 16_000).delay
    7
    """
    from scipy import fft

    if len(enhanced) == 0 or len(reference) == 0:
        return Aligned(np.zeros(len(reference), dtype=np.float32), 0)
    limit = round(MAX_DELAY_S * sample_rate_hz)
    size = fft.next_fast_len(len(enhanced) + len(reference), real=True)
    scale = max(float(np.max(np.abs(enhanced))), 1e-300)
    spectrum = fft.rfft(enhanced.astype(np.float64) / scale, size) * np.conj(
        fft.rfft(reference.astype(np.float64), size)
    )
    correlation = np.abs(fft.irfft(spectrum, size))
    lags = np.arange(-min(limit, len(reference) - 1), min(limit, len(enhanced) - 1) + 1)
    lags = lags[np.argsort(np.abs(lags), kind="stable")]
    delay = int(lags[int(np.argmax(correlation[lags]))])
    out = np.zeros(len(reference), dtype=np.float32)
    source = enhanced[max(delay, 0) :]
    start = max(-delay, 0)
    count = min(len(source), len(out) - start)
    out[start : start + count] = source[:count]
    return Aligned(out, delay)
