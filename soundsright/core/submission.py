"""Who enters what: a reference to a model, the digest that binds it to a hotkey, and the entry that results."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from soundsright.core.competition import Competition
from soundsright.core.errors import EntryRefused

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?")
_REVISION = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, order=True)
class ModelRef:
    """A repository on a model hub at one commit. Hub names: letters, digits, `-`, `_`, `.`; at most 96.

    Raises:
        EntryRefused: `bad_reference` or `bad_revision`, if a part is not of its form.
    """

    namespace: str
    name: str
    revision: str

    def __post_init__(self) -> None:
        for part in (self.namespace, self.name):
            if not _NAME.fullmatch(part) or ".." in part or "--" in part:
                raise EntryRefused("bad_reference", f"{part[:100]!r} is not a repository name of a hub")
        if not _REVISION.fullmatch(self.revision):
            raise EntryRefused(
                "bad_revision",
                f"The revision {self.revision[:60]!r} is not a commit (40 hex digits); a branch or tag can move",
            )

    @property
    def repository(self) -> str:
        return f"{self.namespace}/{self.name}"

    def __str__(self) -> str:
        return f"{self.repository}@{self.revision}"


class CommitmentKind(StrEnum):
    """What of an entry stands on the chain until entries close, as the organiser chooses."""

    DIGEST = "digest"
    """Its SHA-256; the miner tells validators what it stands for."""
    PLAIN = "plain"
    """Its text, for everybody to read."""
    SEALED = "sealed"
    """Its text, encrypted to the close of entries: nobody can read it before, and nobody has to tell it after."""


def commitment_text(model: ModelRef, hotkey: str, competition_id: str) -> str:
    """An entry as one line, `namespace:name:revision:hotkey:competition_id`: hashed, plain or sealed on the chain.

    The parts cannot hold a colon, so two different entries never have the same text; and the hotkey is in it, so
    that nobody enters by copying what another has committed.
    """
    return f"{model.namespace}:{model.name}:{model.revision}:{hotkey}:{competition_id}"


def commitment_digest(model: ModelRef, hotkey: str, competition_id: str) -> str:
    """SHA-256 of the entry's text: what a miner puts on the chain where the commitment is a digest.

    >>> commitment_digest(ModelRef("ns", "model", "0" * 40), "hk", "DENOISING_16000HZ")[:16]
    '7fb2bf947b0c1dce'
    """
    return hashlib.sha256(commitment_text(model, hotkey, competition_id).encode()).hexdigest()


@dataclass(frozen=True)
class Commitment:
    """What the chain holds under a hotkey since a block.

    `digest` is the text that stands there: the entry's digest, its plain text, or the text that a timelock sealed.
    `earlier_blocks` are those of the hotkey's commitments before this one, as far back as the chain tells of them.
    """

    hotkey: str
    digest: str
    block: int
    earlier_blocks: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "earlier_blocks", tuple(self.earlier_blocks))


@dataclass(frozen=True)
class Reveal:
    """What a commitment turns out to stand for once entries are closed."""

    model: ModelRef
    competition_id: str


def reveal_of_text(text: str, hotkey: str) -> Reveal:
    """What an entry's text says, where it is the hotkey's own.

    Raises:
        EntryRefused: `bad_reveal`, `wrong_hotkey`, `bad_reference` or `bad_revision`.

    >>> reveal_of_text(f"ns:model:{'0' * 40}:hk:DENOISING_16000HZ", "hk").model.repository
    'ns/model'
    """
    parts = text.split(":")
    if len(parts) != 5:
        raise EntryRefused("bad_reveal", "The commitment is not namespace:name:revision:hotkey:competition_id")
    namespace, name, revision, owner, competition_id = parts
    if owner != hotkey:
        raise EntryRefused("wrong_hotkey", f"The commitment was written for the hotkey {owner[:60]!r}")
    return Reveal(ModelRef(namespace, name, revision), competition_id)


@dataclass(frozen=True)
class Submission:
    """An entry whose reveal hashed to its commitment, made before the seed was fixed."""

    uid: int
    hotkey: str
    competition: Competition
    model: ModelRef
    block: int

    @property
    def entry_id(self) -> str:
        """A name for files and rows: unique in a round, since a hotkey enters one competition."""
        return f"{self.uid}-{self.hotkey[:12]}"


@dataclass(frozen=True)
class FetchedModel:
    """A submission's repository on disk, read-only from here on.

    `content_hash` covers every path and byte; `checkpoint_hashes` are the SHA-256 of each file of weights.
    """

    submission: Submission
    path: Path
    content_hash: str
    checkpoint_hashes: tuple[str, ...]
