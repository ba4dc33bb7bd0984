"""Sealed archives: the files of a model, encrypted, so that a repository can be public before entries close.

Sizes are in bytes. The archive is the file `model.sealed` of a repository. It has a line that names the format and
pieces of at most 1 MiB. Each piece is encrypted by ChaCha20-Poly1305 under one random key of 256 bits. Its nonce is
its number and whether it is the last piece, so none can be left out, swapped or appended. The plain text is the
length of an index (4 bytes, big-endian), the index (a JSON list of path and size), and the files in order.

It is not a ZIP file, because a ZIP's directory can be as large as the file and must be in memory.
"""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
from collections.abc import Collection, Iterator
from io import BufferedReader, BufferedWriter
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from soundsright.adapters.hubs.folder import published_files
from soundsright.adapters.hubs.model_cache import (
    STAGING_PREFIX,
    check_space,
    disk_errors_at,
    is_storable,
    model_in_cache,
    move_into_place,
)
from soundsright.core.content import SEALED_FILE, content_hash, files_below, sha256_of_file
from soundsright.core.errors import EntryRefused, HubUnavailable, UsageError
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.ports import ModelHub
from soundsright.core.sources import hub_model
from soundsright.core.submission import FetchedModel, Submission

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

MAGIC = b"soundsright.sealed/1\n"
KEY_BYTES = 32
PIECE_BYTES = 1 << 20
MAX_INDEX_BYTES = 4_000_000
MAX_PATH_CHARS = 500
_TAG_BYTES = 16
_MOST_BYTES = 2**63


def seal_folder(folder: Path, archive: Path) -> str:
    """Write the files of a model's folder to a sealed archive, and return its new key as 64 hex digits.

    Raises:
        UnpublishableFolder: the folder contains something that cannot be published.
        UsageError: the folder has too many files, or no Dockerfile; or `cryptography` is not installed.
    """
    files = sorted(published_files(folder))
    if "Dockerfile" not in dict(files):
        raise UsageError(f"{folder} has no Dockerfile at its root", "Add one, as `soundsright init-model` does.")
    index = json.dumps([[path, source.stat().st_size] for path, source in files]).encode()
    if len(index) > MAX_INDEX_BYTES:
        raise UsageError(f"{folder} has too many files", "Remove the files that the model does not need.")
    key = secrets.token_bytes(KEY_BYTES)
    with archive.open("wb") as stream:
        sealing = _Sealing(_cipher(key), stream)
        sealing.write(len(index).to_bytes(4, "big") + index)
        for _, source in files:
            with source.open("rb") as reading:
                while piece := reading.read(PIECE_BYTES):
                    sealing.write(piece)
        sealing.finish()
    return key.hex()


def open_archive(archive: Path, key: str, target: Path, *, repository: str, limits: FetchLimits) -> None:
    """Write the files of a sealed archive into the empty folder `target`.

    Raises:
        EntryRefused: `bad_archive`, if the key is wrong or the archive is damaged; `bad_path`, `file_type`,
            `too_many_files` or `too_large`, if it breaks a limit.
    """
    with archive.open("rb") as stream:
        plain = _Opening(_cipher(bytes.fromhex(key)), stream)
        length = int.from_bytes(plain.read(4), "big")
        if length > MAX_INDEX_BYTES:
            raise _bad("its index is too large")
        files = _checked_index(plain.read(length), repository, limits)
        for path, size in files:
            file = target / path
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("xb") as writing:
                for piece in plain.pieces(size):
                    writing.write(piece)
        if plain.has_more():
            raise _bad("it has more bytes than its index says")


def _checked_index(raw: bytes, repository: str, limits: FetchLimits) -> list[tuple[str, int]]:
    try:
        rows = json.loads(raw)
        files = [(path, size) for path, size in rows]
        well_formed = all(isinstance(path, str) and type(size) is int and size >= 0 for path, size in files)
    except (ValueError, TypeError, RecursionError):
        well_formed = False
    if not well_formed:
        raise _bad("its index cannot be read")
    if len(files) > limits.max_files:
        raise EntryRefused(
            "too_many_files",
            f"{repository} has {len(files)} files in its archive; at most {limits.max_files} are allowed",
            {"files": str(len(files)), "limit": str(limits.max_files)},
        )
    total = sum(size for _, size in files)
    if total > limits.max_bytes:
        # Python prints no number of more than 4 300 digits, and the author chose these.
        stated = str(total) if total < _MOST_BYTES else f"more than {_MOST_BYTES}"
        raise EntryRefused(
            "too_large",
            f"{repository} has {stated} bytes in its archive; at most {limits.max_bytes} are allowed",
            {"bytes": stated, "limit": str(limits.max_bytes)},
        )
    taken: set[str] = set()
    for path, _ in files:
        _check_path(path, taken)
        limits.check_file(repository, path)
        taken.add(path)
    return files


def _check_path(path: str, taken: Collection[str]) -> None:
    """Check that a file can be written at that path, below the folder and beside the paths before it."""
    parts = path.split("/")
    is_safe = 0 < len(path) <= MAX_PATH_CHARS and path.isprintable() and "\\" not in path and is_storable(path)
    folders = {str(parent) for parent in PurePosixPath(path).parents}
    if (
        not is_safe
        or any(part in ("", ".", "..") for part in parts)
        or path in taken
        or not folders.isdisjoint(taken)
        or any(name.startswith(f"{path}/") for name in taken)
    ):
        raise EntryRefused("bad_path", f"The archive has a file with the bad path {path[:100]!r}")


