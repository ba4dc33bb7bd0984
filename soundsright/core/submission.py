"""Entries: the commitment that binds an entry to a hotkey, and the submission that follows from it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from soundsright.core.competition import Competition
from soundsright.core.errors import EntryRefused
from soundsright.core.sources import ModelRef, Source


class CommitmentKind(StrEnum):
    """The form in which an entry is on the chain until entries close. The organiser chooses it."""

    DIGEST = "digest"
    """The salted SHA-256 of its content. The miner reveals salt and model to validators."""
    PLAIN = "plain"
    """Its text, which everybody can read."""
    SEALED = "sealed"
    """Its text, encrypted until entries close. Nobody can read it before; everybody can read it afterwards."""


SALT_BYTES = 16
_SALT = re.compile(r"[0-9a-f]{32}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DIGEST_DOMAIN = "soundsright.commitment/2"
_TEXT_DOMAIN = "soundsright.entry/2"
_REVEAL_DOMAIN = "soundsright.reveal/2"


def commitment_text(model: ModelRef, hotkey: str, competition_id: str) -> str:
    """An entry of format 1 as one line: `namespace:name:revision:hotkey:competition_id`.

    No part contains a colon, so two different entries never have the same text. The hotkey is part of it, so
    copying another hotkey's commitment does not make an entry.
    """
    return f"{model.namespace}:{model.name}:{model.revision}:{hotkey}:{competition_id}"


def commitment_digest(model: ModelRef, hotkey: str, competition_id: str) -> str:
    """The SHA-256 of the text of format 1, in hex. It has no salt, so a list of public models opens it.

    >>> commitment_digest(ModelRef("ns", "model", "0" * 40), "hk", "DENOISING_16000HZ")[:16]
    '7fb2bf947b0c1dce'
    """
    return hashlib.sha256(commitment_text(model, hotkey, competition_id).encode()).hexdigest()


def salted_digest(content_hash: str, hotkey: str, competition_id: str, salt: str) -> str:
    """The digest of format 2, in hex: it covers the model's content, not the place where the content is.

    It is the SHA-256 of `soundsright.commitment/2:SALT:CONTENT:HOTKEY:COMPETITION`. Without the salt of 128 random
    bits nobody can find the model by trying public ones.

    >>> salted_digest("c" * 64, "hk", "DENOISING_16000HZ", "5" * 32)[:16]
    '6d44f93574e1aabf'
    """
    return hashlib.sha256(f"{_DIGEST_DOMAIN}:{salt}:{content_hash}:{hotkey}:{competition_id}".encode()).hexdigest()


def is_salt(text: str) -> bool:
    """Whether the text is a salt: 32 lower-case hex digits."""
    return _SALT.fullmatch(text) is not None


def is_sha256(text: str) -> bool:
    """Whether the text is a SHA-256, or a key of 256 bits: 64 lower-case hex digits."""
    return _SHA256.fullmatch(text) is not None


@dataclass(frozen=True)
class Commitment:
    """The text that a hotkey has on the chain, and the block in which it was written.

    `digest` is that text: the entry's digest, its plain text, or its sealed text. `earlier_blocks` are the blocks
    of the hotkey's earlier commitments, as far back as the chain lists them. `first_block` is the block of its
    first commitment of this same text; None if the chain does not list it.
    """

    hotkey: str
    digest: str
    block: int
    earlier_blocks: tuple[int, ...] = ()
    first_block: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "earlier_blocks", tuple(self.earlier_blocks))


@dataclass(frozen=True)
class Reveal:
    """The model and the competition that a commitment stands for.

    `salt` and `content_hash` are empty in format 1. `archive_key` opens a sealed archive in the repository; it is
    empty if the repository has the model's plain files.
    """

    model: ModelRef
    competition_id: str
    salt: str = ""
    content_hash: str = ""
    archive_key: str = field(default="", repr=False)

    @property
    def is_salted(self) -> bool:
        """Whether the reveal has format 2."""
        return bool(self.salt)

    def digest(self, hotkey: str) -> str:
        """The commitment of kind `digest` that this reveals."""
        if self.is_salted:
            return salted_digest(self.content_hash, hotkey, self.competition_id, self.salt)
        return commitment_digest(self.model, hotkey, self.competition_id)

    def text(self, hotkey: str) -> str:
        """The commitment of kind `plain` that this reveals; a seal contains the same text.

        In format 2 it is `soundsright.entry/2:SALT:CONTENT:NAMESPACE:NAME:REVISION:HOTKEY:COMPETITION:KEY`.
        """
        if not self.is_salted:
            return commitment_text(self.model, hotkey, self.competition_id)
        return f"{_TEXT_DOMAIN}:{self._line(hotkey)}"

    def signed_text(self, hotkey: str, round_id: str) -> str:
        """The text that the hotkey signs when it reveals its entry of a round to validators."""
        return f"{_REVEAL_DOMAIN}:{round_id}:{self._line(hotkey)}"

    def _line(self, hotkey: str) -> str:
        place = f"{self.model.namespace}:{self.model.name}:{self.model.revision}"
        return f"{self.salt}:{self.content_hash}:{place}:{hotkey}:{self.competition_id}:{self.archive_key}"


def reveal_of_text(text: str, hotkey: str) -> Reveal:
    """The reveal in an entry's text of either format, if the text is this hotkey's own.

    Raises:
        EntryRefused: `bad_reveal`, `wrong_hotkey`, `bad_reference` or `bad_revision`.

    >>> reveal_of_text(f"ns:model:{'0' * 40}:hk:DENOISING_16000HZ", "hk").model.repository
    'ns/model'
    """
    parts = text.split(":")
    salt = content = key = ""
    if len(parts) == 9 and parts[0] == _TEXT_DOMAIN:
        _, salt, content, *parts, key = parts
        if not (is_salt(salt) and is_sha256(content) and (not key or is_sha256(key))):
            raise EntryRefused("bad_reveal", "The salt, the content hash or the key of the commitment is not hex")
    if len(parts) != 5:
        raise EntryRefused("bad_reveal", "The commitment does not have the form of an entry")
    namespace, name, revision, owner, competition_id = parts
    if owner != hotkey:
        raise EntryRefused("wrong_hotkey", f"The commitment was written for the hotkey {owner[:60]!r}")
    return Reveal(ModelRef(namespace, name, revision), competition_id, salt, content, key)


def entry_id_of(uid: int, hotkey: str) -> str:
    """A name for an entry's files and rows. It is unique in a round, since a hotkey enters one competition."""
    return f"{uid}-{hotkey[:12]}"


@dataclass(frozen=True)
class Submission:
    """A valid entry: its reveal matched its commitment, which was made before the seed was fixed.

    `content_hash` is the committed content; it is empty if the commitment covers only the source. `archive_key`
    opens a sealed archive in the repository; it is empty if the repository has the model's plain files.
    """

    uid: int
    hotkey: str
    competition: Competition
    source: Source
    block: int
    content_hash: str = field(default="", compare=False)
    archive_key: str = field(default="", repr=False, compare=False)

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
