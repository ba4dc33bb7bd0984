"""Training, validation and test material that share nothing: no speaker, no recording of noise, no room.

All utterances of a speaker, or all microphones of a room, form a group. A group always belongs to one split: the
one that its corpus states, or otherwise the one given by the hash of its name. So a split does not change if files
are added, read at another rate, or listed on another machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from enum import StrEnum
from typing import Protocol, TypeVar


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
