"""Whether a file was cut short, and whether its header knows where it ends. Sizes and offsets in bytes.

A decoder reads half a file as a shorter recording, so the container is checked first. A program that writes into a
pipe, or that was killed, leaves a placeholder in place of the length: such a file is whole as far as it goes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_MAX_CHUNKS = 1_000
_PIPED = range(0x7FFF_F000, 0x8000_1000)
"""Sizes that sox and arecord write if they cannot know the size. Each program adds the size of its header."""
_UNKNOWN = 0xFFFF_F000
"""Larger sizes mean that the size is not known, or does not fit into 32 bits."""

_BIT_RATES = {  # MPEG audio layer III, in kbit/s: version 1, and versions 2 and 2.5
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SAMPLE_RATES_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_LAYER_III = 1


@dataclass(frozen=True)
class WaveHeader:
    """The sizes in the header of a WAV file, and where its samples begin. `data_bytes` is None without samples."""

    riff_bytes: int
    data_at: int
    data_bytes: int | None

    def has_no_length(self, size: int) -> bool:
        """Whether the samples go to the end of the file, although the header says that there are none."""
        is_placeholder = is_unknown_size(self.riff_bytes) or self.riff_bytes + 8 <= self.data_at
        return self.data_bytes == 0 and is_placeholder and size > self.data_at


def is_unknown_size(declared: int) -> bool:
    """Whether a size in a header stands for "not known".

    >>> [is_unknown_size(size) for size in (0, 0xFFFFFFFF, 0x7FFFF024, 96_044)]
    [True, True, True, False]
    """
    return declared == 0 or declared >= _UNKNOWN or declared in _PIPED


def problem_of_end(stream: BinaryIO, size: int, suffix: str) -> str | None:
    """The fault at the end of a file, in words; None if nothing shows that it was cut.

    Raises:
        OSError: the file cannot be read.
    """
    head = stream.read(12)
    if head[:4] == b"RIFF" and head[8:] == b"WAVE":
        return _problem_of_wave(stream, size)
    if head[:4] == b"FORM" and suffix in (".aif", ".aiff"):
        return _shortage(size, int.from_bytes(head[4:8], "big"))
    if head[:4] == b"OggS":
        return _problem_of_ogg(stream, size)
    if suffix == ".mp3":
        return _problem_of_mp3(stream, size)
    if head[4:8] == b"ftyp":
        return _problem_of_mp4(stream, size)
    return None


def wave_header(path: Path) -> WaveHeader | None:
    """The header of a WAV file; None if the file is not one."""
    with path.open("rb") as stream:
        head = stream.read(12)
        return _wave_header(stream) if head[:4] == b"RIFF" and head[8:] == b"WAVE" else None


def _wave_header(stream: BinaryIO) -> WaveHeader:
    stream.seek(4)
    (riff_bytes,) = struct.unpack("<I", stream.read(4))
    at = 12
    for _ in range(_MAX_CHUNKS):
        stream.seek(at)
        head = stream.read(8)
        if len(head) < 8:
            break
        name, declared = struct.unpack("<4sI", head)
        if name == b"data":
            return WaveHeader(riff_bytes, at + 8, declared)
        at += 8 + declared + declared % 2
    return WaveHeader(riff_bytes, at, None)


def _problem_of_wave(stream: BinaryIO, size: int) -> str | None:
    header = _wave_header(stream)
    if not is_unknown_size(header.riff_bytes) and header.data_bytes != 0:
        return _shortage(size, header.riff_bytes)
    data_bytes = header.data_bytes
    if data_bytes is None or is_unknown_size(data_bytes):
        return None
    return _shortage(size, header.data_at + data_bytes - 8)


def _shortage(size: int, declared: int) -> str | None:
    """The problem if the file ends before what it declares behind its first 8 bytes. One padding byte may miss."""
    return f"is truncated: {size} bytes of {declared + 8}" if declared + 8 > size + 1 else None


def _problem_of_ogg(stream: BinaryIO, size: int) -> str | None:
    ended: dict[int, bool] = {}
    at = 0
    while at < size:
        stream.seek(at)
        head = stream.read(27)
        if head[:4] != b"OggS":
            break  # Something after the last page, such as a tag. Before it, every stream must have ended.
        segments = stream.read(head[26]) if len(head) == 27 else b""
        if len(head) < 27 or len(segments) < head[26] or (end := at + 27 + len(segments) + sum(segments)) > size:
            return "is truncated within a page"
        ended[int.from_bytes(head[14:18], "little")] = bool(head[5] & 4)
        at = end
    return None if all(ended.values()) else "is truncated: its last page does not end the stream"


def _problem_of_mp4(stream: BinaryIO, size: int) -> str | None:
    at = 0
    while at < size:
        stream.seek(at)
        head = stream.read(16)
        if len(head) < 8:
            return "is truncated within a box"
        declared = int.from_bytes(head[:4], "big")
        if declared == 1:
            declared = int.from_bytes(head[8:], "big")
        if declared == 0:
            return None  # The last box goes to the end of the file.
        if declared < 8:
            return None  # Not a box: the decoder will say what it is.
        at += declared
    return f"is truncated: {size} bytes of {at}" if at > size else None


def _problem_of_mp3(stream: BinaryIO, size: int) -> str | None:
    """A cut shows in the last frame, or in the number of frames that the first one states."""
    begin, end = _mp3_span(stream, size)
    frames, at, stated = 0, begin, None
    for at, length in _mp3_frames(stream, begin, end):
        if at + length > end:
            return "is truncated within a frame"
        if frames == 0:
            stream.seek(at)
            stated = _stated_frames(stream.read(min(length, 200)))
        frames += 1
        last = at + length
    if stated is None or frames == 0 or end - last > 4:
        return None  # Nothing states a number, or something other than frames follows.
    # Some encoders count the frame with the number, others do not.
    return f"is truncated: {frames - 1} frames of {stated}" if frames < stated else None


def _mp3_span(stream: BinaryIO, size: int) -> tuple[int, int]:
    """The positions at which the frames begin and end, without the tags around them."""
    begin, end = 0, size
    stream.seek(0)
    head = stream.read(10)
    if head[:3] == b"ID3" and len(head) == 10:
        begin = 10 + sum((byte & 0x7F) << 7 * (3 - place) for place, byte in enumerate(head[6:10]))
        begin += 10 if head[5] & 0x10 else 0
    if size >= 128:
        stream.seek(size - 128)
        if stream.read(3) == b"TAG":
            end -= 128
    if end >= 32:
        stream.seek(end - 32)
        footer = stream.read(32)
        if footer[:8] == b"APETAGEX":
            end -= int.from_bytes(footer[12:16], "little") + (32 if footer[23] & 0x80 else 0)
    return begin, max(begin, end)


def _mp3_frames(stream: BinaryIO, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """The offset and the length of each frame, up to what is not a frame."""
    at = begin
    while at + 4 <= end:
        stream.seek(at)
        length = _mp3_frame_bytes(stream.read(4))
        if length is None:
            return
        yield at, length
        at += length


def _mp3_frame_bytes(head: bytes) -> int | None:
    """The length of a frame of layer III by its header; None if this is no such header, or has a free bit rate."""
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    rate, hertz, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    is_header = head[0] == 0xFF and head[1] >> 5 == 7 and version in _SAMPLE_RATES_HZ and layer == _LAYER_III
    if not is_header or rate in (0, 15) or hertz == 3:
        return None
    bits_per_s = 1_000 * _BIT_RATES[version == 3][rate]
    return (144 if version == 3 else 72) * bits_per_s // _SAMPLE_RATES_HZ[version][hertz] + padding


def _stated_frames(frame: bytes) -> int | None:
    """The number of frames after this one, if it is the header of LAME (Xing, Info) or Fraunhofer (VBRI)."""
    version_1, mono = frame[1] >> 3 & 3 == 3, frame[3] >> 6 == 3
    at = 4 + ((17 if mono else 32) if version_1 else (9 if mono else 17))
    if frame[at : at + 4] in (b"Xing", b"Info") and len(frame) >= at + 12 and frame[at + 7] & 1:
        return int.from_bytes(frame[at + 8 : at + 12], "big")
    if frame[36:40] == b"VBRI" and len(frame) >= 54:
        return int.from_bytes(frame[50:54], "big")
    return None
