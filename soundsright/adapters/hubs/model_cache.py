"""Fetched models on this machine's disk: a folder per content below one cache, named by its SHA-256.

What lies there is verified before it is used, so that neither a hub nor a disk can change an entry between two
starts of a round. Sizes are in bytes.
"""

from __future__ import annotations

import errno
import logging
import re
import shutil
from collections.abc import Collection
from pathlib import Path

from soundsright.core.content import checkpoint_hashes, content_hash, files_below, sha256_of_file
from soundsright.core.errors import InfrastructureFault
from soundsright.core.sources import ModelRef
from soundsright.core.submission import FetchedModel, Submission

MAX_NAME_BYTES = 240
"""Of a file or folder. Disks take 255; `huggingface_hub` writes beside a file one that is named 9 bytes longer."""

_DIGEST = re.compile("[0-9a-f]{64}")
STAGING_PREFIX = ".fetch-"
_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM})

_log = logging.getLogger(__name__)


def model_in_cache(cache: Path, submission: Submission, digest: str) -> FetchedModel | None:
    """The content of that hash as the submission's, read and hashed anew; None where it is not there.

    What is there and is not what its name says was cut off or changed: it is removed, to be fetched anew.

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
            _log.warning("a damaged model is removed", extra={"action": "cache_damaged", "folder": str(folder)})
            shutil.rmtree(folder)
            return None
    except OSError as error:
        raise disk_fault(folder, error) from error
    return FetchedModel(submission, folder, digest, checkpoint_hashes(hashes, sizes))


def forget_models(cache: Path, keep: Collection[str]) -> int:
    """Remove the contents that are not to be kept, and what a fetch that was cut off has left.

    Only folders that have this cache's form are touched.

    Raises:
        InfrastructureFault: one cannot be removed.
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
    """Whether every name in a path below a repository's root can be one on any validator's disk.

    >>> is_storable("weights/model.onnx"), is_storable("weights/" + "a" * 241)
    (True, False)
    """
    try:
        return all(len(name.encode()) <= MAX_NAME_BYTES for name in path.split("/"))
    except UnicodeEncodeError:
        return False


def check_space(folder: Path, model: ModelRef, needed: int) -> None:
    """See that the disk of an existing folder has room for what is to be fetched of a model.

    Raises:
        InfrastructureFault: it has not.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InfrastructureFault(
            f"{folder} has {free / 1e9:.1f} GB left, and {model} needs {needed / 1e9:.1f} GB",
            "Free or add space there; a validator keeps less with a lower SOUNDSRIGHT_KEPT_ROUNDS.",
        )


def is_of_the_disk(error: OSError) -> bool:
    """Whether this machine's disk is meant, and no hub and no entry."""
    return error.errno in _DISK_ERRORS


def disk_fault(path: Path, error: OSError) -> InfrastructureFault:
    """A disk's error, which is never taken for one of the hub: it says nothing of any entry."""
    return InfrastructureFault(
        f"{path} cannot be read or written ({error.strerror or error})",
        "See that the disk has space and can be written.",
    )
