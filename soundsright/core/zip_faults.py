"""The errors that can occur when a ZIP file from a stranger is read."""

from __future__ import annotations

import struct
import zipfile
import zlib

ZIP_FAULTS: tuple[type[Exception], ...] = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, NotImplementedError),
    *(ArithmeticError, LookupError, AssertionError, RuntimeError),
)
"""`zipfile` raises RuntimeError for a file with a password, NotImplementedError for an unknown compression, and
OSError, ValueError or OverflowError for offsets outside the file."""
