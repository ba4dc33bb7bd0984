"""Signals are float32, shape `(n,)`, full scale ±1; times in seconds, levels in dB.

A `Clip` is one item of a set: the clean speech, the degraded input, and the recipe that made it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Audio:
    """A mono signal.

    Raises:
        ValueError: if samples are not float32 of shape `(n,)`, or the rate is not positive.
    """

    samples: Samples
    sample_rate_hz: int

    def __post_init__(self) -> None:
        if self.samples.ndim != 1 or self.samples.dtype != np.float32:
            raise ValueError(
                f"samples are {self.samples.dtype} of shape {self.samples.shape}, not float32 of shape (n,)"
            )
        if self.sample_rate_hz <= 0:
            raise ValueError(f"sample rate {self.sample_rate_hz} Hz is not positive")

    def __len__(self) -> int:
        return int(self.samples.shape[0])

    @property
    def duration_s(self) -> float:
        return len(self) / self.sample_rate_hz


def pcm16(samples: NDArray[np.floating]) -> NDArray[np.int16]:
    """The samples as 16-bit integers, clipped to full scale, as a 16-bit WAV stores them.

    >>> pcm16(np.array([0.5, -1.5], dtype=np.float32)).tolist()
    [16384, -32768]
    """
    scaled = samples * 32768.0
    np.clip(np.rint(scaled, out=scaled), -32768, 32767, out=scaled)
    grid: NDArray[np.int16] = scaled.astype(np.int16)
    return grid


def on_pcm16_grid(samples: NDArray[np.floating]) -> Samples:
    """The samples rounded to 16 bits, so that the signal in memory is exactly what a 16-bit WAV stores.

    >>> on_pcm16_grid(np.array([0.50001])).tolist()
    [0.5]
    """
    return pcm16(samples).astype(np.float32) / np.float32(32768.0)


@dataclass(frozen=True)
class SpeechPiece:
    """A stretch of a recording in a clip.

    `speech` names the recording, `offset_s` is the stretch's start in it. `at_s` is its start in the joined speech
    before the change of speed. `gain` brings it to the level of the clip's first recording.
    """

    speech: str
    offset_s: float
    duration_s: float
    at_s: float
    gain: float


@dataclass(frozen=True)
class ClipRecipe:
    """The recipe of a clip. With the same sources, it makes the same clip again.

    `speech`, `noise` and `rir` name sources in the corpus. A value that the task does not use is None. `fresh` says
    whether no set had used the speech before; it is None if the corpus does not know. The clip of a set with
    variation has `pieces`, the first of them from `speech` at `speech_offset_s`, the `speed` at which they are
    played, and the `equaliser`: pairs of echoes, each by its delay in seconds and its gain.
    """

    speech: str
    speaker: str
    speech_offset_s: float
    noise: str | None = None
    noise_offset_s: float | None = None
    snr_db: float | None = None
    rir: str | None = None
    rt60_s: float | None = None
    extra: dict[str, float | str] = field(default_factory=dict)
    fresh: bool | None = None
    pieces: tuple[SpeechPiece, ...] = ()
    speed: float | None = None
    equaliser: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, eq=False)
class Clip:
    """One item of a set. `clean` and `degraded` have the same rate and length, and 16-bit values.

    Raises:
        ValueError: if their rates or lengths differ.
    """

    id: str
    clean: Audio
    degraded: Audio
    recipe: ClipRecipe

    def __post_init__(self) -> None:
        if (len(self.clean), self.clean.sample_rate_hz) != (len(self.degraded), self.degraded.sample_rate_hz):
            raise ValueError(f"clip {self.id}: clean and degraded have different rates or lengths")

    @property
    def digest(self) -> str:
        """SHA-256 of the clip's id, its rate, its length and the 16-bit samples of both signals."""
        return digest_of_signals(self.id, self.clean, self.degraded)


def digest_of_signals(clip_id: str, clean: Audio, degraded: Audio) -> str:
    """The digest of a clip: see `Clip.digest`."""
    h = hashlib.sha256(f"{clip_id}:{clean.sample_rate_hz}:{len(clean)}:".encode())
    for audio in (clean, degraded):
        h.update(pcm16(audio.samples).astype("<i2").tobytes())
    return h.hexdigest()


def digest_of_digests(digests: dict[str, str]) -> str:
    """One SHA-256 for a whole set: over the lines `id:digest`, sorted by id.

    >>> digest_of_digests({"b": "2", "a": "1"}) == digest_of_digests({"a": "1", "b": "2"})
    True
    """
    lines = "".join(f"{clip_id}:{digests[clip_id]}\n" for clip_id in sorted(digests))
    return hashlib.sha256(lines.encode()).hexdigest()
