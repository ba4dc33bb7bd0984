"""Who may take part in a listening test: the holders of invitations, or anyone.

An invitation is a random token in a link. The test's folder has only hashes of tokens. A rater's id follows from
the token by another hash, so one invitation is one rater, also after a restart, and the votes do not say which one.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from pathlib import Path

from soundsright.core.errors import UsageError

FILE = "invitations.jsonl"
MAX_INVITATIONS = 2_000
_MAX_BYTES = 1 << 20


def new_invitations(folder: Path, count: int) -> list[str]:
    """Make tokens, and store their hashes in the folder of a test. Earlier invitations stay valid.

    Raises:
        UsageError: the folder cannot be written, or the test would have more than `MAX_INVITATIONS`.
    """
    if len(read_invitations(folder)) + count > MAX_INVITATIONS:
        raise UsageError(f"A test has at most {MAX_INVITATIONS} invitations", "Start another test with --name.")
    tokens = [secrets.token_urlsafe(15) for _ in range(count)]
    lines = "".join(json.dumps({"sha256": _hash("invitation", token)}) + "\n" for token in tokens)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / FILE).open("a", encoding="utf-8") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be written ({error.strerror})", "Make the folder of the run writable."
        ) from error
    return tokens


def read_invitations(folder: Path) -> frozenset[str]:
    """The hashes of a test's invitations. Lines that cannot be read are left out."""
    path = folder / FILE
    try:
        if not path.is_file() or path.stat().st_size > _MAX_BYTES:
            return frozenset()
        lines = path.read_bytes().splitlines()
    except OSError:
        return frozenset()
    hashes = set()
    for line in lines:
        try:
            hashes.add(str(json.loads(line)["sha256"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            # A line that was cut off, for example when the disk was full.
            continue
    return frozenset(hashes)


def is_invitation(token: str, hashes: frozenset[str]) -> bool:
    return _hash("invitation", token) in hashes


def rater_of(token: str) -> str:
    """The id of the rater who holds this token."""
    return _hash("rater", token)[:16]


def _hash(purpose: str, token: str) -> str:
    return hashlib.sha256(f"{purpose}:{token}".encode("utf-8", "replace")).hexdigest()
