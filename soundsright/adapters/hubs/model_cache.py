"""The cache of fetched models on this machine's disk: one folder for each content, named by its SHA-256.

Each model is hashed again before it is used. So neither a hub nor a disk can change an entry while a round is
restarted. Sizes are in bytes.
"""

from __future__ import annotations

import errno
import logging
import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from soundsright.core.content import checkpoint_hashes, content_hash, files_below, image_digests, sha256_of_file
from soundsright.core.errors import InfrastructureFault
from soundsright.core.sources import ModelRef
from soundsright.core.submission import FetchedModel, Submission

MAX_NAME_BYTES = 240
"""The longest name of a file or folder. Most disks allow 255, and `huggingface_hub` writes names 9 bytes longer."""

_DIGEST = re.compile("[0-9a-f]{64}")
STAGING_PREFIX = ".fetch-"
_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM})

_log = logging.getLogger(__name__)


def model_in_cache(cache: Path, submission: Submission, digest: str) -> FetchedModel | None:
    """The cached content of that hash as the submission's model, or None if it is not in the cache.

    The content is hashed again. If it does not match, it is damaged: it is removed, and the result is None.

    Raises:
        InfrastructureFault: the cache cannot be read.
    """
    folder = cache / digest
    if not _DIGEST.fullmatch(digest) or not folder.is_dir():
        return None
    try:
        files = {path.relative_to(folder).as_posix(): path for path in files_below(folder)}
        hashes = {name: sha256_of_file(path) for name, path in files.items()}
        sizes = {name: path.stat().st_size for name, path in files.items()}
        if content_hash(hashes) != digest:
            _log.warning(
                "a cached model is damaged: removing it", extra={"action": "cache_damaged", "folder": str(folder)}
            )
            shutil.rmtree(folder)
            return None
        images = image_digests(folder)
    except OSError as error:
        raise disk_fault(folder, error) from error
    return FetchedModel(submission, folder, digest, (*checkpoint_hashes(hashes, sizes), *images))


def forget_models(cache: Path, keep: Collection[str]) -> int:
    """Remove all models except those with a hash in `keep`. Returns how many were removed.

    Folders of interrupted fetches are removed too. Other folders are not touched.

    Raises:
        InfrastructureFault: a folder cannot be removed.
    """
    removed = 0
    try:
        for folder in sorted(cache.iterdir()) if cache.is_dir() else ():
            content = _DIGEST.fullmatch(folder.name) is not None
            if folder.is_symlink() or not (content or folder.name.startswith(STAGING_PREFIX)):
                continue
            if folder.name not in keep:
                shutil.rmtree(folder)
                removed += content
    except OSError as error:
        raise disk_fault(cache, error) from error
    return removed


def is_storable(path: str) -> bool:
    """Whether any validator's disk can store a file at that path, relative to a repository's root.

    >>> is_storable("weights/model.onnx"), is_storable("weights/" + "a" * 241)
    (True, False)
    """
    try:
        return all(len(name.encode()) <= MAX_NAME_BYTES for name in path.split("/"))
    except UnicodeEncodeError:
        return False


def check_space(folder: Path, model: ModelRef, needed_bytes: int) -> None:
    """Check that the disk of an existing folder has space for the rest of a model.

    Raises:
        InfrastructureFault: the space is too small.
    """
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        raise InfrastructureFault(
            f"{folder} has {free_bytes / 1e9:.1f} GB left, and {model} needs {needed_bytes / 1e9:.1f} GB",
            "Free or add space there. A validator needs less with a lower SOUNDSRIGHT_KEPT_ROUNDS.",
        )


def is_disk_error(error: OSError) -> bool:
    """Whether this machine's disk caused the error, not the hub or the network."""
    return error.errno in _DISK_ERRORS


def disk_fault(path: Path, error: OSError) -> InfrastructureFault:
    """The error of this machine's disk, as a fault that blames neither a hub nor an entry."""
    return InfrastructureFault(
        f"{path} cannot be read or written ({error.strerror or error})",
        "Check that the disk has free space and that you may write there.",
    )


@contextmanager
def disk_errors_at(path: Path) -> Iterator[None]:
    """Turn each `OSError` inside the block into an InfrastructureFault that names the path."""
    try:
        yield
    except OSError as error:
        raise disk_fault(path, error) from error


def move_into_place(finished: Path, target: Path) -> None:
    """Rename a finished folder to its final name, or keep the same folder if another process was faster."""
    try:
        finished.rename(target)
    except OSError:
        if not target.is_dir():
            raise
