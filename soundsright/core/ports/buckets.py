"""Buckets: places where services put objects by key, for themselves and for their peers. Sizes are in bytes.

A read has three outcomes, which no adapter mixes up: the object or the whole list; an answer that is certain, such
as `BucketMissing`; and an error after which nothing is known.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NewType, Protocol

from soundsright.core.errors import UsageError

MAX_KEY_BYTES = 512
MAX_NAME_BYTES = 240
"""The longest name between two slashes of a key. Every disk can store it."""

_KEY = re.compile(r"[A-Za-z0-9._/-]+")

ETag = NewType("ETag", str)
"""The mark of an object's present content, without quotes. Another content of the same key has another mark."""


def is_key(text: str) -> bool:
    """Whether an object can have that key: names of `A-Z a-z 0-9 . _ -`, joined by slashes. None is `.` or `..`.

    >>> is_key("task-7/metadata.json"), is_key("../etc/passwd"), is_key("/a"), is_key("a b")
    (True, False, False, False)
    """
    return (
        len(text) <= MAX_KEY_BYTES
        and _KEY.fullmatch(text) is not None
        and all(name not in ("", ".", "..") and len(name) <= MAX_NAME_BYTES for name in text.split("/"))
    )


def checked_key(key: str) -> str:
    """The key itself.

    Raises:
        UsageError: no object can have that key.
    """
    if not is_key(key):
        raise UsageError(
            f"{key[:100]!r} is not the key of an object",
            f"Use A-Z a-z 0-9 . _ - and single slashes between names, at most {MAX_KEY_BYTES} bytes, without '..'.",
        )
    return key


def checked_prefix(prefix: str) -> str:
    """The prefix itself: empty, or the beginning of a key.

    Raises:
        UsageError: no key begins with that prefix.
    """
    if prefix and not is_key(prefix.removesuffix("/")):
        raise UsageError(f"No key begins with {prefix[:100]!r}", "Give the beginning of a key, or nothing.")
    return prefix


@dataclass(frozen=True)
class StoredObject:
    """The facts that a bucket tells about an object, without its content."""

    key: str
    size_bytes: int
    etag: ETag


class Bucket(Protocol):
    """A place for objects. Its methods may be called from several threads at once.

    Every method raises `UsageError` for a malformed key, `BucketForbidden` if the bucket refuses the keys of this
    client, and `BucketUnavailable` if no answer came that can be relied on.
    """

    def put(self, key: str, data: bytes, create: bool = False) -> ETag:
        """Store an object as a whole. With `create` it must not exist yet; of several creators one succeeds.

        After `BucketUnavailable` the object may or may not be stored. Putting the same bytes again is safe.

        Raises:
            BucketExists: `create`, and there is an object of that key.
            BucketUnsuitable: `create`, and the bucket would overwrite the object.
        """
        ...

    def get(self, key: str, max_bytes: int) -> bytes:
        """The content of an object.

        Raises:
            BucketMissing: there is no such object.
            BucketTooLarge: it has more than `max_bytes`. The rest is not read.
        """
        ...

    def head(self, key: str) -> StoredObject:
        """Size and mark of an object.

        Raises:
            BucketMissing: there is no such object.
        """
        ...

    def list(self, prefix: str, max_keys: int) -> tuple[StoredObject, ...]:
        """All objects whose keys begin with `prefix`, in the order of their keys.

        Raises:
            BucketTooLarge: there are more than `max_keys`.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove an object. One that is not there is no error, so removing it again is safe."""
        ...

    def presigned(self, key: str, seconds: int) -> str | None:
        """An address at which anybody can read the object for that time. The object need not exist.

        None if the bucket has no such addresses, as a folder.
        """
        ...
