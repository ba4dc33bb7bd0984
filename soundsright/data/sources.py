"""The sources of a clip: speech, noise and rooms. Signals float32 `(n,)`, times in seconds, rates in Hz.

A source draws only from the generator that it gets, so the same generator state gives the same result in any
process. Sources can be pickled: each worker gets its own copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from soundsright.core.audio import Samples
from soundsright.core.errors import SilentRecording, UsageError
from soundsright.core.ports import SpeechSource
from soundsright.data.levels import SILENT_DB, power_db
from soundsright.data.mixing import CROSS_FADE_S, looped
from soundsright.data.recordings import RecordingSet
from soundsright.data.reverb import Room
from soundsright.data.rooms import simulated_room
from soundsright.data.silence import sound_of
from soundsright.data.splits import Split
from soundsright.data.turns import Picked, Turn

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
    """Noise of any length. `avoid` is the speaker of the clip, whose voice babble must not contain.

    With a turn, the clips of a set share the noises equally. Without one, each clip draws for itself.
    """

    def draw(
        self,
        rng: np.random.Generator,
        count: int,
        sample_rate_hz: int,
        *,
        avoid: str = "",
        turn: Turn | None = None,
    ) -> NoiseSegment: ...


class RoomSource(Protocol):
    """Impulse responses. With a turn, the clips of a set share the measured rooms equally."""

    def draw(self, rng: np.random.Generator, sample_rate_hz: int, *, turn: Turn | None = None) -> Room: ...


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
    """Segments of recordings. A recording shorter than the clip is looped with a cross-fade.

    If a turn finds only silence in its recording, another one is drawn. With `seeks_sound`, the turn looks for
    sound in its own recording first. Rounds do not, so that the clips of earlier rounds can be drawn again.
    """

    recordings: RecordingSet
    seeks_sound: bool = False

    def __len__(self) -> int:
        return len(self.recordings)

    def draw(
        self,
        rng: np.random.Generator,
        count: int,
        sample_rate_hz: int,
        *,
        avoid: str = "",
        turn: Turn | None = None,
    ) -> NoiseSegment:
        """A segment of a recording. A silent segment is drawn again, and at last where there is sound.

        Raises:
            AudioFileError: a recording cannot be used, or all of them are silent.
        """
        source = self.recordings
        if turn is not None and (found := self.segment(turn.of(len(self)), count, sample_rate_hz)):
            return found
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
        for number in range(index, index + len(source)):
            if found := self._where_it_sounds(number % len(source), count, sample_rate_hz, float(rng.random())):
                return found
        raise SilentRecording(
            source.recordings[index].path, f"is silent, like all {len(source)} recordings of noise"
        )

    def _where_it_sounds(self, index: int, count: int, rate: int, place: float) -> NoiseSegment | None:
        """A segment of the recording that is not silent, chosen by `place` in [0, 1); None if there is none."""
        starts = sound_of(self.recordings, index, rate).starts(count)
        if not starts.size:
            return None
        start = int(starts[int(place * starts.size)])
        segment = self.recordings.part(index, rate, start=start, count=count)
        samples = looped(segment, count, rate)
        level_db = power_db(samples)
        recording = self.recordings.recordings[index]
        if level_db <= SILENT_DB:
            return None
        return NoiseSegment(recording.id, samples, start / rate, recording.group, level_db=level_db)

    def segment(self, picked: Picked, count: int, sample_rate_hz: int) -> NoiseSegment | None:
        """A segment of the picked recording, at another place for each use; None if it is silent at all of them.

        A recording that is shorter than two clips continues with its beginning, so that it has many places.

        Raises:
            AudioFileError: the recording cannot be used.
        """
        source, recording = self.recordings, self.recordings.recordings[picked.number]
        length = round(recording.duration_s * sample_rate_hz)
        for attempt in range(_TRIES):
            place = picked.place(attempt)
            if length < 2 * count:
                whole = source.part(picked.number, sample_rate_hz, start=0, count=length)
                start = int(place * whole.shape[0])
                samples = whole[start : start + count]
                if start + count > whole.shape[0] - round(CROSS_FADE_S * sample_rate_hz):
                    samples = looped(whole, start + count, sample_rate_hz)[start:]
            else:
                start = int(place * (length - count + 1))
                part = source.part(picked.number, sample_rate_hz, start=start, count=count)
                samples = looped(part, count, sample_rate_hz)
            level_db = power_db(samples)
            if level_db > SILENT_DB:
                return NoiseSegment(
                    recording.id, samples, start / sample_rate_hz, recording.group, level_db=level_db
                )
        if self.seeks_sound:
            return self._where_it_sounds(picked.number, count, sample_rate_hz, picked.place())
        return None


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

    def draw(self, rng: np.random.Generator, sample_rate_hz: int, *, turn: Turn | None = None) -> Room:
        """A room. A measured room that rings longer than the longest `rt60_s` is drawn again, at last in order.

        Raises:
            AudioFileError: an impulse response cannot be used.
            UsageError: no measured response is short enough.
        """
        count = len(self.measured_rirs)
        if turn is None:
            measured = rng.random() < self.measured and count > 0
        else:
            measured, turn = turn.parted(self.measured if count else 0.0)
        if not measured:
            return simulated_room(rng, sample_rate_hz, rt60_s=self.rt60_s, split=self.split)
        for attempt in range(_TRIES):
            index = int(rng.integers(count)) if turn is None or attempt else turn.of(count).number
            room = self.measured_rirs.room(index, sample_rate_hz)
            if room.rt60_s <= 1.1 * self.rt60_s[1]:
                return room
        for number in range(index + 1, index + count):
            room = self.measured_rirs.room(number % count, sample_rate_hz)
            if room.rt60_s <= 1.1 * self.rt60_s[1]:
                return room
        raise UsageError(
            f"All {count} impulse responses ring longer than {self.rt60_s[1]:g} s, such as "
            f"{self.measured_rirs.utterance_id(index)}",
            "Raise the longest RT60 or give other impulse responses.",
        )
