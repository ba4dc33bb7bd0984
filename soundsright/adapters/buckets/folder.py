"""A bucket in a folder of this machine. The object `a/b.json` is the file `a/b.json`. Sizes are in bytes.

The folder has the empty file `@bucket`. Without it the folder is not read: a disk that is not mounted leaves an
empty folder, which must not look like an empty bucket. Names with `@` are no keys, so they cannot meet an object's.
No link is followed, so a link in the folder cannot make the bucket read or write elsewhere.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from soundsright.core.errors import (
    BucketExists,
    BucketForbidden,
    BucketMissing,
    BucketTooLarge,
    BucketUnavailable,
    BucketUnsuitable,
)
from soundsright.core.ports import ETag, StoredObject, checked_key, checked_prefix, is_key

MARKER = "@bucket"
STAGING = "@staging"
MAX_STAGED_S = 3_600.0
"""Age at which the file of an unfinished put is removed. Whoever wrote it has died."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ABSENT = (errno.ENOENT, errno.ENOTDIR)


def new_bucket_folder(root: Path) -> Path:
    """Make a folder for a bucket, or keep one that is there.

    Raises:
        BucketUnavailable: it cannot be made.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        (root / MARKER).touch()
    except OSError as error:
        raise BucketUnavailable(f"The bucket {root} cannot be made ({error.strerror})", own=True) from error
    return root


class FolderBucket:
    """The `Bucket` port over the folder `root`, which `new_bucket_folder` makes."""

    def __init__(self, root: Path, *, own: bool = True) -> None:
        self._root = root
        self._own = own

    def put(self, key: str, data: bytes, create: bool = False) -> ETag:
        """See `Bucket.put`. The file and its name are on the disk when it returns."""
        *folders, name = checked_key(key).split("/")
        with self._opened(f"{key} cannot be written") as root, contextlib.ExitStack() as stack:
            folder = root
            for part in folders:
                folder = _made_folder(folder, part, stack)
            staging = _made_folder(root, STAGING, stack)
            _remove_old(staging)
            temporary = secrets.token_hex(16)
            try:
                etag = _write(staging, temporary, data)
                if create:
                    self._link(staging, temporary, folder, name, key)
                else:
                    self._replace(staging, temporary, folder, name, key)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=staging)
            os.fsync(folder)
            return etag

    def get(self, key: str, max_bytes: int) -> bytes:
        """See `Bucket.get`."""
        with self._file(key) as (descriptor, facts):
            if facts.st_size > max_bytes:
                raise BucketTooLarge(f"{key} in {self._root} has {facts.st_size} bytes, more than {max_bytes}")
            with os.fdopen(descriptor, "rb", closefd=False) as stream:
                data = stream.read(max_bytes + 1)
            if len(data) != facts.st_size:
                raise self._unavailable(f"{key} changed while it was read")
            return data

    def head(self, key: str) -> StoredObject:
        """See `Bucket.head`."""
        with self._file(key) as (_, facts):
            return StoredObject(key, facts.st_size, _etag(facts))

    def list(self, prefix: str, max_keys: int) -> tuple[StoredObject, ...]:
        """See `Bucket.list`."""
        checked_prefix(prefix)
        found: list[StoredObject] = []
        with self._opened(f"{prefix or 'the folder'} cannot be listed") as root:
            for item in self._below(root, "", prefix):
                if len(found) == max_keys:
                    raise BucketTooLarge(f"{self._root} has more than {max_keys} objects of the prefix {prefix!r}")
                found.append(item)
        return tuple(sorted(found, key=lambda item: item.key))

    def delete(self, key: str) -> None:
        """See `Bucket.delete`. Its folder stays."""
        *folders, name = checked_key(key).split("/")
        with self._opened(f"{key} cannot be removed") as root, contextlib.ExitStack() as stack:
            folder = root
            try:
                for part in folders:
                    folder = _opened_folder(folder, part, stack)
                if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                    return
            except OSError as error:
                if error.errno not in _ABSENT or _is_link(error.filename, folder):
                    raise
                return
            self._check_plain(folder, name, key)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)
            os.fsync(folder)

    def presigned(self, key: str, seconds: int) -> None:
        """None: a folder has no addresses."""
        checked_key(key)

    def _below(self, folder: int, above: str, prefix: str) -> Iterator[StoredObject]:
        """The objects of a folder whose keys begin with the prefix, in no order."""
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries)
        for name in names:
            if not above and name in (MARKER, STAGING):
                continue
            key = above + name
            if not (key.startswith(prefix) or prefix.startswith(f"{key}/")):
                continue
            facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if not is_key(key) or not (stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode)):
                raise self._unavailable(f"{key!r} is not an object", "Remove it from the folder.")
            if stat.S_ISDIR(facts.st_mode):
                descriptor = os.open(name, _FOLDER, dir_fd=folder)
                try:
                    yield from self._below(descriptor, f"{key}/", prefix)
                finally:
                    os.close(descriptor)
            elif key.startswith(prefix):
                yield StoredObject(key, facts.st_size, _etag(facts))

    @contextlib.contextmanager
    def _opened(self, failure: str) -> Iterator[int]:
        """The folder, open. An `OSError` inside the block becomes the error of a bucket."""
        try:
            root = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.stat(MARKER, dir_fd=root, follow_symlinks=False)
                yield root
            finally:
                os.close(root)
        except PermissionError as error:
            raise BucketForbidden(
                f"{self._root}: {failure} ({error.strerror})", "Check the folder's owner and mode.", own=self._own
            ) from error
        except OSError as error:
            if error.filename in (MARKER, self._root, str(self._root)) and error.errno in _ABSENT:
                raise self._unavailable(
                    "it is not the folder of a bucket, or its disk is not mounted",
                    f"For a new bucket make the folder and in it the empty file {MARKER}.",
                ) from error
            raise self._unavailable(f"{failure} ({error.strerror or error})", "Check the disk.") from error

    @contextlib.contextmanager
    def _file(self, key: str) -> Iterator[tuple[int, os.stat_result]]:
        """An object's file, open for reading, and what the disk says about it."""
        *folders, name = checked_key(key).split("/")
        with self._opened(f"{key} cannot be read") as root, contextlib.ExitStack() as stack:
            try:
                folder = root
                for part in folders:
                    folder = _opened_folder(folder, part, stack)
                descriptor = os.open(name, _READ, dir_fd=folder)
            except OSError as error:
                if error.errno not in _ABSENT or _is_link(error.filename, folder):
                    raise
                raise BucketMissing(f"{self._root} has no object {key}") from None
            stack.callback(os.close, descriptor)
            facts = os.fstat(descriptor)
            if stat.S_ISDIR(facts.st_mode):
                raise BucketMissing(f"{self._root} has no object {key}")
            if not stat.S_ISREG(facts.st_mode):
                raise self._unavailable(f"{key} is not a plain file", "Remove it from the folder.")
            yield descriptor, facts

    def _link(self, staging: int, temporary: str, folder: int, name: str, key: str) -> None:
        """Give the staged file its name. The system refuses if the name is taken."""
        try:
            os.link(temporary, name, src_dir_fd=staging, dst_dir_fd=folder, follow_symlinks=False)
        except FileExistsError:
            self._check_plain(folder, name, key)
            raise BucketExists(f"{self._root} has an object {key} already") from None
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EMLINK):
                raise
            raise BucketUnsuitable(
                f"The disk of {self._root} has no hard links, so no object can be created safely",
                "Put the folder on a disk that has them, such as ext4 or xfs.",
            ) from error

    def _replace(self, staging: int, temporary: str, folder: int, name: str, key: str) -> None:
        """Give the staged file its name, in place of a file, but not of a link."""
        with contextlib.suppress(FileNotFoundError):
            self._check_plain(folder, name, key)
        os.replace(temporary, name, src_dir_fd=staging, dst_dir_fd=folder)

    def _check_plain(self, folder: int, name: str, key: str) -> None:
        if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise self._unavailable(f"{key} is not a plain file", "Use another key, or remove it.")

    def _unavailable(self, problem: str, remedy: str = "Try again.") -> BucketUnavailable:
        return BucketUnavailable(f"The bucket {self._root}: {problem}", remedy, own=self._own)


