"""Documents on this machine's disk by their digest, so that each is fetched once. Sizes are in bytes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from pathlib import Path

from soundsright.core.errors import InfrastructureFault
from soundsright.core.submission import is_sha256

MAX_BYTES = 4_000_000_000
"""If the documents take more, those that were not used for longest are removed. They can be fetched again."""

_SUFFIX = ".json"
_PRUNED_EVERY = 500
_REMEDY = "Check the disk's space and that this user may write there."


class Contents:
    """Documents in a folder: each envelope under the SHA-256 of its document, any other text under its own.

    All methods can be called from several threads and processes.
    """

    def __init__(self, folder: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._puts = 0

    def get(self, sha256: str) -> bytes | None:
        """The text with that digest, or None if it is not here. A file that a crash has cut is removed.

        Raises:
            InfrastructureFault: the disk fails.
        """
        path = self._path(sha256)
        try:
            raw = path.read_bytes()
            os.utime(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InfrastructureFault(f"{self._folder} cannot be read ({error.strerror})", _REMEDY) from error
        if _has_digest(raw, sha256):
            return raw
        self.forget(sha256)
        return None

    def put(self, sha256: str, raw: bytes) -> None:
        """Store the text.

        Raises:
            InfrastructureFault: the disk fails.
        """
        path = self._path(sha256)
        partial = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(raw)
            partial.replace(path)
            if self._puts % _PRUNED_EVERY == 0:
                self._prune()
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise InfrastructureFault(f"{path} cannot be written ({error.strerror})", _REMEDY) from error
        self._puts += 1

    def forget(self, sha256: str) -> None:
        """Remove a text, if it is here."""
        with contextlib.suppress(OSError):
            self._path(sha256).unlink()

    def _prune(self) -> None:
        used: list[tuple[float, int, Path]] = []
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                facts = path.stat()
                used.append((facts.st_mtime, facts.st_size, path))
        total = sum(size for _, size, _ in used)
        for _, size, path in sorted(used):
            if total <= self._max_bytes:
                break
            path.unlink(missing_ok=True)
            total -= size

    def _path(self, sha256: str) -> Path:
        if not is_sha256(sha256):
            raise ValueError(f"{sha256[:80]!r} is not a digest")
        return self._folder / f"{sha256}{_SUFFIX}"


def _has_digest(raw: bytes, sha256: str) -> bool:
    """Whether the bytes, or the document in their envelope, have the digest. Nothing else of them is checked."""
    if hashlib.sha256(raw).hexdigest() == sha256:
        return True
    try:
        document = json.loads(raw)["document"]
        return hashlib.sha256(document.encode()).hexdigest() == sha256
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
