"""The limits that a file of weights can exceed, and reads that stay within them."""

from __future__ import annotations

import io

from soundsright.core.zip_faults import ZIP_FAULTS

MAX_LINE_BYTES = 65_536


DAMAGE: tuple[type[Exception], ...] = (
    *ZIP_FAULTS,
    *(TypeError, AttributeError, SyntaxError, MemoryError, BufferError),
)
"""The errors that reading a damaged or hostile file can raise."""


class TooMuchToRead(Exception):
    """A file contains more than the bounds allow. The tensors within the bounds have been returned before."""


class Allowance:
    """An amount of work that a file can cause. `spend` raises `TooMuchToRead` once it is used up.

    >>> fields = Allowance(2, "more than 2 fields")
    >>> fields.spend(2)
    >>> fields.spend()
    Traceback (most recent call last):
    soundsright.copies.limits.TooMuchToRead: more than 2 fields
    """

    def __init__(self, amount: int, reason: str) -> None:
        self._left = amount
        self._reason = reason

    def spend(self, amount: int = 1) -> None:
        self._left -= amount
        if self._left < 0:
            raise TooMuchToRead(self._reason)


class BoundedBytes(io.RawIOBase):
    """Bytes as a file, without copying them. A read never allocates more than the bytes that are left.

    Raises:
        TooMuchToRead: if a read returns more than `max_read_bytes`, or a line is longer than `MAX_LINE_BYTES`.
    """

    def __init__(self, content: memoryview, max_read_bytes: int | None = None) -> None:
        self._content = content
        self._position = 0
        self.max_read_bytes = max_read_bytes

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._content)}[whence]
        self._position = min(max(0, base + offset), len(self._content))
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        end = len(self._content) if size is None or size < 0 else self._position + size
        end = min(end, len(self._content))
        if self.max_read_bytes is not None and end - self._position > self.max_read_bytes:
            raise TooMuchToRead(f"a part of over {self.max_read_bytes} bytes")
        part = bytes(self._content[self._position : end])
        self._position += len(part)
        return part

    def readline(self, size: int | None = -1) -> bytes:
        limit = MAX_LINE_BYTES if size is None or size < 0 else min(size, MAX_LINE_BYTES)
        part = bytes(self._content[self._position : self._position + limit])
        line = part[: part.find(b"\n") + 1] or part
        if len(line) == MAX_LINE_BYTES:
            raise TooMuchToRead(f"a line of over {MAX_LINE_BYTES} bytes")
        self._position += len(line)
        return line
