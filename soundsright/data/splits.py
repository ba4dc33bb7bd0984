"""Training, validation and test material that share nothing: no speaker, no recording of noise, no room.

All utterances of a speaker, or all microphones of a room, form a group. A group always belongs to one split: the
one that its corpus states, or otherwise the one given by the hash of its name. So a split does not change if files
are added, read at another rate, or listed on another machine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, TypeVar

from soundsright.core.errors import UsageError


class Split(StrEnum):
    """A part of the material: about 80 % of the groups for training, 10 % for validation, 10 % for testing."""

    TRAIN = "train"
    VALID = "valid"
    TEST = "test"


_TENTHS = (Split.TEST, Split.VALID)


def split_of(group: str) -> Split:
    """The split of a group by the hash of its name.

    >>> [str(split_of(name)) for name in ("p225", "p226", "p237", "p234")]
    ['train', 'train', 'train', 'train']
    """
    tenth = int.from_bytes(hashlib.sha256(f"split:{group}".encode()).digest()[:8], "big") % 10
    return _TENTHS[tenth] if tenth < len(_TENTHS) else Split.TRAIN


class Grouped(Protocol):
    """A recording with the split that its corpus states, and the group that otherwise decides it."""

    @property
    def split(self) -> Split | None: ...
    @property
    def group(self) -> str: ...


Recording = TypeVar("Recording", bound=Grouped)


def in_split(recordings: Iterable[Recording], split: Split | None) -> list[Recording]:
    """The recordings that belong to the split; all for None."""
    return [r for r in recordings if split is None or (r.split or split_of(r.group)) is split]


@dataclass(frozen=True)
class Origins:
    """The speakers, noise recordings and rooms of an item or a set. Noise by formula has no origin."""

    speakers: frozenset[str] = frozenset()
    noises: frozenset[str] = frozenset()
    rooms: frozenset[str] = frozenset()

    def __or__(self, other: Origins) -> Origins:
        return Origins(self.speakers | other.speakers, self.noises | other.noises, self.rooms | other.rooms)

    def __and__(self, other: Origins) -> Origins:
        return Origins(self.speakers & other.speakers, self.noises & other.noises, self.rooms & other.rooms)

    def __len__(self) -> int:
        return len(self.speakers) + len(self.noises) + len(self.rooms)

    @property
    def as_lists(self) -> dict[str, list[str]]:
        """The sorted names of each kind, as in a manifest."""
        return {kind: sorted(getattr(self, kind)) for kind in ORIGIN_KINDS}


ORIGIN_KINDS = ("speakers", "noises", "rooms")


@dataclass(frozen=True)
class OriginComparison:
    """The origins of two sets, and those that they share."""

    first: Origins
    second: Origins
    shared: Origins = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shared", self.first & self.second)


def compared(first: Path, second: Path) -> OriginComparison:
    """Compare the origins of two sets.

    Raises:
        UsageError: a manifest is missing or does not name the origins of its items.
    """
    return OriginComparison(origins_of(first), origins_of(second))


def origins_of(folder_or_manifest: Path) -> Origins:
    """The origins of all items of a set, from its folder or its manifest.

    Raises:
        UsageError: as `compared`.
    """
    manifest = folder_or_manifest
    if manifest.is_dir():
        manifest = manifest / "manifest.jsonl"
    if not manifest.is_file():
        raise UsageError(f"There is no manifest at {manifest}", "Give the folder of a set.")
    names_by_kind: dict[str, set[str]] = {kind: set() for kind in ORIGIN_KINDS}
    with manifest.open(encoding="utf-8") as stream:
        for number, raw in enumerate(stream, 1):
            for kind, names in _drawn_from(manifest, number, raw).items():
                names_by_kind[kind].update(names)
    return Origins(*(frozenset(names_by_kind[kind]) for kind in ORIGIN_KINDS))


def _drawn_from(manifest: Path, number: int, raw: str) -> dict[str, list[str]]:
    try:
        line: Any = json.loads(raw)
        lists = line["drawn_from"]
        return {kind: [str(name) for name in lists[kind]] for kind in ORIGIN_KINDS}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise UsageError(
            f"{manifest}, line {number}, does not name the speakers, noises and rooms of its item",
            "Give the folder of a set that `soundsright generate` made.",
        ) from error
