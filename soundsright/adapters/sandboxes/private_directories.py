"""Temporary directories that belong to one run of a model."""

from __future__ import annotations

import tempfile
from pathlib import Path

from soundsright.core.errors import InfrastructureFault

PRIVATE_PREFIX = "sr-"
"""Every name of such a directory begins with this. The harness removes no other directory."""

_MAX_BASE_CHARS = 60


def private_directory() -> Path:
    """A new directory that only this user can enter.

    Its path is short, because the address of a Unix socket in it must fit into 108 bytes.

    Raises:
        InfrastructureFault: if it cannot be created.
    """
    base = Path(tempfile.gettempdir())
    if len(str(base)) >= _MAX_BASE_CHARS:
        base = Path("/tmp")
    try:
        return Path(tempfile.mkdtemp(prefix=PRIVATE_PREFIX, dir=base))
    except OSError as e:
        raise InfrastructureFault(
            f"Cannot create a directory in {base}: {e}", "Free disk space there, or set TMPDIR to another folder."
        ) from e