def _opened_folder(above: int, name: str, stack: contextlib.ExitStack) -> int:
    descriptor = os.open(name, _FOLDER, dir_fd=above)
    stack.callback(os.close, descriptor)
    return descriptor


def _made_folder(above: int, name: str, stack: contextlib.ExitStack) -> int:
    """A folder, made if it is missing. Its name is on the disk."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, dir_fd=above)
        os.fsync(above)
    return _opened_folder(above, name, stack)


def _is_link(name: object, folder: int) -> bool:
    """Whether the name in that folder is a link. Opening a link as a folder looks like a missing folder."""
    try:
        return stat.S_ISLNK(os.stat(str(name), dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _write(staging: int, name: str, data: bytes) -> ETag:
    descriptor = os.open(name, _CREATE, 0o644, dir_fd=staging)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(descriptor)
        return _etag(os.fstat(descriptor))


def _remove_old(staging: int) -> None:
    """Remove the files of puts that never ended."""
    with os.scandir(staging) as entries:
        names = [entry.name for entry in entries]
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            if os.stat(name, dir_fd=staging, follow_symlinks=False).st_mtime < time.time() - MAX_STAGED_S:
                os.unlink(name, dir_fd=staging)


def _etag(facts: os.stat_result) -> ETag:
    return ETag(f"{facts.st_ino:x}-{facts.st_size:x}-{facts.st_mtime_ns:x}")
