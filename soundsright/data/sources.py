"""What a clip is drawn from: signals float32 `(n,)`, times in seconds, rates in Hz.

A source of noise or rooms is asked with a generator and answers from it alone; the same state gives the same answer
in any process. Sources are picklable: each worker gets its own copy.
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
    """`count` samples of noise, where they come from, and where in it they begin.

    `recording` and `speakers` name what a split keeps apart; noise by formula has neither.
    """

    id: str
    samples: Samples
    offset_s: float
    recording: str = ""
    speakers: frozenset[str] = frozenset()


class NoiseSource(Protocol):
    """Noise of any length. `avoid` is the speaker of the clip: babble must not hold the same voice."""

    def draw(
        self, rng: np.random.Generator, count: int, sample_rate_hz: int, *, avoid: str = ""
    ) -> NoiseSegment: ...


class RoomSource(Protocol):
    """Impulse responses."""

    def draw(self, rng: np.random.Generator, sample_rate_hz: int) -> Room: ...


@dataclass(frozen=True, eq=False)
class Sources:
    """All that a set is made from. What a task does not use may be None.

    `in_order` says that clip i speaks utterance i (modulo their number) instead of a drawn one: right for a
    synthesiser, where an utterance that is never drawn was paid for in vain. `split` is the one that all of them
    are limited to: sets of two splits differ in every draw.
    """

    speech: SpeechSource
    noise: NoiseSource | None = None
    rooms: RoomSource | None = None
    in_order: bool = False
    split: Split | None = None


@dataclass(frozen=True, eq=False)
class RecordedNoise:
    """Segments of recordings, looped with a cross-fade where a recording is shorter than the clip."""

    recordings: RecordingSet

    def draw(self, rng: np.random.Generator, count: int, sample_rate_hz: int, *, avoid: str = "") -> NoiseSegment:
        """A segment of a recording; drawn again where the recording is silent there.

        Raises:
            AudioFileError: a recording cannot be used, or only silence was found.
        """
        source = self.recordings
        for _ in range(_TRIES):
            index = int(rng.integers(len(source)))
            available = round(source.duration_s(index) * sample_rate_hz)
            start = int(rng.integers(max(1, available - count + 1)))
            segment = source.part(index, sample_rate_hz, start=start, count=count)
            if power_db(segment) > SILENT_DB:
                samples = looped(segment, count, sample_rate_hz)
                recording = source.recordings[index]
                return NoiseSegment(recording.id, samples, start / sample_rate_hz, recording.group)
        raise AudioFileError(source.recordings[index].path, f"is silent, like {_TRIES - 1} noises drawn before it")


@dataclass(frozen=True, eq=False)
class Rooms:
    """Simulated rooms and, for a share of the clips, measured ones.

    `measured` is that share; without measured responses every room is simulated, and with a share of 1 none is.
    `split` is the one that the measured ones belong to, and limits the simulated ones to it.
    """

    measured_rirs: RecordingSet
    measured: float
    rt60_s: tuple[float, float]
    split: Split | None = None

    def draw(self, rng: np.random.Generator, sample_rate_hz: int) -> Room:
        """A room; of measured ones only those whose time lies below the longest asked for.

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