class SealedArchives:
    """The `ModelHub` port over another `hub`, whose sealed archives it opens with the key of the submission.

    `cache` is that hub's cache. An opened model is stored there like a fetched one.
    """

    def __init__(self, hub: ModelHub, cache: Path) -> None:
        self.hub = hub
        self._cache = cache.absolute()

    def fetch(self, submission: Submission, *, limits: FetchLimits) -> FetchedModel:
        """The model at its commit. If the submission has a key, the model is in the repository's archive.

        Raises:
            EntryRefused: as the other hub, or `bad_archive`.
            HubUnavailable: the hub does not answer.
            InfrastructureFault: the cache cannot be read or written, or its disk is too full.
        """
        fetched = self.hub.fetch(submission, limits=limits)
        return self._opened(fetched, limits) if submission.archive_key else fetched

    def cached(self, submission: Submission, content_hash: str) -> FetchedModel | None:
        """The model from the cache, or None if the cache does not have all of it."""
        if submission.archive_key:
            return model_in_cache(self._cache, submission, content_hash)
        return self.hub.cached(submission, content_hash)

    def forget(self, keep: Collection[str]) -> int:
        """Remove all fetched models except those with these content hashes. Returns how many were removed."""
        return self.hub.forget(keep)

    def _opened(self, fetched: FetchedModel, limits: FetchLimits) -> FetchedModel:
        submission = fetched.submission
        model = hub_model(submission.source)
        archive = fetched.path / SEALED_FILE
        if archive.is_symlink() or not archive.is_file():
            raise EntryRefused("bad_archive", f"{model.repository} has no file {SEALED_FILE}")
        with disk_errors_at(self._cache):
            self._cache.mkdir(parents=True, exist_ok=True)
            check_space(self._cache, model, archive.stat().st_size)
            staging = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=self._cache))
            try:
                tree = staging / "tree"
                tree.mkdir()
                open_archive(archive, submission.archive_key, tree, repository=model.repository, limits=limits)
                paths = files_below(tree)
                for path in paths:
                    path.chmod(0o444)
                digest = content_hash({p.relative_to(tree).as_posix(): sha256_of_file(p) for p in paths})
                staging.chmod(0o755)
                move_into_place(tree, self._cache / digest)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
        opened = model_in_cache(self._cache, submission, digest)
        if opened is None:
            raise HubUnavailable(f"{model} changed while it was opened", "Try again.")
        return opened


def _cipher(key: bytes) -> ChaCha20Poly1305:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
    except ImportError as error:
        raise UsageError(
            "Sealed archives need the package cryptography", "Run `pip install cryptography`."
        ) from error
    return ChaCha20Poly1305(key)


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def _bad(reason: str) -> EntryRefused:
    return EntryRefused("bad_archive", f"The sealed archive cannot be opened: {reason}")


class _Sealing:
    """Encrypts what is written, piece by piece. Call `finish` at the end."""

    def __init__(self, cipher: ChaCha20Poly1305, stream: BufferedWriter) -> None:
        self._cipher = cipher
        self._stream = stream
        self._number = 0
        self._buffer = bytearray()
        stream.write(MAGIC)

    def write(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) > PIECE_BYTES:  # The last piece is never empty.
            self._put(bytes(self._buffer[:PIECE_BYTES]), last=False)
            del self._buffer[:PIECE_BYTES]

    def finish(self) -> None:
        self._put(bytes(self._buffer), last=True)

    def _put(self, piece: bytes, *, last: bool) -> None:
        self._stream.write(self._cipher.encrypt(_nonce(self._number, last=last), piece, MAGIC))
        self._number += 1


class _Opening:
    """Decrypts an archive while it is read. Each piece is verified before any of its bytes are used."""

    def __init__(self, cipher: ChaCha20Poly1305, stream: BufferedReader) -> None:
        self._cipher = cipher
        self._stream = stream
        self._number = 0
        self._plain = b""
        self._ended = False
        if stream.read(len(MAGIC)) != MAGIC:
            raise _bad("it has another format")
        self._next = stream.read(PIECE_BYTES + _TAG_BYTES)

    def read(self, size: int) -> bytes:
        return b"".join(self.pieces(size))

    def pieces(self, size: int) -> Iterator[bytes]:
        """Exactly so many bytes, in pieces."""
        while size:
            if not self._plain:
                self._decrypt()
            piece, self._plain = self._plain[:size], self._plain[size:]
            size -= len(piece)
            yield piece

    def has_more(self) -> bool:
        return bool(self._plain) or not self._ended

    def _decrypt(self) -> None:
        from cryptography.exceptions import InvalidTag

        if self._ended:
            raise _bad("it ends too early")
        piece, self._next = self._next, self._stream.read(PIECE_BYTES + _TAG_BYTES)
        self._ended = not self._next
        try:
            self._plain = self._cipher.decrypt(_nonce(self._number, last=self._ended), piece, MAGIC)
        except InvalidTag:
            raise _bad("its key is wrong, or it is damaged") from None
        if not self._plain:
            raise _bad("it has an empty piece")
        self._number += 1
