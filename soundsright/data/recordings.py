"""Signals are float32, shape `(n,)`, full scale ±1; times in seconds.

A set of recordings, addressed by number and read at any rate. It implements the `SpeechSource` port, and serves
noise and impulse responses in the same way. Short files are decoded and resampled once and cached. A long file is
read only in the requested part.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from soundsright.core.audio import Audio, Samples
from soundsright.core.errors import AudioFileError, SilentRecording
from soundsright.data.audio_files import facts_of, read_file, read_flac, resampled
from soundsright.data.levels import SILENT_DB, power_db
from soundsright.data.reverb import Room
from soundsright.data.splits import Split

CACHE_BYTES = 96_000_000
"""The size of the cache of one set. With three sets and two workers, memory stays within 600 MB."""
LONG_FILE_S = 60.0
MAX_ROOMS = 64

# Extra audio around a part of a long file, so that the resampler's edges fall outside the part.
_GUARD_S = 0.05


class Sealed(Protocol):
    """An encrypted file whose content is read into memory only, such as a recording of a private corpus."""

    def read(self) -> bytes:
        """The FLAC file that was encrypted.

        Raises:
            AudioFileError: the file is missing or was changed.
        """
        ...


@dataclass(frozen=True)
class Recording:
    """One file of a corpus and its facts. `bandwidth_hz` is None if it was not measured.

    `group` is the unit that a split keeps together: the speaker, the noise recording or the room. By default it is
    the speaker, or the file if there is none. With `group_is_guessed`, nothing but the place of the file says which
    group it has. `split` is the corpus's own split, or None. `fresh` marks speech that no set has used before. With
    `sealed`, `path` is an encrypted file.
    """

    id: str
    path: Path
    sample_rate_hz: int
    duration_s: float
    speaker: str = ""
    language: str | None = None
    text: str | None = None
    licence: str | None = None
    bandwidth_hz: float | None = None
    sha256: str | None = None
    group: str = ""
    split: Split | None = None
    fresh: bool = False
    source: str | None = None
    sealed: Sealed | None = field(default=None, repr=False)
    group_is_guessed: bool = False

    def __post_init__(self) -> None:
        if not self.group:
            object.__setattr__(self, "group", self.speaker or self.id)

    def audio(self, *, start_s: float = 0.0, duration_s: float | None = None) -> Audio:
        """The first channel from `start_s` on, for `duration_s` or to the end, at the file's own rate.

        Raises:
            AudioFileError: the file cannot be used.
        """
        if self.sealed is None:
            return read_file(self.path, start_s=start_s, duration_s=duration_s)
        # A few bytes of FLAC can decode to hours, so a file must not be longer than its description says.
        whole = read_flac(self.sealed.read(), self.path, max_s=self.duration_s + 1.0)
        start = round(start_s * whole.sample_rate_hz)
        stop = None if duration_s is None else start + round(duration_s * whole.sample_rate_hz)
        samples = whole.samples[start:stop]
        if samples.size == 0:
            raise AudioFileError(self.path, "has no samples")
        return Audio(samples, whole.sample_rate_hz)


class RecordingSet:
    """Recordings with a bounded cache of decoded audio. A copy in another process starts with an empty cache.

    `fresh` has the numbers of the recordings that no set has used before.
    """

    def __init__(self, recordings: Sequence[Recording], *, cache_bytes: int = CACHE_BYTES) -> None:
        self.recordings = tuple(recordings)
        self.cache_bytes = cache_bytes
        self._cache: OrderedDict[tuple[int, int], Samples] = OrderedDict()
        self._cached_bytes = 0
        self._rooms: dict[tuple[int, int], Room] = {}
        self.fresh = tuple(number for number, recording in enumerate(self.recordings) if recording.fresh)

    def __len__(self) -> int:
        return len(self.recordings)

    def __getstate__(self) -> dict[str, Any]:
        return {"recordings": self.recordings, "cache_bytes": self.cache_bytes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["recordings"], cache_bytes=state["cache_bytes"])  # type: ignore[misc]

    def utterance_id(self, index: int) -> str:
        return self.recordings[index].id

    def speaker(self, index: int) -> str:
        return self.recordings[index].speaker

    def text(self, index: int) -> str | None:
        return self.recordings[index].text

    def duration_s(self, index: int) -> float:
        return self.recordings[index].duration_s

    def read(self, index: int, sample_rate_hz: int) -> Audio:
        """The whole recording at that rate.

        Raises:
            AudioFileError: the file cannot be used.
        """
        return Audio(self.samples(index, sample_rate_hz), sample_rate_hz)

    def samples(self, index: int, sample_rate_hz: int) -> Samples:
        """As `read`, but the cached array itself, which is read-only."""
        key = (index, sample_rate_hz)
        cached = self._cache.get(key)
        if cached is None:
            audio = self.recordings[index].audio()
            if power_db(audio.samples) <= SILENT_DB - 20.0:
                raise SilentRecording(self.recordings[index].path, "is silent")
            cached = resampled(audio.samples, audio.sample_rate_hz, sample_rate_hz)
            cached.flags.writeable = False
            self._cache[key] = cached
            self._cached_bytes += cached.nbytes
            while self._cached_bytes > self.cache_bytes and len(self._cache) > 1:
                _, dropped = self._cache.popitem(last=False)
                self._cached_bytes -= dropped.nbytes
        else:
            self._cache.move_to_end(key)
        return cached

    def part(self, index: int, sample_rate_hz: int, *, start: int, count: int) -> Samples:
        """`count` samples from sample `start` on, both at `sample_rate_hz`; fewer at the recording's end."""
        recording = self.recordings[index]
        if recording.duration_s <= LONG_FILE_S:
            return self.samples(index, sample_rate_hz)[start : start + count]
        native = recording.sample_rate_hz
        # Start at a whole second, which is a whole sample at every rate, so a part does not depend on where reading
        # begins.
        first_s = max(0, int(start / sample_rate_hz - _GUARD_S))
        until_s = int(np.ceil((start + count) / sample_rate_hz + _GUARD_S))
        audio = recording.audio(start_s=first_s, duration_s=until_s - first_s)
        samples = resampled(audio.samples, native, sample_rate_hz)
        offset = start - first_s * sample_rate_hz
        return samples[offset : offset + count]

    def room(self, index: int, sample_rate_hz: int) -> Room:
        """The recording as an impulse response. It is analysed once and cached.

        Raises:
            AudioFileError: the file cannot be used.
        """
        key = (index, sample_rate_hz)
        room = self._rooms.get(key)
        if room is None:
            if len(self._rooms) >= MAX_ROOMS:
                self._rooms.clear()
            recording = self.recordings[index]
            samples = self.samples(index, sample_rate_hz)
            room = Room.of(recording.id, samples, sample_rate_hz, group=recording.group)
            self._rooms[key] = room
        return room


def recording_of(
    path: Path, recording_id: str, *, speaker: str = "", group: str = "", split: Split | None = None
) -> Recording:
    """The `Recording` of a file, from its header.

    Raises:
        AudioFileError: the file cannot be used.
    """
    facts = facts_of(path)
    duration = facts.duration_s
    if duration is None:
        audio = read_file(path)
        duration = audio.duration_s
    return Recording(recording_id, path, facts.sample_rate_hz, duration, speaker, group=group, split=split)
