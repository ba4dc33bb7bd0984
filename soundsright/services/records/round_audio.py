"""The audio of a bundle: each signal under the SHA-256 of its WAV file, stored as FLAC.

A WAV of 16-bit mono samples with the plain header of 44 bytes comes back from FLAC byte by byte. Any other WAV is
stored as it is. Samples are 16-bit integers, shape `(n,)`.
"""

from __future__ import annotations

import hashlib
import io
import struct

import numpy as np
from numpy.typing import NDArray

from soundsright.core.errors import BundleRefused
from soundsright.services.records.round_store import MAX_AUDIO_BYTES

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")


def wav_bytes(samples: NDArray[np.int16], sample_rate_hz: int) -> bytes:
    """The WAV file of a signal: a header of 44 bytes and the samples in little-endian order.

    >>> len(wav_bytes(np.zeros(3, dtype=np.int16), 16_000))
    50
    """
    data = samples.astype("<i2").tobytes()
    form = (b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 1, 1, sample_rate_hz, 2 * sample_rate_hz, 2, 16)
    return _HEADER.pack(*form, b"data", len(data)) + data


def stored_audio(wav: bytes) -> tuple[str, bytes]:
    """The kind of file, `flac` or `wav`, and its bytes, for a WAV file."""
    import soundfile

    if len(wav) > _HEADER.size:
        samples = np.frombuffer(wav, dtype="<i2", offset=_HEADER.size, count=(len(wav) - _HEADER.size) // 2)
        (rate,) = struct.unpack_from("<I", wav, 24)
        if rate and wav_bytes(samples, rate) == wav:
            flac = io.BytesIO()
            try:
                soundfile.write(flac, samples, rate, subtype="PCM_16", format="FLAC")
            except soundfile.LibsndfileError:
                return "wav", wav  # FLAC does not have every sample rate.
            return "flac", flac.getvalue()
    return "wav", wav


def wav_of(stored: bytes, kind: str, sha256: str) -> bytes:
    """The WAV file of the stored audio, which must have the digest.

    Raises:
        BundleRefused: it is not audio of that digest.
    """
    wav = stored if kind == "wav" else _decoded(stored, sha256)
    if hashlib.sha256(wav).hexdigest() != sha256:
        raise BundleRefused(f"The audio {sha256[:16]} has other content than its name says")
    return wav


def _decoded(flac: bytes, sha256: str) -> bytes:
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(flac)) as file:
            plain = (file.format, file.subtype, file.channels) == ("FLAC", "PCM_16", 1)
            if not plain or not 0 < file.frames <= MAX_AUDIO_BYTES // 2:
                raise BundleRefused(f"The audio {sha256[:16]} is not 16-bit mono FLAC of a usual length")
            rate = int(file.samplerate)
            samples = file.read(MAX_AUDIO_BYTES // 2, dtype="int16")
    except (soundfile.SoundFileError, OSError, ValueError, RuntimeError, MemoryError) as error:
        raise BundleRefused(f"The audio {sha256[:16]} cannot be decoded") from error
    return wav_bytes(samples, rate)
