"""Scores the clips of an image's scoring runs in the pool, from the audio on the disk, as rounds do.

Nothing is scored while an image runs, so that scoring cannot slow it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from soundsright.core.errors import ModelFault
from soundsright.core.ports import Pool
from soundsright.core.results import ClipResult, Failure
from soundsright.services.rounds import ClipSet, result_of, start_scoring


def scored_clips(
    clips: ClipSet, clip_ids: Sequence[str], folder: Path, metrics: tuple[str, ...], pool: Pool
) -> tuple[ClipResult, ...]:
    """One result for each of these clips, whose enhanced audio is in `folder`.

    A clip whose scoring fails because of its audio gets the failure.

    Raises:
        InfrastructureFault: a file or a worker failed, not the audio.
    """
    jobs = [start_scoring(clips, clip_id, folder / f"{clip_id}.wav", metrics, pool) for clip_id in clip_ids]
    results = []
    for clip_id, job in zip(clip_ids, jobs, strict=True):
        try:
            results.append(ClipResult(clip_id, scores=result_of(job).scores))
        except ModelFault as fault:
            results.append(ClipResult(clip_id, failure=Failure(fault.code, str(fault))))
    return tuple(results)


def unprocessed_results(
    clips: ClipSet, clip_ids: Sequence[str], metrics: tuple[str, ...], pool: Pool
) -> tuple[ClipResult, ...]:
    """The results of the degraded input itself, which every image must beat.

    Raises:
        InfrastructureFault: a file or a worker failed.
    """
    return scored_clips(clips, clip_ids, clips.folder / "degraded", metrics, pool)
