"""The owner's file with the list of validators. It has exactly the bytes that are published."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from soundsright.core.canonical import canonical_json
from soundsright.core.errors import UsageError, printable
from soundsright.core.ss58 import is_address
from soundsright.core.strict_json import NotStrictJson, strict_json
from soundsright.core.text_files import text_of_file

FILE_NAME = "allowlist.json"
MAX_VALIDATORS = 256

_MAX_BYTES = 65_536
_REMEDY = "Give the file that `soundsright federation validator add` wrote."


@dataclass(frozen=True)
class Listed:
    """A list of validators, and the number of blocks of their turns."""

    validators: tuple[str, ...]
    interval: int

    @property
    def text(self) -> str:
        """The bytes that are published, as text."""
        return canonical_json({"interval": self.interval, "validators": sorted(self.validators), "version": 1})


@dataclass(frozen=True)
class AllowlistFile:
    """The list in the file at `path`."""

    path: Path

    def read(self) -> Listed:
        """The list.

        Raises:
            UsageError: there is no such file, or it has no list in the form that is published.
        """
        text = text_of_file(self.path, _MAX_BYTES, _REMEDY)
        try:
            value = strict_json(text.encode(), 3)
            listed = Listed(tuple(value["validators"]), value["interval"])
            is_list = type(listed.interval) is int and all(map(is_address, listed.validators))
            if not is_list or len(listed.validators) > MAX_VALIDATORS or listed.text != text:
                raise ValueError
        except (NotStrictJson, KeyError, TypeError, ValueError):
            raise UsageError(f"{self.path} is not a list of validators as it is published", _REMEDY) from None
        return listed

    def add(self, hotkeys: Iterable[str], interval: int) -> int:
        """Add hotkeys, and return how many there are. A new file gets turns of `interval` blocks.

        Raises:
            UsageError: a hotkey is no address or on the list already, or the file has turns of another length.
        """
        before = self.read() if self.path.exists() else Listed((), interval)
        if before.interval != interval:
            raise UsageError(
                f"{self.path} has turns of {before.interval} blocks, and the rules have {interval}",
                "Remove the file, and add its hotkeys again.",
            )
        return self._write(Listed((*before.validators, *_checked(hotkeys, before.validators)), interval))

    def remove(self, hotkeys: Iterable[str]) -> int:
        """Remove hotkeys, and return how many are left.

        Raises:
            UsageError: one is not on the list, or none would be left.
        """
        before, gone = self.read(), tuple(hotkeys)
        for hotkey in gone:
            if hotkey not in before.validators:
                raise UsageError(f"{_shown(hotkey)} is not in {self.path}", "List it to see who is.")
        left = tuple(hotkey for hotkey in before.validators if hotkey not in gone)
        if not left:
            raise UsageError(f"{self.path} would have no validator", "Add another one first.")
        return self._write(Listed(left, before.interval))

    def _write(self, listed: Listed) -> int:
        if len(listed.validators) > MAX_VALIDATORS:
            raise UsageError(
                f"{len(listed.validators)} validators are more than {MAX_VALIDATORS}", "Remove some first."
            )
        temporary = self.path.with_name(f".{self.path.name}.new")
        temporary.write_text(listed.text, encoding="utf-8")
        temporary.replace(self.path)
        return len(listed.validators)


def _checked(hotkeys: Iterable[str], present: Iterable[str]) -> tuple[str, ...]:
    known, new = set(present), []
    for hotkey in hotkeys:
        if not is_address(hotkey):
            raise UsageError(f"{_shown(hotkey)} is not an address", "Give the SS58 address of a hotkey.")
        if hotkey in known:
            raise UsageError(f"{hotkey} is on the list already", "Leave it out.")
        known.add(hotkey)
        new.append(hotkey)
    return tuple(new)


def _shown(text: str) -> str:
    return repr(printable(text[:60]))
