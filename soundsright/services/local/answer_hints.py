"""Hints about answers that are valid, but lose points for a reason that their author can remove.

Signals are float32 arrays of shape `(n,)`, full scale ±1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from soundsright.core.audio import Clip, Samples
from soundsright.core.ports import Answer
from soundsright.metrics import aligned

_FULL_SCALE = 32_767 / 32_768
_MIN_SHARE = 0.001


def answer_hints(clips: Sequence[Clip], answers: Sequence[Answer]) -> tuple[str, ...]:
    """What all answers have in common that costs points: a delay, or samples at full scale."""
    pairs = [(clip, answer.audio) for clip, answer in zip(clips, answers, strict=True) if answer.audio is not None]
    if not pairs:
        return ()
    return tuple(_hints([clip for clip, _ in pairs], [audio.samples for _, audio in pairs]))


def _hints(clips: Sequence[Clip], answers: Sequence[Samples]) -> Iterator[str]:
    rate_hz = clips[0].clean.sample_rate_hz
    lags = {aligned(answer, clip.clean.samples, rate_hz).delay for clip, answer in zip(clips, answers, strict=True)}
    (lag, *others) = lags
    if lag and not others:
        yield (
            f"All answers fit best at the same lag of {lag} samples ({1_000 * lag / rate_hz:.1f} ms). No metric "
            "allows a delay: remove it in your model."
        )
    share = _share_at_full_scale(answers)
    if share >= _MIN_SHARE and share > _share_at_full_scale([clip.degraded.samples for clip in clips]):
        yield f"{share:.1%} of the samples are at full scale. Your model clips: scale its output down."


def _share_at_full_scale(signals: Sequence[Samples]) -> float:
    samples = sum(len(signal) for signal in signals)
    return sum(int(np.count_nonzero(np.abs(signal) >= _FULL_SCALE)) for signal in signals) / max(samples, 1)
