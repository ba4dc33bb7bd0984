"""What a command needs beyond the base install, asked for before it begins to work."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from soundsright.core.errors import UsageError

INSTALL_REMEDY = "Run: pip install soundsright"


def check_packages(names: Iterable[str]) -> None:
    """See that these can be imported, importing none of them.

    Raises:
        UsageError: some cannot; all are named.

    >>> check_packages(["json"])
    """
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise UsageError(f"This needs {', '.join(missing)}, not installed here", INSTALL_REMEDY)
