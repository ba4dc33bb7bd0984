"""A value's location in a TOML file, so that the message about a mistake names the file, the key and the value."""

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
class TomlLocation:
    """A table or a key in a TOML file. `source` names the file, `path` the table or key in it.

    Each method checks a value and returns it with its type. If the value has the wrong form, the method raises a
    UsageError that names the location and the value.
    """

    source: str
    path: str = ""

    def under(self, key: str) -> TomlLocation:
        """The location of a key in this table."""
        return replace(self, path=f"{self.path}.{key}" if self.path else key)

    def error(self, problem: str, remedy: str) -> UsageError:
        """A mistake at this location."""
        location = f"{self.source}, {self.path}" if self.path else self.source
        return UsageError(f"{location}: {problem}", remedy)

    def table(self, value: object, known: Collection[str] | None) -> dict[str, Any]:
        """The value as a table whose keys are all known. If `known` is None, any key is allowed."""
        if not isinstance(value, dict):
            raise self.error(f"{toml_text(value)} is not a table", "Write it as [table] or { key = value }.")
        for key in value:
            if known is not None and key not in known:
                close = difflib.get_close_matches(key, known, n=1)
                hint = f"Did you mean {close[0]!r}?" if close else f"Choose from {', '.join(sorted(known))}."
                raise self.error(f"unknown key {key!r}", hint)
        return value

    def number(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.error(f"{toml_text(value)} is not a finite number", "Write a number, such as 0.5.")
        return float(value)

    def non_negative(self, value: object) -> float:
        number = self.number(value)
        if number < 0:
            raise self.error(f"{toml_text(value)} is negative", "Write 0 or a larger number.")
        return number

    def whole_number(self, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(f"{toml_text(value)} is not a whole number", "Write a whole number, such as 30.")
        return value

    def true_or_false(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise self.error(f"{toml_text(value)} is neither true nor false", "Write true or false.")
        return value

    def text(self, value: object) -> str:
        if not isinstance(value, str):
            raise self.error(f"{toml_text(value)} is not a text", "Write it in quotes.")
        return value

    def day(self, value: object) -> int:
        """The date as days since 1970-01-01."""
        if not isinstance(value, datetime.date) or isinstance(value, datetime.datetime):
            raise self.error(f"{toml_text(value)} is not a date", "Write 2030-01-07, without quotes.")
        return (value - datetime.date(1970, 1, 1)).days

    def names(self, value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            raise self.error(f"{toml_text(value)} is not a list of names", 'Write a list such as ["A", "B"].')
        return tuple(value)

    def required(self, table: Mapping[str, Any], key: str) -> Any:
        """The value of a key that must be in the table at this location."""
        if key not in table:
            raise self.error(f"{key!r} is missing", "Add it.")
        return table[key]

    def built(self, build: Callable[[], T]) -> T:
        """The result of `build`. An error that it raises about a value becomes a mistake at this location."""
        try:
            return build()
        except UsageError as error:
            raise self.error(error.problem, error.remedy) from error
        except (ValueError, TypeError) as error:
            raise self.error(str(error), "Correct the value.") from error


def toml_text(value: object) -> str:
    """A value in about the form that TOML has for it, cut if it is long.

    >>> toml_text(datetime.datetime(2030, 1, 7, 9)), toml_text(True), toml_text("45")
    ('2030-01-07T09:00:00', 'true', "'45'")
    """
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= _MAX_SHOWN_CHARS else f"{text[: _MAX_SHOWN_CHARS - 3]}..."
