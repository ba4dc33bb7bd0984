"""Read the clean and noisy recordings of a set before anything is scored, so that their faults are told first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from soundsright.core.errors import AudioFileError, UsageError, WorkerDied
from soundsright.core.ports import Pool
from soundsright.metrics import is_blank
from soundsright.services.scoring.folder import ClipFiles, ScoreSet
from soundsright.services.scoring.listing import some_of
from soundsright.services.scoring.reading import difference_to_clean, reference_audio

_SECONDS_PER_CLIP = 60.0


@dataclass(frozen=True)
class _Reference:
    """The signs in the clean and the noisy recording of a clip, or the problem with one of them."""

    blank: bool = False
    equals_noisy: bool = False
    problem: str = ""


def reference_notes(clips: ScoreSet, pool: Pool | None = None) -> list[str]:
    """Doubts about the clean and noisy recordings: blank ones, and noisy ones that equal the clean ones.

    Raises:
        UsageError: a clean or noisy recording cannot be used.
    """
    found = dict(zip((clip.id for clip in clips.clips), _read(clips, pool), strict=True))
    if problems := [each.problem for each in found.values() if each.problem]:
        raise UsageError(some_of(problems), "Replace these files, then score again.")
    total = len(found)
    notes = []
    if blank := [name for name, each in found.items() if each.blank]:
        notes.append(
            f"The clean recording is silent or constant in {len(blank)} of {total} clips, so metrics that need "
            f"the clean recording are undefined for these clips: {some_of(blank)}."
        )
    if equal := [name for name, each in found.items() if each.equals_noisy]:
        notes.append(
            f"The noisy recording equals the clean one in {len(equal)} of {total} clips, so metrics of the noise, "
            f"such as SI_SIR, have no value there: {some_of(equal)}."
        )
    return notes


def _read(clips: ScoreSet, pool: Pool | None) -> Iterator[_Reference]:
    if pool is None:
        yield from map(_reference, clips.clips)
        return
    futures = [pool.submit(_reference, clip, deadline_s=_SECONDS_PER_CLIP + clip.audio_s) for clip in clips.clips]
    for clip, future in zip(clips.clips, futures, strict=True):
        try:
            yield future.result()
        except WorkerDied as error:
            yield _Reference(problem=f"{clip.clean}: {error.problem}")


def _reference(clip: ClipFiles) -> _Reference:
    """Read one clip. This runs in a worker, so errors are returned as values."""
    try:
        clean = reference_audio(clip.clean)
        noisy = None if clip.noisy is None else reference_audio(clip.noisy)
    except AudioFileError as error:
        return _Reference(problem=error.problem)
    if noisy is not None and (difference := difference_to_clean(noisy, clean)):
        return _Reference(problem=f"{clip.noisy}: {difference}")
    blank = is_blank(clean)
    equal = noisy is not None and bool(np.array_equal(noisy.samples, clean.samples))
    return _Reference(blank, equal and not blank)
