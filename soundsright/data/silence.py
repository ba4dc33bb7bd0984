"""Silence in recordings: signals float32 `(n,)`, full scale ±1; times in seconds, levels in dB re full scale.

A recording is looked at in blocks of 0.1 s. One whose every block is silent can give no clip. In a sparse one, most
stretches are silent, so clips are drawn from stretches that have enough sound.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from soundsright.core.audio import Samples
from soundsright.core.errors import AudioFileError
from soundsright.data.audio_files import read_through
from soundsright.data.levels import SILENT_DB, energy_of
from soundsright.data.recordings import RecordingSet

BLOCK_S = 0.1
NO_SOUND_DB = SILENT_DB - 20.0
"""Speech or an impulse response below this level counts as silent; noise does below `SILENT_DB`."""

_CHUNK_S = 30.0


@dataclass(frozen=True)
class Sound:
    """The energies of the blocks of a signal of `count` samples; the last block can be shorter."""

    energies: NDArray[np.float64]
    block: int
    count: int

    @classmethod
    def of(cls, samples: Samples, sample_rate_hz: int) -> Sound:
        """The energies of a whole signal."""
        block = _block(sample_rate_hz)
        return cls(_energies(samples, block), block, samples.shape[0])

    def silent_share(self, level_db: float = SILENT_DB) -> float:
        """The share of the blocks that are not above the level."""
        sizes = np.minimum(self.block, self.count - self.block * np.arange(self.energies.size))
        return float(np.mean(self.energies <= sizes * 10.0 ** (level_db / 10.0)))

    def starts(self, count: int, level_db: float = SILENT_DB) -> NDArray[np.int64]:
        """The places where a stretch of `count` samples is above the level: at blocks, and at the last place.

        A signal that is shorter than the stretch has one place, its beginning.
        """
        last = max(0, self.count - count)
        starts = np.append(np.arange(0, last, self.block), last)
        until = starts + min(count, self.count)
        total = np.concatenate(([0.0], np.cumsum(self.energies)))
        # Count only the blocks that lie in the stretch as a whole, the last and shorter one included.
        first, stop = (
            -(-starts // self.block),
            np.where(until == self.count, self.energies.size, until // self.block),
        )
        inside = total[np.maximum(first, stop)] - total[first]
        found: NDArray[np.int64] = starts[inside > min(count, self.count) * 10.0 ** (level_db / 10.0)]
        return found


def sound_of(recordings: RecordingSet, index: int, sample_rate_hz: int) -> Sound:
    """The energies of a recording at that rate, from a cache; none if it cannot be used."""
    cache = _sounds.setdefault(recordings, {})
    sound = cache.get((index, sample_rate_hz))
    if sound is None:
        try:
            sound = _measured(recordings, index, sample_rate_hz)
        except AudioFileError:
            sound = Sound(np.zeros(0), _block(sample_rate_hz), 0)
        cache[index, sample_rate_hz] = sound
    return sound


def _measured(recordings: RecordingSet, index: int, sample_rate_hz: int) -> Sound:
    block = _block(sample_rate_hz)
    chunk = block * round(_CHUNK_S / BLOCK_S)
    length = round(recordings.duration_s(index) * sample_rate_hz)
    energies, read = [np.zeros(0)], 0
    while read < length:
        part = recordings.part(index, sample_rate_hz, start=read, count=min(chunk, length - read))
        energies.append(_energies(part, block))
        read += part.shape[0]
        if part.shape[0] < chunk:
            break
    return Sound(np.concatenate(energies), block, read)


def is_silent(path: Path, level_db: float) -> bool:
    """Whether no block of the file is above the level. Reading ends at the first one that is.

    A file that cannot be read as a whole is not called silent: it is reported where it is drawn. Formats that must
    be decoded as a whole are not looked at.
    """
    try:
        for samples in read_through(path, BLOCK_S):
            # NaN compares as false, and is no silence.
            if not energy_of(samples) <= samples.shape[0] * 10.0 ** (level_db / 10.0):
                return False
    except AudioFileError:
        return False
    return True


def silence_problem(level_db: float) -> str:
    """The fault of a recording that never exceeds the level.

    >>> silence_problem(-70.0)
    'is silent: nothing in it is above -70 dB'
    """
    return f"is silent: nothing in it is above {level_db:.0f} dB"


def _block(sample_rate_hz: int) -> int:
    return round(BLOCK_S * sample_rate_hz)


def _energies(samples: Samples, block: int) -> NDArray[np.float64]:
    return np.array([energy_of(part) for part in _parts(samples, block)])


def _parts(samples: Samples, block: int) -> Iterator[Samples]:
    for start in range(0, samples.shape[0], block):
        yield samples[start : start + block]


_sounds: WeakKeyDictionary[RecordingSet, dict[tuple[int, int], Sound]] = WeakKeyDictionary()
