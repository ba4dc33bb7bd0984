"""Hints about answers that are valid, but lose points for a reason that their author can remove."""

from __future__ import annotations

from collections.abc import Sequence

from soundsright.core.audio import Clip
from soundsright.core.ports import Answer
from soundsright.metrics import answer_hints as hints_of
from soundsright.metrics import answer_signs


def answer_hints(clips: Sequence[Clip], answers: Sequence[Answer]) -> tuple[str, ...]:
    """Hints at faults that all answers share and that cost points: a delay, or samples at full scale."""
    signs = [
        answer_signs(clip.clean, answer.audio, clip.degraded)
        for clip, answer in zip(clips, answers, strict=True)
        if answer.audio is not None
    ]
    return tuple(hints_of(signs, copies=False))
