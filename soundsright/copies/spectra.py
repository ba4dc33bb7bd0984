"""How alike two models suppress: the levels of their outputs in bands over time.

Random changes of level in single bins of a spectrum make the waveforms of two copies differ, and cost few points.
They cancel in the power of a band. So the output's power in a band and a frame, in dB relative to the input's, is
compared. Good enhancers follow the speech and are alike in that; what the speech and the input explain is removed.
What is left is an enhancer's own error. For a correlation r of these errors the agreement is -10 lg 2(1 - r), as
for waveforms.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BANDS = 24
FRAME = 512
HOP = 256

_BAND_HZ = (150.0, 3_600.0)
_EDGE = 1_024  # samples at each end that are faded
_FLOOR = 1e-4  # of the mean power, so that silence has a level
_DEEPEST_DB = -10.0
_LEAST_ERROR_DB = 0.3
"""An output that differs less from what the speech and the input explain has no error to compare."""

_MAX_AGREEMENT_DB = 80.0


def spectral_agreements(signals: Floats, rate_hz: int) -> Floats | None:
    """`(outputs, outputs)`: the agreement of each pair in dB; NaN if one of the two has no error to compare.

    `signals` `(2 + outputs, samples)` are the clean speech, the input, and the outputs without delay. None if they
    are too short, or if there is nothing to compare.

    >>> rng = np.random.default_rng(0)
    >>> speech, noise, own, other = rng.standard_normal((4, 24_576))
    >>> own, other = (1 + 0.5 * np.cumsum(x) / np.abs(np.cumsum(x)).max() for x in (own, other))
    >>> found = spectral_agreements(np.array([speech, speech + noise, speech * own, speech * other]), 8_000)
    >>> bool(found[0, 1] < 3)
    True
    """
    inner = signals[:, _EDGE:-_EDGE]
    if len(signals) < 4 or inner.shape[1] < FRAME + HOP:
        return None
    levels = _levels_db(inner, rate_hz)
    gains = levels - levels[1]
    known = (gains[0], levels[1], np.maximum(gains[0], _DEEPEST_DB), levels[0])
    basis, sizes, _ = np.linalg.svd(np.stack([_centred(each) for each in known], axis=1), full_matrices=False)
    basis = basis[:, sizes > 1e-9 * sizes[0]]
    errors = np.stack([_centred(each) for each in gains[2:]])
    errors = errors - (errors @ basis) @ basis.T
    size = np.sqrt((errors**2).mean(axis=1))
    size[size < _LEAST_ERROR_DB] = np.nan
    likeness = errors @ errors.T / errors.shape[1] / np.outer(size, size)
    least = 10 ** (-_MAX_AGREEMENT_DB / 10)
    return np.asarray(-10 * np.log10(np.maximum(2 * (1 - likeness), least)))


def _levels_db(signals: Floats, rate_hz: int) -> Floats:
    """`(signals, bands, frames)`"""
    from scipy import fft

    frames = np.lib.stride_tricks.sliding_window_view(signals, FRAME, axis=1)[:, ::HOP]
    powers = np.abs(fft.rfft(frames * np.hanning(FRAME), axis=2)) ** 2
    hz = np.arange(powers.shape[2]) * rate_hz / FRAME
    edges = np.linspace(*_BAND_HZ, BANDS + 1)
    bands = [powers[:, :, (hz >= low) & (hz < high)].sum(axis=2) for low, high in pairwise(edges)]
    table = np.stack(bands, axis=1)
    floor = np.maximum(_FLOOR * table.mean(axis=(1, 2), keepdims=True), np.finfo(np.float64).tiny)
    return np.asarray(10 * np.log10(table + floor))


def _centred(levels_db: Floats) -> Floats:
    """Levels without the mean of each band, which an equaliser changes, as one row."""
    return np.asarray((levels_db - levels_db.mean(axis=1, keepdims=True)).ravel())
