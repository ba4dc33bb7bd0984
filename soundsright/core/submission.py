"""Entries: the commitment that binds an entry to a hotkey, and the submission that follows from it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from soundsright.core.competition import Competition
from soundsright.core.errors import EntryRefused
from soundsright.core.sources import ModelRef, Source


class CommitmentKind(StrEnum):
    """The form in which an entry is on the chain until entries close. The organiser chooses it."""

    DIGEST = "digest"
    """The SHA-256 of its text. The miner reveals the text to validators."""
    PLAIN = "plain"
    """Its text, which everybody can read."""
    SEALED = "sealed"
    """Its text, encrypted until entries close. Nobody can read it before; everybody can read it afterwards."""


def commitment_text(model: ModelRef, hotkey: str, competition_id: str) -> str:
    """An entry as one line: `namespace:name:revision:hotkey:competition_id`.

    The chain has the hash of this line, the line itself, or the line sealed. No part contains a colon, so two
    different entries never have the same text. The hotkey is part of it, so copying another hotkey's commitment
    does not make an entry.
    """
    return f"{model.namespace}:{model.name}:{model.revision}:{hotkey}:{competition_id}"


def commitment_digest(model: ModelRef, hotkey: str, competition_id: str) -> str:
    """The SHA-256 of the entry's text, in hex: a commitment of kind `digest`.

    >>> commitment_digest(ModelRef("ns", "model", "0" * 40), "hk", "DENOISING_16000HZ")[:16]
    '7fb2bf947b0c1dce'
    """
    return hashlib.sha256(commitment_text(model, hotkey, competition_id).encode()).hexdigest()


@dataclass(frozen=True)
class Commitment:
    """The text that a hotkey has on the chain, and the block in which it was written.

    `digest` is that text: the entry's digest, its plain text, or its sealed text. `earlier_blocks` are the blocks
    of the hotkey's earlier commitments, as far back as the chain lists them.
    """

    hotkey: str
    digest: str
    block: int
    earlier_blocks: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "earlier_blocks", tuple(self.earlier_blocks))


@dataclass(frozen=True)
class Reveal:
    """The model and the competition that a commitment stands for."""

    model: ModelRef
    competition_id: str


def reveal_of_text(text: str, hotkey: str) -> Reveal:
    """The reveal in an entry's text, if the text is this hotkey's own.

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


def entry_id_of(uid: int, hotkey: str) -> str:
    """A name for an entry's files and rows. It is unique in a round, since a hotkey enters one competition."""
    return f"{uid}-{hotkey[:12]}"


@dataclass(frozen=True)
class Submission:
    """A valid entry: its reveal matched its commitment, which was made before the seed was fixed."""

    uid: int
    hotkey: str
    competition: Competition
    source: Source
    block: int

    @property
    def entry_id(self) -> str:
        """See `entry_id_of`."""
        return entry_id_of(self.uid, self.hotkey)


@dataclass(frozen=True)
class FetchedModel:
    """A submission's files on disk. They are not changed any more.

    `content_hash` covers every path and byte; `checkpoint_hashes` are the SHA-256 of each file of weights, and
    the digest of the image that the model names, if it names one.
    """

    submission: Submission
    path: Path
    content_hash: str
    checkpoint_hashes: tuple[str, ...]
