"""The audio of a bundle: each signal under the SHA-256 of its WAV file, stored as FLAC.

A WAV of 16-bit mono samples with the plain header of 44 bytes comes back from FLAC byte by byte. Any other WAV is
stored as it is. A FLAC file has one block of metadata, without the name of the encoder and the sizes of frames, so
that every byte of it says something about the audio. Samples are 16-bit integers, shape `(n,)`.
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
_FLAC_START = b"fLaC" + bytes([0x80, 0, 0, 34])
_BLOCK_SAMPLES = (4096).to_bytes(2, "big")
_NO_FRAME_SIZES = bytes(6)
_SMALLEST = 1.0
"""The number of libsndfile for FLAC at its smallest. benchmarks/checking.py measures its time."""


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
    flac = _flac_of(wav)
    if flac is not None:
        try:
            if wav_of(flac, "flac", hashlib.sha256(wav).hexdigest()) == wav:
                return "flac", flac
        except BundleRefused:
            pass  # This encoder writes another form of FLAC.
    return "wav", wav


def _flac_of(wav: bytes) -> bytes | None:
    """The samples of the WAV file as FLAC; None if FLAC cannot give the same file again."""
    import soundfile

    if len(wav) <= _HEADER.size:
        return None
    samples = np.frombuffer(wav, dtype="<i2", offset=_HEADER.size, count=(len(wav) - _HEADER.size) // 2)
    (rate,) = struct.unpack_from("<I", wav, 24)
    if not rate or wav_bytes(samples, rate) != wav:
        return None
    flac = io.BytesIO()
    try:
        soundfile.write(flac, samples, rate, subtype="PCM_16", format="FLAC", compression_level=_SMALLEST)
    except soundfile.LibsndfileError:
        return None  # FLAC does not have every sample rate.
    return _with_one_block(flac.getvalue())


def _with_one_block(flac: bytes) -> bytes | None:
    """The file with STREAMINFO as its only block of metadata; None if it is not FLAC as it was expected."""
    if not flac.startswith(b"fLaC") or flac[4] & 0x7F:
        return None
    info = flac[8:42]
    at, is_last = 4, False
    while not is_last and at + 4 <= len(flac):
        is_last = bool(flac[at] & 0x80)
        at += 4 + int.from_bytes(flac[at + 1 : at + 4], "big")
    return _FLAC_START + info[:4] + _NO_FRAME_SIZES + info[10:] + flac[at:]


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

    usual = _FLAC_START + 2 * _BLOCK_SAMPLES + _NO_FRAME_SIZES
    if not flac.startswith(usual):
        raise BundleRefused(f"The audio {sha256[:16]} is not FLAC with one block of metadata, as a bundle has it")
    try:
        with soundfile.SoundFile(io.BytesIO(flac)) as file:
            plain = (file.format, file.subtype, file.channels) == ("FLAC", "PCM_16", 1)
            if not plain or not 0 < file.frames <= MAX_AUDIO_BYTES // 2:
                raise BundleRefused(f"The audio {sha256[:16]} is not 16-bit mono FLAC of a usual length")
            rate = int(file.samplerate)
            samples = file.read(MAX_AUDIO_BYTES // 2, dtype="int16")
    except (soundfile.SoundFileError, OSError, ValueError, RuntimeError, MemoryError) as error:
        raise BundleRefused(f"The audio {sha256[:16]} cannot be decoded") from error
    if hashlib.md5(samples.astype("<i2").tobytes(), usedforsecurity=False).digest() != flac[26:42]:
        raise BundleRefused(f"The audio {sha256[:16]} has other samples than its header says")
    return wav_bytes(samples, rate)
