"""WAV files in memory: the harness sends them to a model or a prover, and these return them.

A signal to encode is a float32 array of shape `(n,)`, full scale ±1. A decoded file has the shape `(n, channels)`
and the number type of the file.

The decoder is plain Python with checked bounds, because the files come from strangers: a fault in a C
decoder could be exploited. A file that contradicts its header is refused. The decoder reads linear PCM of 16, 24 or
32 bits and IEEE float of 32 or 64 bits, plain or extensible (RIFF/WAVE, "Multiple Channel Audio Data and WAVE
Files", Microsoft 2007).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soundsright.core.audio import Audio, pcm16

_PCM, _FLOAT, _EXTENSIBLE = 0x0001, 0x0003, 0xFFFE
_MAX_CHUNKS = 64
_MAX_CHANNELS = 64

HEADER_ALLOWANCE_BYTES = 65_536
"""Allowed for headers and tags, besides the samples."""


class WavRefused(ValueError):
    """The bytes are not a WAV file that this module can read."""


@dataclass(frozen=True, eq=False)
class Wav:
    """`samples`: shape `(n, channels)`; int16, int32 (24 bits are shifted up), float32 or float64."""

    samples: NDArray[Any]
    sample_rate_hz: int


def encode_wav(audio: Audio) -> bytes:
    """The signal as a mono 16-bit WAV, clipped to full scale.

    >>> len(encode_wav(Audio(np.zeros(10, np.float32), 16_000)))
    64
    """
    data = pcm16(audio.samples).astype("<i2").tobytes()
    rate = audio.sample_rate_hz
    fmt = struct.pack("<HHIIHH", _PCM, 1, rate, 2 * rate, 2, 16)
    head = struct.pack("<4sI4s4sI", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", len(fmt))
    return head + fmt + struct.pack("<4sI", b"data", len(data)) + data


def decode_wav(data: bytes) -> Wav:
    """The samples of a WAV file.

    Raises:
        WavRefused: if the data is no WAV file, is cut short, contradicts its header, or uses another coding.

    >>> decode_wav(encode_wav(Audio(np.float32([0.5, -1.0]), 16_000))).samples.ravel().tolist()
    [16384, -32768]
    """
    if len(data) < 12 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise WavRefused("not a RIFF/WAVE file")
    position, layout = 12, None
    for _ in range(_MAX_CHUNKS):
        if position + 8 > len(data):
            break
        name, size = struct.unpack_from("<4sI", data, position)
        start, position = position + 8, position + 8 + size + (size & 1)
        if start + size > len(data):
            raise WavRefused(f"chunk {name!r} claims {size} bytes, but the file has only {len(data) - start}")
        if name == b"fmt ":
            layout = _layout(data[start : start + min(size, 64)])
        elif name == b"data":
            if layout is None:
                raise WavRefused("the samples come before their format chunk")
            return _samples(memoryview(data)[start : start + size], *layout)
    raise WavRefused("the file has no samples")


def mono_pcm16(data: bytes) -> tuple[NDArray[np.int16], int]:
    """The samples of a mono 16-bit WAV, shape `(n,)`, and its rate in Hz.

    Raises:
        WavRefused: as `decode_wav`, or the file has more channels or another coding.

    >>> mono_pcm16(encode_wav(Audio(np.float32([0.5, -1.0]), 16_000)))[0].tolist()
    [16384, -32768]
    """
    wav = decode_wav(data)
    if wav.samples.shape[1] != 1 or wav.samples.dtype != np.int16:
        bits = 8 * wav.samples.dtype.itemsize
        raise WavRefused(f"it has {wav.samples.shape[1]} channels of {bits} bits; give one channel of 16 bits")
    return wav.samples[:, 0], wav.sample_rate_hz


def _layout(fmt: bytes) -> tuple[int, int, int, int]:
    if len(fmt) < 16:
        raise WavRefused(f"the format chunk of {len(fmt)} bytes is too short")
    coding, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", fmt)
    if coding == _EXTENSIBLE and len(fmt) >= 40:
        (coding,) = struct.unpack_from("<H", fmt, 24)
    if (coding, bits) not in {(_PCM, 16), (_PCM, 24), (_PCM, 32), (_FLOAT, 32), (_FLOAT, 64)}:
        raise WavRefused(
            f"its coding is {coding:#06x} of {bits} bits; use PCM of 16, 24 or 32 bits, or float of 32 or 64 bits"
        )
    if not 1 <= channels <= _MAX_CHANNELS or block != channels * bits // 8:
        raise WavRefused(f"the header gives {channels} channels of {bits} bits in blocks of {block} bytes")
    return coding, channels, rate, bits


def _samples(data: memoryview, coding: int, channels: int, rate: int, bits: int) -> Wav:
    block = channels * bits // 8
    if len(data) % block:
        raise WavRefused(f"{len(data)} bytes of samples are not a multiple of {block}, the bytes per frame")
    flat: NDArray[Any]
    if bits == 24:
        flat = np.zeros((len(data) // 3, 4), np.uint8)
        flat[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        flat = flat.reshape(-1).view("<i4")
    else:
        flat = np.frombuffer(data, f"<{'f' if coding == _FLOAT else 'i'}{bits // 8}")
    return Wav(flat.reshape(-1, channels), rate)
