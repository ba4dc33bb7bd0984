"""Files that belong to the state, named by the SHA-256 of their content: a manifest, a bundle, a report.

A file is written under another name, flushed to the disk and renamed. Therefore it has its whole content or does
not exist, and writing the same content again changes nothing. Rows of the database contain the names. Sizes are in
bytes, times in seconds since the epoch.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import IO

from soundsright.core.errors import StateUnavailable

_PIECE_BYTES = 1_000_000


class Artifacts:
    """Content-addressed files below one folder: `ab/abcdef...`, the SHA-256 in lower-case hex.

    Raises:
        StateUnavailable: in every method, if the folder cannot be read or written, or its disk is full.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, source: Path) -> str:
        """Store a copy of the file. Returns its digest."""

        def copy(target: IO[bytes]) -> None:
            with source.open("rb") as stream:
                while piece := stream.read(_PIECE_BYTES):
                    target.write(piece)

        return self._written(copy)

    def put_bytes(self, content: bytes) -> str:
        """Store the bytes. Returns their digest."""
        return self._written(lambda target: target.write(content))

    def path(self, digest: str) -> Path | None:
        """The file with this content, or None if it is not stored."""
        path = self._file_of(digest)
        return path if path.is_file() else None

    def read(self, digest: str) -> bytes | None:
        """The content, or None if it is not stored or does not match its name."""
        path = self.path(digest)
        try:
            content = path.read_bytes() if path is not None else None
        except OSError as error:
            raise StateUnavailable(
                f"{path} cannot be read ({error})", "Check the disk, and that you may read the file."
            ) from error
        return content if content is not None and hashlib.sha256(content).hexdigest() == digest else None

    def collect(self, keep: Collection[str], *, older_than_s: float) -> tuple[str, ...]:
        """Remove files that are not in `keep` and were written before `older_than_s`. Returns their digests.

        Incomplete files of killed processes are removed too. Files that this store did not write stay.
        """
        removed = []
        try:
            stored = self._folder.glob("[0-9a-f][0-9a-f]/*")
            for path in sorted((*stored, *self._folder.glob("*.part"))):
                is_own = path.suffix == ".part" or self._file_of(path.name) == path
                if is_own and path.name not in keep and path.stat().st_mtime < older_than_s:
                    path.unlink()
                    removed.append(path.name)
        except OSError as error:
            raise StateUnavailable(
                f"Old files in {self._folder} cannot be removed ({error})",
                "Check the disk, and that you may write to the folder.",
            ) from error
        return tuple(name for name in removed if not name.endswith(".part"))

    def _written(self, write: Callable[[IO[bytes]], object]) -> str:
        partial: Path | None = None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, suffix=".part", delete=False) as target:
                partial = Path(target.name)
                write(target)
                target.flush()
                os.fsync(target.fileno())
            with partial.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            path = self._file_of(digest)
            path.parent.mkdir(exist_ok=True)
            partial.replace(path)
        except OSError as error:
            if partial is not None:
                partial.unlink(missing_ok=True)
            raise StateUnavailable(
                f"{self._folder} cannot be written ({error})", "Free some disk space, then start again."
            ) from error
        return digest

    def _file_of(self, digest: str) -> Path:
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            return self._folder / "none"
        return self._folder / digest[:2] / digest
