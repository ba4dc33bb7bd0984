"""The peak memory of a control group, since it began or since a later moment. Sizes are in bytes."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


class GroupPeak:
    """The peak in a control group's file: `memory.max_usage_in_bytes` (version 1) or `memory.peak` (version 2).

    `restart` sets it to the memory in use now. Version 2 does so from Linux 6.12 on, and for one open file alone,
    so this object keeps the file open. If nothing can be read any more, the last value stays.
    """

    def __init__(self, path: Path) -> None:
        self._last_bytes = 0
        self._file: int | None = None
        self._can_restart = path.name in ("memory.peak", "memory.max_usage_in_bytes")
        for flags in (os.O_RDWR, os.O_RDONLY) if self._can_restart else (os.O_RDONLY,):
            with contextlib.suppress(OSError):
                self._file = os.open(path, flags | os.O_CLOEXEC)
                self._can_restart = flags == os.O_RDWR
                break

    def bytes(self) -> int:
        """The peak."""
        if self._file is not None:
            with contextlib.suppress(OSError, ValueError):
                self._last_bytes = max(self._last_bytes, int(os.pread(self._file, 64, 0)))
        return self._last_bytes

    def restart(self) -> bool:
        """Begin a new peak. Returns whether the kernel did so; otherwise the peak goes on."""
        if self._file is None or not self._can_restart:
            return False
        try:
            os.pwrite(self._file, b"0", 0)
        except OSError:
            return False
        self._last_bytes = 0
        return True

    def close(self) -> None:
        """Close the file. The last value stays."""
        if self._file is not None:
            self.bytes()
            os.close(self._file)
            self._file = None
