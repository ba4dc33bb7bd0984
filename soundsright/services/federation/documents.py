"""Strict reading of a federation's documents: a stranger's JSON values become this program's types, or nothing.

Messages never show the values, because they are a stranger's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Any, TypeVar

from soundsright.core.errors import EntryRefused, RequestRefused
from soundsright.services.records import DocumentKind, Envelope

T = TypeVar("T")


@dataclass(frozen=True)
class SignedDocument:
    """A document whose signature was verified: its envelope, and the bytes as they were read."""

    envelope: Envelope
    raw: bytes

    @property
    def digest(self) -> str:
        """The SHA-256 of the document, which names it in views, mirrors and commitments."""
        return self.envelope.digest


def read_or_refuse(kind: DocumentKind, read: Callable[[Mapping[str, Any]], T], facts: Mapping[str, Any]) -> T:
    """The value that `read` makes of the facts.

    Raises:
        RequestRefused: `malformed`, if they have another form.
    """
    try:
        return read(facts)
    except (EntryRefused, ValueError, TypeError, AttributeError, KeyError):
        raise RequestRefused(
            "malformed", f"This is not a {kind.name} (a value is missing or has another form)", status=422
        ) from None


def check_keys(facts: Mapping[str, Any], keys: Set[str]) -> None:
    """Check that the facts have these keys and no others.

    Raises:
        ValueError: they do not.
    """
    if facts.keys() != keys:
        raise ValueError("a key is missing, or there is another one")


def object_of(value: object) -> dict[str, Any]:
    """The value, if it is an object.

    Raises:
        TypeError: it is not.
    """
    if not isinstance(value, dict):
        raise TypeError("not an object")
    return value


def list_of(value: object) -> list[Any]:
    """The value, if it is a list.

    Raises:
        TypeError: it is not.
    """
    if not isinstance(value, list):
        raise TypeError("not a list")
    return value


def floats_of(value: object) -> dict[str, float]:
    """Numbers by name. One number has one text, since 1 in place of 1.0 would give another digest.

    Raises:
        TypeError: the value is something else.
    """
    numbers = object_of(value)
    for number in numbers.values():
        if type(number) is not float:
            raise TypeError("not a number with a point")
    return numbers
