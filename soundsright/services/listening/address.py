"""The address of a listening test's page, as invitations name it: an http:// or https:// URL of printable ASCII."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from soundsright.core.errors import UsageError
from soundsright.services.rounds import write_text

FILE = "address.txt"
_MAX_CHARS = 2_000


def page_address(address: str) -> str:
    """The address without its fragment, in which an invitation has its token.

    Raises:
        UsageError: it is not an http:// or https:// address.
    """
    page = address.partition("#")[0]
    try:
        parts = urlsplit(page)
        is_good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or len(page) > _MAX_CHARS or not page.isascii() or not page.isprintable() or " " in page:
        raise UsageError(
            f"{address[:200]!r} is not the address of a page",
            "Give one with its scheme, such as https://listen.example.org/.",
        )
    return page


def save_address(folder: Path, address: str) -> None:
    """Note the address at which the test in the folder is served.

    Raises:
        InfrastructureFault: the folder cannot be written.
    """
    write_text(folder / FILE, page_address(address) + "\n")


def read_address(folder: Path) -> str | None:
    """The address at which the test was served last; None if it was not served, or the file has no address."""
    try:
        with (folder / FILE).open(encoding="ascii") as file:
            return page_address(file.read(_MAX_CHARS + 1).strip())
    except (OSError, ValueError, UsageError):
        return None
