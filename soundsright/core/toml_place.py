"""Where in a TOML file a value stands, so that a mistake is told with its place and the value."""

from __future__ import annotations

import datetime
import difflib
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from soundsright.core.errors import UsageError

T = TypeVar("T")

_MAX_SHOWN_CHARS = 80


@dataclass(frozen=True)
class Place:
    """`source` names the file, `path` the table or key in it.

    Each method gives the value as what it should be, and raises a UsageError that names the place where it is not.
    """

    source: str
    path: str = ""

    def under(self, key: str) -> Place:
        return replace(self, path=f"{self.path}.{key}" if self.path else key)

    def wrong(self, problem: str, remedy: str) -> UsageError:
        where = f"{self.source}, {self.path}" if self.path else self.source
        return UsageError(f"{where}: {problem}", remedy)

    def table(self, value: object, known: Collection[str] | None) -> dict[str, Any]:
        """The value as a table in which every key is known; None: keys are names."""
        if not isinstance(value, dict):
            raise self.wrong(f"{shown(value)} is no table", "Write it as [table] or { key = value }.")
        for key in value:
            if known is not None and key not in known:
                close = difflib.get_close_matches(key, known, n=1)
                hint = f"Did you mean {close[0]!r}?" if close else f"Choose from {', '.join(sorted(known))}."
                raise self.wrong(f"unknown key {key!r}", hint)
        return value

    def number(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.wrong(f"{shown(value)} is no number", "Give a finite number.")
        return float(value)

    def amount(self, value: object) -> float:
        """A number that is not negative."""
        number = self.number(value)
        if number < 0:
            raise self.wrong(f"{shown(value)} is negative", "Give a number from 0.")
        return number

    def whole(self, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.wrong(f"{shown(value)} is no whole number", "Give a whole number.")
        return value

    def truth(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise self.wrong(f"{shown(value)} is neither true nor false", "Write true or false.")
        return value

    def text(self, value: object) -> str:
        if not isinstance(value, str):
            raise self.wrong(f"{shown(value)} is no text", "Write it in quotes.")
        return value

    def day(self, value: object) -> int:
        """Days since 1970-01-01."""
        if not isinstance(value, datetime.date) or isinstance(value, datetime.datetime):
            raise self.wrong(f"{shown(value)} is no day", "Write 2030-01-07, without quotes.")
        return (value - datetime.date(1970, 1, 1)).days

    def names(self, value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            raise self.wrong(f"{shown(value)} is no list of names", 'Write ["A", "B"].')
        return tuple(value)

    def required(self, table: Mapping[str, Any], key: str) -> Any:
        if key not in table:
            raise self.wrong(f"{key!r} is missing", "Add it.")
        return table[key]

    def built(self, build: Callable[[], T]) -> T:
        """What a checked type, or a look-up by name, makes of the values; its objection is told as the file's."""
        try:
            return build()
        except UsageError as error:
            raise self.wrong(error.problem, error.remedy) from error
        except (ValueError, TypeError) as error:
            raise self.wrong(str(error), "Correct it.") from error


def shown(value: object) -> str:
    """A value about as TOML writes it, cut where it is long.

    >>> shown(datetime.datetime(2030, 1, 7, 9)), shown(True), shown("45")
    ('2030-01-07T09:00:00', 'true', "'45'")
    """
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= _MAX_SHOWN_CHARS else f"{text[: _MAX_SHOWN_CHARS - 3]}..."
