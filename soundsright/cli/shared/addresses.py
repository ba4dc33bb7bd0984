"""Addresses that a user gives to a command."""

from __future__ import annotations

from soundsright.core.errors import UsageError
from soundsright.core.ss58 import is_address


def checked_hotkey(text: str | None, flag: str) -> str | None:
    """The hotkey of a flag. Both None and an empty text mean that it was not given.

    Raises:
        UsageError: it is not an address.
    """
    if text and not is_address(text):
        raise UsageError(f"{flag} {text[:80]!r} is not the address of a hotkey", "Give its SS58 address.")
    return text
