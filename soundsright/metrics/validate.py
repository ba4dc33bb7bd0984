"""Checks on a signal before it is scored: the policy of a competition.

Signals are float32, shape `(n,)`, full scale ±1. An enhanced signal must have the reference's rate and exactly its
length. The tolerance is 0 samples, because a model that may cut samples could cut the hard ones. Its shape is
`(n,)`, `(n, 1)` or `(1, n)`; two channels are rejected, not mixed. Its samples are finite. Silence, clipping,
another level or sign, and a delay are the model's answer and are scored.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from soundsright.core.audio import Audio
from soundsright.core.errors import AudioRejected


def checked_enhanced(clip_id: str, samples: NDArray[Any], sample_rate_hz: int, reference: Audio) -> Audio:
    """The enhanced signal of a clip as `Audio`, if it may be scored against the reference.

    Integer samples are scaled by their full scale: for int16, 32768 becomes 1.

    Raises:
        AudioRejected: with the code `rate`, `shape`, `length`, `format` or `not_finite`.

    >>> reference = Audio(np.zeros(4, np.float32), 16_000)
    >>> checked_enhanced("c1", np.ones((4, 1)), 16_000, reference).samples.shape
    (4,)
    >>> checked_enhanced("c1", np.ones(3), 16_000, reference)
    Traceback (most recent call last):
        ...
    soundsright.core.errors.AudioRejected: 3 samples, 4 expected
    """
    if sample_rate_hz != reference.sample_rate_hz:
        raise AudioRejected(clip_id, "rate", f"{sample_rate_hz} Hz, {reference.sample_rate_hz} Hz expected")
    _check_shape(clip_id, samples)
    if samples.size != len(reference):
        raise AudioRejected(clip_id, "length", f"{samples.size} samples, {len(reference)} expected")
    return mono_audio(clip_id, samples, sample_rate_hz)


def mono_audio(clip_id: str, samples: NDArray[Any], sample_rate_hz: int) -> Audio:
    """An array as `Audio`: one channel, float32, finite. Integer samples are scaled by their full scale.

    Raises:
        AudioRejected: with the code `shape`, `format` or `not_finite`.

    >>> mono_audio("c1", np.array([[-32768, 16384]], np.int16), 16_000).samples.tolist()
    [-1.0, 0.5]
    """
    _check_shape(clip_id, samples)
    flat = samples.reshape(-1)
    if flat.dtype.kind == "i" and flat.dtype.itemsize <= 4:
        full_scale = float(np.iinfo(flat.dtype).max) + 1.0
        return Audio((flat / full_scale).astype(np.float32), sample_rate_hz)
    if flat.dtype.kind != "f":
        raise AudioRejected(clip_id, "format", f"samples of type {flat.dtype}, a float or signed integer expected")
    with np.errstate(over="ignore"):
        narrowed = np.ascontiguousarray(flat, dtype=np.float32)
    bad = int(narrowed.size - np.count_nonzero(np.isfinite(narrowed)))
    if bad:
        raise AudioRejected(clip_id, "not_finite", f"{bad} of {narrowed.size} samples are NaN or infinite")
    return Audio(narrowed, sample_rate_hz)


def _check_shape(clip_id: str, samples: NDArray[Any]) -> None:
    shape = samples.shape
    if not (samples.ndim == 1 or (samples.ndim == 2 and 1 in shape)):
        raise AudioRejected(clip_id, "shape", f"shape {_shape_text(shape)}, one channel expected")


def _shape_text(shape: tuple[int, ...]) -> str:
    text = "x".join(str(size) for size in shape[:4])
    return f"({text}{'x…' if len(shape) > 4 else ''})"
