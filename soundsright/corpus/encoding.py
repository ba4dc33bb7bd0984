"""Recordings as FLAC, and the digests by which the same recording is recognised. Signals are float32 `(n,)`."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from soundsright.core.audio import Audio, Samples
from soundsright.core.errors import AudioFileError
from soundsright.corpus.layout import MAX_SEALED_BYTES
from soundsright.corpus.material import NewRecording
from soundsright.corpus.records import MAX_RATE_HZ
from soundsright.data import FULL_BAND_HZ, SILENT_DB, Corpus, Recording, bandwidth_hz, read_flac

__all__ = ["FULL_BAND_HZ", "Encoded", "Known", "encoded_pieces", "flac", "samples_digest"]

PIECE_S = 30.0
"""Longer recordings of speech and noise are cut into pieces of at most this length, so that each has a life."""
MIN_RATE_HZ = 16_000
MIN_S = {"speech": 0.5, "noise": 0.05, "rir": 0.0}


@dataclass(frozen=True)
class Encoded:
    """A recording, or a piece of one, as a FLAC file in memory.

    `whole_sha256` is the digest of the samples of the whole recording; it is empty if nobody needs it.
    """

    name: str
    content: bytes = field(repr=False)
    sha256: str
    samples_sha256: str
    whole_sha256: str
    whole_frames: int
    sample_rate_hz: int
    duration_s: float
    is_whole: bool
    bandwidth_hz: float | None


def samples_digest(audio: Audio) -> str:
    """SHA-256 over the rate and the samples as a FLAC file stores them, the same for every lossless format."""
    samples = audio.samples.astype("<f4", copy=False)
    return hashlib.sha256(f"{audio.sample_rate_hz}:{samples.shape[0]}:".encode() + samples.tobytes()).hexdigest()


def flac(audio: Audio) -> bytes:
    """A FLAC file of the signal: 16 bits if they are exact, otherwise 24. A signal above full scale is scaled."""
    import soundfile

    samples = audio.samples.astype(np.float64)
    peak = float(np.abs(samples).max(initial=0.0))
    if peak > 1.0:
        samples *= 0.999 / peak
    steps = samples * 32_768.0
    is_16_bit = bool((steps == np.round(steps)).all())
    scale, subtype = (65_536, "PCM_16") if is_16_bit else (256, "PCM_24")
    limit = 2**31 // scale - 1
    whole = np.clip(np.round(samples * (2**31 // scale)), -limit - 1, limit).astype(np.int64) * scale
    stream = io.BytesIO()
    soundfile.write(stream, whole.astype(np.int32), audio.sample_rate_hz, format="FLAC", subtype=subtype)
    return stream.getvalue()


def encoded_pieces(
    item: NewRecording, needs_whole: Callable[[int, int], bool] = lambda rate_hz, frames: False
) -> list[Encoded]:
    """The recording as FLAC, in pieces if it is long.

    `needs_whole` says for a sample rate and a length whether the digest of the whole recording is needed.

    Raises:
        AudioFileError: it cannot be read, or no set could use it.
    """
    audio = item.read()
    _check(item, audio)
    count = 1 if item.kind == "rir" else int(np.ceil(audio.duration_s / PIECE_S - 1e-9))
    bounds = np.linspace(0, len(audio), count + 1).round().astype(int).tolist()
    whole = "" if count > 1 else None
    pieces = []
    for number, (start, stop) in enumerate(pairwise(bounds), 1):
        samples = np.ascontiguousarray(audio.samples[start:stop])
        if count > 1 and _is_silent(samples):
            continue
        name = item.name if count == 1 else f"{item.name} ({number} of {count})"
        pieces.append(_encoded(item, name, Audio(samples, audio.sample_rate_hz), len(audio), whole))
    if count > 1 and needs_whole(audio.sample_rate_hz, len(audio)):
        digest = samples_digest(read_flac(flac(audio), item.name))
        pieces = [replace(piece, whole_sha256=digest) for piece in pieces]
    return pieces


def _encoded(item: NewRecording, name: str, audio: Audio, whole_frames: int, whole: str | None) -> Encoded:
    content = flac(audio)
    if len(content) > MAX_SEALED_BYTES - 100:
        raise AudioFileError(name, f"is larger than {MAX_SEALED_BYTES} bytes as FLAC", "Split the file.")
    digest = samples_digest(read_flac(content, name))
    bandwidth = item.bandwidth_hz
    # Only a high rate can hide an upsampled recording; at a low rate the band counts as filled.
    if bandwidth is None and audio.sample_rate_hz > 2 * FULL_BAND_HZ and item.kind != "rir":
        bandwidth = bandwidth_hz(audio.samples, audio.sample_rate_hz)
    return Encoded(
        name=name,
        content=content,
        sha256=hashlib.sha256(content).hexdigest(),
        samples_sha256=digest,
        whole_sha256=digest if whole is None else whole,
        whole_frames=whole_frames,
        sample_rate_hz=audio.sample_rate_hz,
        duration_s=len(audio) / audio.sample_rate_hz,
        is_whole=whole is None,
        bandwidth_hz=bandwidth,
    )


def _check(item: NewRecording, audio: Audio) -> None:
    if audio.sample_rate_hz < MIN_RATE_HZ:
        raise AudioFileError(item.name, f"is sampled at {audio.sample_rate_hz} Hz; {MIN_RATE_HZ} Hz are needed")
    if audio.sample_rate_hz > MAX_RATE_HZ:
        raise AudioFileError(item.name, f"is sampled at {audio.sample_rate_hz} Hz; the limit is {MAX_RATE_HZ} Hz")
    if audio.duration_s < MIN_S[item.kind]:
        raise AudioFileError(item.name, f"is {audio.duration_s:.2f} s long; {MIN_S[item.kind]:g} s are needed")
    if item.kind == "rir" and audio.duration_s > PIECE_S:
        raise AudioFileError(
            item.name, f"is {audio.duration_s:.0f} s long; an impulse response has at most {PIECE_S:g} s"
        )
    if _is_silent(audio.samples):
        raise AudioFileError(item.name, "is silent")


def _is_silent(samples: Samples) -> bool:
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    limit: float = 10.0 ** ((SILENT_DB - 20.0) / 10.0)
    return power <= limit


class Known:
    """Recordings that must not enter a private corpus, because they are public or already in it.

    `digests` maps digests of samples to places. The recordings of public corpora are read only if one has the rate
    and the length of a new recording.
    """

    def __init__(
        self, digests: Mapping[str, str] | None = None, public: Mapping[str, Corpus] | None = None
    ) -> None:
        self._digests = dict(digests or {})
        self._by_shape: dict[tuple[int, int], list[tuple[str, Recording]]] = {}
        self._read: set[tuple[int, int]] = set()
        for place, corpus in (public or {}).items():
            for recording in (*corpus.speech, *corpus.noise, *corpus.rirs):
                self._by_shape.setdefault(_shape_of(recording), []).append((place, recording))

    def with_digests(self, digests: Mapping[str, str]) -> Known:
        """These recordings and those of the digests."""
        joined = Known({**self._digests, **digests})
        joined._by_shape = self._by_shape
        return joined

    def may_have(self, rate_hz: int, frames: int) -> bool:
        """Whether a public recording has this sample rate and length."""
        return (rate_hz, frames) in self._by_shape

    def place_of(self, piece: Encoded) -> str | None:
        """Where the recording of this piece is already; None if it is new."""
        shape = (piece.sample_rate_hz, piece.whole_frames)
        for place, recording in self._by_shape.get(shape, []) if shape not in self._read else []:
            audio = recording.audio()
            digest = samples_digest(read_flac(flac(audio), recording.path))
            self._digests.setdefault(digest, f"{place} as {recording.id}")
        self._read.add(shape)
        return self._first_place((piece.samples_sha256, piece.whole_sha256))

    def _first_place(self, digests: Iterable[str]) -> str | None:
        return next((self._digests[digest] for digest in digests if digest in self._digests), None)


def _shape_of(recording: Recording) -> tuple[int, int]:
    return recording.sample_rate_hz, round(recording.duration_s * recording.sample_rate_hz)
