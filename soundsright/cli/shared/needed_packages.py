"""Leave out the entries whose packages are not installed here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from soundsright.services.local import TrialEntry


def runnable_entries(entries: Sequence[TrialEntry]) -> tuple[TrialEntry, ...]:
    """The entries whose packages are installed. A line on stderr names each other entry."""
    runnable = tuple(entry for entry in entries if not entry.missing_packages)
    for package in sorted({name for entry in entries for name in entry.missing_packages}):
        left_out = [f"{e.miner}/{e.folder.name}" for e in entries if package in e.missing_packages]
        problem = f"Left out {', '.join(left_out)}: {package} is not installed."
        click.echo(f"{problem} Run `pip install --no-deps {package}`.", err=True)
    if not runnable:
        raise UsageError("No entry can run here", "Install the packages named above.")
    return runnable
