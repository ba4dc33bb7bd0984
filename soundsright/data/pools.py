"""Chooses the recording that a clip speaks with: one that no set has used before, or one of the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from soundsright.data.sources import Sources


@dataclass(frozen=True)
class ChosenRecording:
    """A recording of speech by its number, and whether it is a fresh one; None if the source does not say."""

    index: int
    fresh: bool | None


def chosen_recording(
    rng: np.random.Generator, sources: Sources, *, fresh_share: float, number: int | None = None
) -> ChosenRecording:
    """A random recording of speech, with probability `fresh_share` a fresh one, or the one with that number.

    If the source names no fresh recordings, every recording is as likely as any other, and the choice uses no
    random number for the pool. If all recordings are fresh, a fresh one is chosen.
    """
    fresh = sources.fresh
    if number is not None:
        return ChosenRecording(number, number in sources.fresh_numbers if fresh else None)
    count = len(sources.speech)
    if not fresh:
        return ChosenRecording(int(rng.integers(count)), None)
    used = sources.used_numbers
    if used.size == 0 or rng.random() < fresh_share:
        return ChosenRecording(fresh[int(rng.integers(len(fresh)))], True)
    return ChosenRecording(int(used[int(rng.integers(used.size))]), False)
