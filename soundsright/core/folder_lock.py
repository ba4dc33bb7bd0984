"""A folder that one process at a time may change."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from soundsright.core.errors import UsageError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from changing the folder while the block runs.

    Raises:
        UsageError: another process is changing it.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"Another process is changing {folder}", "Wait until it has ended, then run the command again."
            ) from None
        yield
    finally:
        os.close(descriptor)
