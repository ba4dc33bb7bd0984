"""Check that a command's packages are installed before it begins to work."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from soundsright.core.errors import UsageError

INSTALL_REMEDY = "Run `pip install soundsright`."


def check_packages(names: Iterable[str]) -> None:
    """Check that these packages are installed, without importing them.

    Raises:
        UsageError: some are not installed. The message names all of them.

    >>> check_packages(["json"])
    """
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"This command needs packages that are not installed: {', '.join(missing)}", INSTALL_REMEDY
        )
