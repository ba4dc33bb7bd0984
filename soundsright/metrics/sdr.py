"""SDR as BSS Eval version 3 defines it: speech may be filtered before distortion counts. Signals are `(n,)`.

The enhanced signal is split into the clean signal through the best filter of 512 taps, and a rest. SDR is the ratio
of their energies in dB. So a change of level, a short delay or an equaliser does not count as distortion.

Source: Vincent, Gribonval, Févotte, "Performance Measurement in Blind Audio Source Separation", IEEE Trans. ASLP
14(4), 2006, with the filters of BSS Eval 3. For one reference, the SDR does not depend on other sources.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from soundsright.core.audio import Samples

TAPS = 512

_BLOCK = 1 << 16
_LEAST_EIGENVALUE = 1e-12
"""Added to the normalised autocorrelation's diagonal, so that a band-limited reference has a filter too."""

Float64 = NDArray[np.float64]


def sdr(clean: Samples, enhanced: Samples) -> float | None:
    """The signal-to-distortion ratio in dB; infinite for a filtered copy. None if a signal has no energy."""
    from scipy import signal as filters
    from scipy.linalg import solve_toeplitz

    peaks = [float(np.max(np.abs(samples), initial=0.0)) for samples in (clean, enhanced)]
    if min(peaks) == 0.0:
        return None
    reference, estimate = (
        samples / np.float64(peak) for samples, peak in zip((clean, enhanced), peaks, strict=True)
    )
    of_reference = _correlation(reference, reference)
    of_estimate = _correlation(reference, estimate)
    loaded = of_reference.copy()
    loaded[0] *= 1.0 + _LEAST_EIGENVALUE
    best = solve_toeplitz(loaded, of_estimate, check_finite=False)
    target = filters.oaconvolve(reference, best)
    rest = target.copy()
    rest[: len(estimate)] -= estimate
    target_energy, rest_energy = float(np.sum(target**2)), float(np.sum(rest**2))
    if target_energy == 0.0:
        return None
    return 10.0 * math.log10(target_energy / rest_energy) if rest_energy > 0.0 else math.inf


def _correlation(reference: Float64, other: Float64) -> Float64:
    """The sum over n of `reference[n] * other[n + lag]`, for each lag below `TAPS`, in blocks of bounded size."""
    from scipy import fft

    length = fft.next_fast_len(_BLOCK + TAPS, real=True)
    total = np.zeros(TAPS)
    for start in range(0, len(reference), _BLOCK):
        block = fft.rfft(reference[start : start + _BLOCK], length)
        ahead = fft.rfft(other[start : start + _BLOCK + TAPS - 1], length)
        total += fft.irfft(np.conj(block) * ahead, length)[:TAPS]
    return total
