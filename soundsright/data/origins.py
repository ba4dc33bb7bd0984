"""What a set was drawn from, and what two sets share: speakers, noise recordings and rooms.

Names say nothing where they were guessed: if each file of a flat folder counts as a speaker, two sets can share a
voice under two names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soundsright.core.errors import UsageError
from soundsright.core.text_files import MAX_MANIFEST_BYTES, json_object, objects_of_file, text_of_file

GUESSED_GROUPS = "guessed_groups"
"""The field of `set.json` with the sources whose groups are only guessed, by the kind of group."""

_ROLES = {"speakers": "speech", "noises": "noise", "rooms": "rooms"}
_MAX_SUMMARY_BYTES = 256_000_000
_REMEDY = "Restore the file, or make the set again."
_OWN_SET = "Give the folder of a set that `soundsright generate` made."


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
    """The origins of two sets, and those that they share.

    `unknown` has the kinds of which no name is shared, although guessed names can hide it: the reason for each.
    """

    first: Origins
    second: Origins
    guesses: Mapping[str, str] = field(default_factory=dict)
    shared: Origins = field(init=False)
    unknown: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shared", self.first & self.second)
        unknown = {
            kind: reason
            for kind, reason in self.guesses.items()
            if getattr(self.first, kind) and getattr(self.second, kind) and not getattr(self.shared, kind)
        }
        object.__setattr__(self, "unknown", unknown)


def compared(first: Path, second: Path) -> OriginComparison:
    """Compare the origins of two sets.

    Raises:
        UsageError: a manifest is missing or does not name the origins of its items, or a `set.json` is damaged.
    """
    guesses = {**_guesses_of(second), **_guesses_of(first)}
    return OriginComparison(origins_of(first), origins_of(second), guesses)


def _guesses_of(folder_or_manifest: Path) -> dict[str, str]:
    """The kinds of origins that are only guessed in a set, with the reason for each."""
    folder = folder_or_manifest if folder_or_manifest.is_dir() else folder_or_manifest.parent
    path = folder / "set.json"
    if not path.is_file():
        return dict.fromkeys(ORIGIN_KINDS, f"{folder} has no set.json, which says how its names were found")
    summary = summary_of(path)
    try:
        guessed: Any = summary.get(GUESSED_GROUPS)
        if guessed is None:
            # Older versions did not mark guesses. They took them in every folder without a known layout.
            sources = summary["sources"]
            guessed = {
                kind: [str(each["name"]) for each in sources.get(role, ()) if each.get("layout") == "files"]
                for kind, role in _ROLES.items()
            }
        return {
            kind: f"those of {folder} are only guessed from the paths in {guessed[kind][0]}"
            for kind in ORIGIN_KINDS
            if guessed.get(kind)
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} does not describe a set", _REMEDY) from error


def summary_of(path: Path) -> dict[str, Any]:
    """The content of a `set.json`.

    Raises:
        UsageError: it is no JSON object, or is too large.
    """
    return json_object(text_of_file(path, _MAX_SUMMARY_BYTES, _REMEDY), str(path), _REMEDY)


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
    for number, line in objects_of_file(manifest, MAX_MANIFEST_BYTES, _OWN_SET):
        for kind, names in _drawn_from(manifest, number, line).items():
            names_by_kind[kind].update(names)
    return Origins(*(frozenset(names_by_kind[kind]) for kind in ORIGIN_KINDS))


def _drawn_from(manifest: Path, number: int, line: Mapping[str, Any]) -> dict[str, list[str]]:
    try:
        lists = line["drawn_from"]
        return {kind: [str(name) for name in lists[kind]] for kind in ORIGIN_KINDS}
    except (KeyError, TypeError) as error:
        raise UsageError(
            f"{manifest}, line {number}, does not name the speakers, noises and rooms of its item", _OWN_SET
        ) from error
