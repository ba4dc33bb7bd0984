"""Documents on this machine's disk by their digest, so that each is fetched once. Sizes are in bytes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from pathlib import Path

from soundsright.core.errors import InfrastructureFault
from soundsright.core.submission import is_sha256

_SUFFIX = ".json"
_REMEDY = "Check the disk's space and that this user may write there."


class Contents:
    """Signed envelopes in a folder, each under the SHA-256 of its document.

    A file is complete or absent, except after a crash of the machine. So whoever reads one must check its digest,
    and `forget` one that has another. All methods can be called from several threads and processes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, sha256: str) -> bytes | None:
        """The envelope, or None if it is not here.

        Raises:
            InfrastructureFault: the disk fails.
        """
        try:
            return self._path(sha256).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InfrastructureFault(f"{self._folder} cannot be read ({error.strerror})", _REMEDY) from error

    def put(self, sha256: str, raw: bytes) -> None:
        """Store the envelope.

        Raises:
            InfrastructureFault: the disk fails.
        """
        path = self._path(sha256)
        partial = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(raw)
            partial.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise InfrastructureFault(f"{path} cannot be written ({error.strerror})", _REMEDY) from error

    def forget(self, sha256: str) -> None:
        """Remove an envelope, if it is here."""
        with contextlib.suppress(OSError):
            self._path(sha256).unlink()

    def keep(self, digests: Collection[str]) -> int:
        """Remove all envelopes except these. Returns how many were removed."""
        wanted, removed = set(digests), 0
        with contextlib.suppress(FileNotFoundError):
            for path in self._folder.iterdir():
                if path.suffix == _SUFFIX and is_sha256(path.stem) and path.stem not in wanted:
                    self.forget(path.stem)
                    removed += 1
        return removed

    def _path(self, sha256: str) -> Path:
        if not is_sha256(sha256):
            raise ValueError(f"{sha256[:80]!r} is not a digest")
        return self._folder / f"{sha256}{_SUFFIX}"
