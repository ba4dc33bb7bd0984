"""Reads what a set was drawn from, and finds what two sets share: speakers, noise recordings and rooms.

Names say nothing where they were guessed: if each file of a flat folder counts as a speaker, two sets can share a
voice under two names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soundsright.core.errors import UsageError
from soundsright.core.text_files import MAX_MANIFEST_BYTES, object_of_file, objects_of_file

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
        # Corpora are distributed with upper and with lower case names, so case tells no two speakers apart.
        known = {name.casefold() for name in other.speakers}
        speakers = frozenset(name for name in self.speakers if name.casefold() in known)
        return Origins(speakers, self.noises & other.noises, self.rooms & other.rooms)

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

    `unknown` has the kinds of which no name is shared, although guessed or missing names can hide it: the reason
    for each. `guesses` has the kinds whose names were guessed, `missing` those of which a set lacks names.
    """

    first: Origins
    second: Origins
    guesses: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    shared: Origins = field(init=False)
    unknown: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shared", self.first & self.second)
        unknown = {
            kind: reason
            for kind, reason in self.guesses.items()
            if getattr(self.first, kind) and getattr(self.second, kind)
        } | dict(self.missing)
        unknown = {kind: reason for kind, reason in unknown.items() if not getattr(self.shared, kind)}
        object.__setattr__(self, "unknown", unknown)


def compared(first: Path, second: Path) -> OriginComparison:
    """Compare the origins of two sets.

    Raises:
        UsageError: a manifest is missing or does not name the origins of its items, or a `set.json` is damaged.
    """
    sets = [_SetOrigins.read(first), _SetOrigins.read(second)]
    guesses = {**_guesses_of(second), **_guesses_of(first)}
    return OriginComparison(sets[0].origins, sets[1].origins, guesses, {**sets[1].missing, **sets[0].missing})


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
    return object_of_file(path, _MAX_SUMMARY_BYTES, _REMEDY)


def origins_of(folder_or_manifest: Path) -> Origins:
    """The origins of all items of a set, from its folder or its manifest.

    Raises:
        UsageError: as `compared`.
    """
    return _SetOrigins.read(folder_or_manifest).origins


@dataclass(frozen=True)
class _SetOrigins:
    """The origins of all items of a set, and the kinds of which it lacks names, with the reason for each."""

    origins: Origins
    missing: dict[str, str]

    @classmethod
    def read(cls, folder_or_manifest: Path) -> _SetOrigins:
        """Read them from the folder of a set, or from its manifest.

        Raises:
            UsageError: the manifest is missing, or has another number of lines than `set.json` states.
        """
        manifest = folder_or_manifest
        if manifest.is_dir():
            manifest = manifest / "manifest.jsonl"
        if not manifest.is_file():
            raise UsageError(f"There is no manifest at {manifest}", "Give the folder of a set.")
        names_by_kind: dict[str, set[str]] = {kind: set() for kind in ORIGIN_KINDS}
        missing: dict[str, str] = {}
        count = 0
        for number, line in objects_of_file(manifest, MAX_MANIFEST_BYTES, _OWN_SET):
            count += 1
            names = _drawn_from(manifest, number, line)
            for kind in ORIGIN_KINDS:
                names_by_kind[kind].update(name for name in names[kind] if name.strip())
                # A recording of speech can have no speaker: its name is empty. Noise by formula has no names.
                if not all(name.strip() for name in names[kind]) or (kind == "speakers" and not names[kind]):
                    missing.setdefault(kind, f"{manifest}, line {number}, does not name its {kind}")
        if not count:
            missing = dict.fromkeys(ORIGIN_KINDS, f"{manifest} has no lines")
        else:
            _check_count(manifest, count)
        return cls(Origins(*(frozenset(names_by_kind[kind]) for kind in ORIGIN_KINDS)), missing)


def _check_count(manifest: Path, count: int) -> None:
    path = manifest.parent / "set.json"
    stated = summary_of(path).get("items") if path.is_file() else None
    if stated is not None and stated != count:
        raise UsageError(f"{manifest} has {count} lines, but {path} states {stated!r:.20} items", _REMEDY)


def _drawn_from(manifest: Path, number: int, line: Mapping[str, Any]) -> dict[str, list[str]]:
    lists = line.get("drawn_from")
    if not isinstance(lists, dict) or not all(_is_names(lists.get(kind)) for kind in ORIGIN_KINDS):
        raise UsageError(
            f"{manifest}, line {number}, does not name the speakers, noises and rooms of its item, each kind as a "
            "list of names",
            _OWN_SET,
        )
    return {kind: lists[kind] for kind in ORIGIN_KINDS}


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)
