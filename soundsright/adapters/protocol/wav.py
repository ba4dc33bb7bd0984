"""WAV in memory: what a model is given, and what a stranger's model returns.

Signals are float32, shape `(n,)`, full scale ±1; a decoded file is shape `(n, channels)` in the file's own
number type.

The reader is written here, in bounds-checked Python, because the bytes come from strangers: no C decoder sees
them, and a file is either exactly what its header says or refused. It reads linear PCM of 16, 24 or 32 bits and
IEEE float of 32 or 64 bits, plain or extensible (RIFF/WAVE, "Multiple Channel Audio Data and WAVE Files",
Microsoft 2007).
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
"""What a WAV may hold beside its samples: headers and tags."""


class WavRefused(ValueError):
    """Bytes that are not a WAV of a kind that is read here."""


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
    """The samples of a WAV.

    Raises:
        WavRefused: if it is none, is cut short, lies about its sizes, or holds a coding that is not read here.

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
            raise WavRefused(f"chunk {name!r} claims {size} bytes, {len(data) - start} are there")
        if name == b"fmt ":
            layout = _layout(data[start : start + min(size, 64)])
        elif name == b"data":
            if layout is None:
                raise WavRefused("samples come before their format")
            return _samples(memoryview(data)[start : start + size], *layout)
    raise WavRefused("no samples")


def _layout(fmt: bytes) -> tuple[int, int, int, int]:
    if len(fmt) < 16:
        raise WavRefused(f"a format chunk of {len(fmt)} bytes")
    coding, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", fmt)
    if coding == _EXTENSIBLE and len(fmt) >= 40:
        (coding,) = struct.unpack_from("<H", fmt, 24)
    if (coding, bits) not in {(_PCM, 16), (_PCM, 24), (_PCM, 32), (_FLOAT, 32), (_FLOAT, 64)}:
        raise WavRefused(f"coding {coding:#06x} of {bits} bits; PCM of 16, 24, 32 or float of 32, 64 is read")
    if not 1 <= channels <= _MAX_CHANNELS or block != channels * bits // 8:
        raise WavRefused(f"{channels} channels in blocks of {block} bytes")
    return coding, channels, rate, bits


def _samples(data: memoryview, coding: int, channels: int, rate: int, bits: int) -> Wav:
    block = channels * bits // 8
    if len(data) % block:
        raise WavRefused(f"{len(data)} bytes of samples are no multiple of {block}")
    flat: NDArray[Any]
    if bits == 24:
        flat = np.zeros((len(data) // 3, 4), np.uint8)
        flat[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        flat = flat.reshape(-1).view("<i4")
    else:
        flat = np.frombuffer(data, f"<{'f' if coding == _FLOAT else 'i'}{bits // 8}")
    return Wav(flat.reshape(-1, channels), rate)
