"""Who enters what: a reference to a model, the digest that binds it to a hotkey, and the entry that results."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
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


def commitment_digest(model: ModelRef, hotkey: str, competition_id: str) -> str:
    """SHA-256 of `namespace:name:revision:hotkey:competition_id`: what a miner puts on the chain.

    The parts cannot hold a colon, so two different entries never hash the same text.

    >>> commitment_digest(ModelRef("ns", "model", "0" * 40), "hk", "DENOISING_16000HZ")[:16]
    '7fb2bf947b0c1dce'
    """
    text = f"{model.namespace}:{model.name}:{model.revision}:{hotkey}:{competition_id}"
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Commitment:
    """What the chain holds: a digest under a hotkey since a block."""

    hotkey: str
    digest: str
    block: int


@dataclass(frozen=True)
class Reveal:
    """What a miner tells validators after the commitment: what the digest stands for."""

    model: ModelRef
    competition_id: str


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
