"""Alignment for measurements outside a competition. Signals are float32, shape `(n,)`; times in seconds.

A competition aligns nothing: its tolerance is 0 samples. A codec, a recording or a model with latency is
measured after its delay is taken out, if that is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from soundsright.core.audio import Samples

MAX_DELAY_S = 0.5


@dataclass(frozen=True, eq=False)
class Aligned:
    """The enhanced signal at the reference's length, and the delay that was taken out, in samples."""

    samples: Samples
    delay: int


def aligned(enhanced: Samples, reference: Samples, sample_rate_hz: int) -> Aligned:
    """Shift the enhanced signal to where it fits the reference best, and cut or pad it with silence to its length.

    The delay is that of the largest cross-correlation by absolute value, within `MAX_DELAY_S` either way; the
    smallest of equal ones. A sign flip is left as it is.

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
