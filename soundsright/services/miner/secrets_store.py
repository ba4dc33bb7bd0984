"""The secrets in a miner's state: the salts of its commitments, and the keys of its sealed archives.

Each is on the disk before it is used, in a file that only its owner can read.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soundsright.core.errors import InfrastructureFault, UsageError
from soundsright.core.submission import SALT_BYTES, is_salt, is_sha256

_SALTS_FILE = "salts.json"
_ARCHIVES_FILE = "archives.json"
_MAX_BYTES = 4_000_000


def stored_salt(folder: Path, hotkey: str, competition_id: str, content_hash: str) -> str:
    """The salt of that content's commitment. The first call makes it and stores it.

    The same content keeps its salt, so committing it again gives the same digest and keeps its first block.

    Raises:
        UsageError: the file is damaged.
        InfrastructureFault: the file cannot be read or written.
    """
    path = folder / _SALTS_FILE
    key = f"{hotkey}:{competition_id}:{content_hash}"
    salts = _read(path, "salts")
    if not all(isinstance(salt, str) and is_salt(salt) for salt in salts.values()):
        raise _damaged(path)
    if key not in salts:
        salts[key] = secrets.token_bytes(SALT_BYTES).hex()
        write_secret(path, json.dumps({"version": 1, "salts": salts}, indent=1))
    return str(salts[key])


@dataclass(frozen=True)
class SealedModel:
    """The content hash of the files in a sealed archive, and the archive's key in hex."""

    content_hash: str
    key: str = field(repr=False)


def store_archive(folder: Path, archive_sha256: str, sealed: SealedModel) -> None:
    """Store the key of a sealed archive.

    Raises:
        UsageError: the file of keys is damaged.
        InfrastructureFault: it cannot be read or written.
    """
    path = folder / _ARCHIVES_FILE
    archives = _read(path, "archives")
    archives[archive_sha256] = {"content": sealed.content_hash, "key": sealed.key}
    write_secret(path, json.dumps({"version": 1, "archives": archives}, indent=1))


def stored_archive(folder: Path, archive_sha256: str) -> SealedModel:
    """The key of a sealed archive that was sealed on this machine.

    Raises:
        UsageError: there is no such key, or the file of keys is damaged.
        InfrastructureFault: it cannot be read.
    """
    path = folder / _ARCHIVES_FILE
    facts = _read(path, "archives").get(archive_sha256)
    if facts is None:
        raise UsageError(
            f"{path} has no key for the sealed archive {archive_sha256[:16]}…",
            "Seal the model with `soundsright seal` and this STATE_FOLDER, or copy the file from where you did.",
        )
    try:
        sealed = SealedModel(facts["content"], facts["key"])
        well_formed = is_sha256(sealed.content_hash) and is_sha256(sealed.key)
    except (KeyError, TypeError):
        well_formed = False
    if not well_formed:
        raise _damaged(path)
    return sealed


def _read(path: Path, name: str) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            content = json.loads(stream.read(_MAX_BYTES))[name]
        if not isinstance(content, dict):
            raise ValueError
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InfrastructureFault(
            f"{path} cannot be read ({error.strerror})", "Check that you may read it."
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _damaged(path) from None
    return content


def _damaged(path: Path) -> UsageError:
    # Making a new salt would lose the block of the present commitment without a word.
    return UsageError(
        f"{path} is damaged: it has secrets of your commitments",
        "Restore it from a backup. Without one, remove it: the miner then commits again, in a later block.",
    )


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner can read. After a crash, the old or the new text is there, never a part."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}.part")
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        raise InfrastructureFault(
            f"{path} cannot be written ({error.strerror})",
            "Free some disk space, and check that you may write there.",
        ) from error
