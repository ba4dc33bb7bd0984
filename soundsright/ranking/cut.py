"""Evaluations over a part of their clips."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from soundsright.core.results import Evaluation


def cut(evaluation: Evaluation, clip_ids: Collection[str]) -> Evaluation:
    """The evaluation with these clips only, of which it has all."""
    if len(evaluation.clips) == len(clip_ids):
        return evaluation
    return replace(evaluation, clips=tuple(clip for clip in evaluation.clips if clip.clip_id in clip_ids))
