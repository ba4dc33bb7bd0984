"""Opens recordings whose header does not know their length, with a length put in its place.

libsndfile takes a WAV of 0 bytes for empty, although a recorder was only killed before it wrote the size. It cannot
read a FLAC file to its end if the number of samples is missing, as in one that was written into a pipe.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from soundsright.data.endings import wave_header

if TYPE_CHECKING:
    import soundfile

_FLAC_LENGTH = slice(21, 26)
"""The place of the number of samples in a FLAC file: 36 bits, behind 4 bits of something else."""
_BLOCKS_FRAMES = (65_536, 64)
"""The steps in which a file is decoded to count its frames. Small steps come close to a broken end."""


def opened(path: Path, max_samples: int) -> soundfile.SoundFile:
    """The recording, open for reading, with its true length if the header lacks it. Frames times channels count.

    Raises:
        soundfile.LibsndfileError: libsndfile does not read the file.
        OSError: the file cannot be read.
    """
    import soundfile

    patches = _wave_patches(path) or _flac_patches(path, max_samples)
    return soundfile.SoundFile(_Patched(path, patches) if patches else str(path))


def _wave_patches(path: Path) -> dict[int, bytes]:
    size = path.stat().st_size
    header = wave_header(path)
    if header is None or not header.has_no_length(size):
        return {}
    data_bytes = min(size - header.data_at, 0xFFFF_0000)
    return {
        4: struct.pack("<I", min(data_bytes + header.data_at - 8, 0xFFFF_FFFF)),
        header.data_at - 4: struct.pack("<I", data_bytes),
    }


def _flac_patches(path: Path, max_samples: int) -> dict[int, bytes]:
    with path.open("rb") as stream:
        head = stream.read(42)
    if head[:4] != b"fLaC" or len(head) < 42 or head[4] & 0x7F:
        return {}
    first, *rest = head[_FLAC_LENGTH]
    if first & 0x0F or any(rest):
        return {}
    frames = _decoded_frames(path, max_samples)
    # 0 would stand for "not known" again. If there is no frame, reading one fails and says why.
    return {_FLAC_LENGTH.start: (((first >> 4) << 36) | min(max(1, frames), 2**36 - 1)).to_bytes(5, "big")}


def _decoded_frames(path: Path, max_samples: int) -> int:
    """The number of frames up to the end, or to the place at which a killed recorder stopped.

    Counting ends when there are more samples than `max_samples`.
    """
    frames = 0
    for block_frames in _BLOCKS_FRAMES:
        frames, is_broken = _decoded_from(path, frames, block_frames, max_samples)
        if not is_broken:
            break
    return frames


def _decoded_from(path: Path, frames: int, block_frames: int, max_samples: int) -> tuple[int, bool]:
    """The number of frames that can be decoded, and whether an error ended it. The first `frames` are known."""
    import soundfile

    with soundfile.SoundFile(str(path)) as stream:
        stream.seekable = lambda: False  # Otherwise each read ends in a seek, and seeking to an unknown end fails.
        try:
            for _ in range(frames // _BLOCKS_FRAMES[0]):
                stream.read(_BLOCKS_FRAMES[0], dtype="int16")
            while frames * stream.channels <= max_samples:
                count = len(stream.read(block_frames, dtype="int16"))
                frames += count
                if count < block_frames:
                    break
        except soundfile.LibsndfileError:
            return frames, True
    return frames, False


class _Patched(io.RawIOBase):
    """A file that is read as if it had other bytes at some offsets."""

    def __init__(self, path: Path, patches: dict[int, bytes]) -> None:
        self._stream: IO[bytes] = path.open("rb")
        self._patches = patches

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def readinto(self, buffer: Any) -> int:
        begin = self._stream.tell()
        content = bytearray(self._stream.read(len(buffer)))
        for at, new in self._patches.items():
            for offset, byte in enumerate(new, at - begin):
                if 0 <= offset < len(content):
                    content[offset] = byte
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        self._stream.close()
        super().close()
