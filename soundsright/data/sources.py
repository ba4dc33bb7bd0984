"""The sources of a clip: speech, noise and rooms. Signals float32 `(n,)`, times in seconds, rates in Hz.

A source draws only from the generator that it gets, so the same generator state gives the same result in any
process. Sources can be pickled: each worker gets its own copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from soundsright.core.audio import Samples
from soundsright.core.errors import AudioFileError, UsageError
from soundsright.core.ports import SpeechSource
from soundsright.data.levels import SILENT_DB, power_db
from soundsright.data.mixing import looped
from soundsright.data.recordings import RecordingSet
from soundsright.data.reverb import Room
from soundsright.data.rooms import simulated_room
from soundsright.data.splits import Split

_TRIES = 8


@dataclass(frozen=True, eq=False)
class NoiseSegment:
    """A stretch of noise: its source's id, its samples, and its offset in the source.

    `recording` and `speakers` name the material that splits keep apart; noise by formula has neither. `level_db` is
    the mean power of the samples if the source has measured it.
    """

    id: str
    samples: Samples
    offset_s: float
    recording: str = ""
    speakers: frozenset[str] = frozenset()
    level_db: float | None = None


class NoiseSource(Protocol):
    """Noise of any length. `avoid` is the speaker of the clip, whose voice babble must not contain."""

    def draw(
        self, rng: np.random.Generator, count: int, sample_rate_hz: int, *, avoid: str = ""
    ) -> NoiseSegment: ...


class RoomSource(Protocol):
    """Impulse responses."""

    def draw(self, rng: np.random.Generator, sample_rate_hz: int) -> Room: ...


@dataclass(frozen=True, eq=False)
class Sources:
    """The sources of a set. A source that the task does not use is None.

    With `in_order`, clip i uses utterance i (modulo their number) instead of a random one. This suits a paid
    synthesiser, because every utterance is then used. `split` limits all sources; sets of two splits differ in
    every random choice. `fresh` has the numbers of the recordings of speech that no set has used before; if it is
    empty, the source makes no such difference.

    Raises:
        UsageError: a fresh recording is not in the source.
    """

    speech: SpeechSource
    noise: NoiseSource | None = None
    rooms: RoomSource | None = None
    in_order: bool = False
    split: Split | None = None
    fresh: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.speech)
        outside = [number for number in self.fresh if not 0 <= number < count]
        if outside:
            raise UsageError(
                f"Fresh recording {outside[0]} is not among the {count} recordings of speech",
                "Number the recordings of the source from 0.",
            )


@dataclass(frozen=True, eq=False)
class RecordedNoise:
    """Segments of recordings. A recording shorter than the clip is looped with a cross-fade."""

    recordings: RecordingSet

    def draw(self, rng: np.random.Generator, count: int, sample_rate_hz: int, *, avoid: str = "") -> NoiseSegment:
        """A segment of a recording. A silent segment is drawn again.

        Raises:
            AudioFileError: a recording cannot be used, or only silence was found.
        """
        source = self.recordings
        for _ in range(_TRIES):
            index = int(rng.integers(len(source)))
            available = round(source.duration_s(index) * sample_rate_hz)
            start = int(rng.integers(max(1, available - count + 1)))
            segment = source.part(index, sample_rate_hz, start=start, count=count)
            level_db = power_db(segment)
            if level_db > SILENT_DB:
                samples = looped(segment, count, sample_rate_hz)
                recording = source.recordings[index]
                known = level_db if samples.shape == segment.shape else None
                return NoiseSegment(recording.id, samples, start / sample_rate_hz, recording.group, level_db=known)
        raise AudioFileError(
            source.recordings[index].path, f"is silent, like the {_TRIES - 1} segments drawn before it"
        )


@dataclass(frozen=True, eq=False)
class Rooms:
    """Simulated rooms and, for the share `measured` of the clips, measured ones.

    Without measured responses, every room is simulated. `rt60_s` is the range of reverberation times. The measured
    responses belong to `split`, which also limits the simulated rooms.
    """

    measured_rirs: RecordingSet
    measured: float
    rt60_s: tuple[float, float]
    split: Split | None = None

    def draw(self, rng: np.random.Generator, sample_rate_hz: int) -> Room:
        """A room. A measured room that rings longer than the longest `rt60_s` is drawn again.

        Raises:
            AudioFileError: an impulse response cannot be used.
            UsageError: no measured response is short enough.
        """
        if not (rng.random() < self.measured and len(self.measured_rirs)):
            return simulated_room(rng, sample_rate_hz, rt60_s=self.rt60_s, split=self.split)
        for _ in range(_TRIES):
            index = int(rng.integers(len(self.measured_rirs)))
            name = self.measured_rirs.utterance_id(index)
            room = self.measured_rirs.room(index, sample_rate_hz)
            if room.rt60_s <= 1.1 * self.rt60_s[1]:
                return room
        raise UsageError(
            f"{_TRIES} impulse responses in a row ring longer than {self.rt60_s[1]:g} s, such as {name}",
            "Raise the longest RT60 or give other impulse responses.",
        )
