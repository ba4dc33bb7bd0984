"""Admits people to a listening test: the holders of invitations, or anyone.

An invitation is a random token in a link. The test's folder has only hashes of tokens. A rater's id follows from
the token by another hash, so one invitation is one rater, also after a restart, and the votes do not say which one.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from soundsright.core.errors import UsageError
from soundsright.services.listening.stored import append_lines, read_lines

FILE = "invitations.jsonl"
MAX_INVITATIONS = 2_000
_MAX_BYTES = 1 << 20


class _Invitation(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def new_invitations(folder: Path, count: int) -> list[str]:
    """Make tokens, and store their hashes in the folder of a test. Earlier invitations stay valid.

    Raises:
        UsageError: the folder cannot be written, or the test would have more than `MAX_INVITATIONS`.
        InfrastructureFault: the earlier invitations cannot be read.
    """
    if len(read_invitations(folder)) + count > MAX_INVITATIONS:
        raise UsageError(f"A test has at most {MAX_INVITATIONS} invitations", "Start another test with --name.")
    tokens = [secrets.token_urlsafe(15) for _ in range(count)]
    lines = "".join(json.dumps({"sha256": _hash("invitation", token)}) + "\n" for token in tokens)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        append_lines(folder / FILE, lines, _MAX_BYTES)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be written ({error.strerror})", "Make the folder of the run writable."
        ) from error
    return tokens


def read_invitations(folder: Path) -> frozenset[str]:
    """The hashes of a test's invitations. A line that a full disk cut off is left out.

    Raises:
        InfrastructureFault: the invitations cannot be read.
    """
    return frozenset(line.sha256 for line in read_lines(folder / FILE, _Invitation, _MAX_BYTES))


def is_invitation(token: str, hashes: frozenset[str]) -> bool:
    return _hash("invitation", token) in hashes


def rater_of(token: str) -> str:
    """The id of the rater who holds this token."""
    return _hash("rater", token)[:16]


def _hash(purpose: str, token: str) -> str:
    return hashlib.sha256(f"{purpose}:{token}".encode("utf-8", "replace")).hexdigest()
