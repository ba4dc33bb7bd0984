"""Git LFS pointers: small text files that stand for large ones until `git lfs pull` has fetched those."""

from __future__ import annotations

from pathlib import Path

LFS_REMEDY = "Run `git lfs pull` in its repository, then try again."

_MAX_BYTES = 1_024
_FIRST_LINE = b"version https://git-lfs.github.com/spec/"


def is_lfs_pointer(path: Path) -> bool:
    """Whether the file is a Git LFS pointer, not the content that it stands for.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        head = stream.read(_MAX_BYTES + 1)
    return len(head) <= _MAX_BYTES and head.startswith(_FIRST_LINE) and b"\noid " in head
