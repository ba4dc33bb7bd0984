"""Creating an object in the own bucket that nothing may replace, such as a signed view."""

from __future__ import annotations

from collections.abc import Callable

from soundsright.core.errors import BucketExists, BucketTooLarge, UsageError
from soundsright.core.ports import Bucket

_ONE_PROGRAM = "Stop any other program with this hotkey, and restore its state if it was lost. The object stays."


def create_once(bucket: Bucket, key: str, raw: bytes, is_same: Callable[[bytes], bool]) -> None:
    """Create an object in the own bucket. One with the same content may be there already.

    Raises:
        UsageError: another content is there. It stays.
        BucketUnavailable, BucketForbidden, BucketUnsuitable: the bucket fails.
    """
    try:
        bucket.put(key, raw, create=True)
    except BucketExists:
        try:
            present = bucket.get(key, 2 * len(raw) + 1_000)
        except BucketTooLarge:
            present = b""
        if present != raw and not is_same(present):
            raise UsageError(f"The own bucket has another object {key} already", _ONE_PROGRAM) from None
