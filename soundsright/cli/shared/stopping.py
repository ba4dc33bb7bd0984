"""What Ctrl-C leaves behind, and how to go on from there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from soundsright.cli.main import EXIT_INTERRUPTED


@contextmanager
def resumable(kept: str | None) -> Iterator[None]:
    """A command that was stopped within says that `--resume` goes on from what was `kept`, if anything is."""
    try:
        yield
    except KeyboardInterrupt:
        if kept is None:
            raise
        click.echo(f"Stopped. {kept} is kept; the same command with --resume goes on.", err=True)
        raise click.exceptions.Exit(EXIT_INTERRUPTED) from None
