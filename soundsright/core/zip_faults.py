"""What reading a stranger's ZIP can raise, for whoever reads one."""

from __future__ import annotations

import struct
import zipfile
import zlib

ZIP_FAULTS: tuple[type[Exception], ...] = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, NotImplementedError),
    *(ArithmeticError, LookupError, AssertionError, RuntimeError),
)
"""RuntimeError is zipfile's word for a password, NotImplementedError for a compression that it lacks; OSError,
ValueError and OverflowError are for offsets outside the file."""
