"""`soundsright watch`: the running round, live in the terminal."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from soundsright.core.errors import StateUnavailable

if TYPE_CHECKING:
    from rich.live import Live

    from soundsright.services.board import RoundWatch


@click.command("watch")
@click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--every",
    "every_s",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0.1, 3600),
    metavar="SECONDS",
    help="How often it looks.",
)
def command(*, run_folder: Path, every_s: float) -> None:
    """Watch the round in the folder RUN until it is done or Ctrl-C."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from soundsright.cli.commands.status import open_watch

    watch = open_watch(run_folder)
    console = Console(highlight=False)
    try:
        with Live(Text("Looking"), console=console, auto_refresh=False) as live:
            _follow(watch, live, every_s)
    finally:
        # A live display ends its last line only on a terminal.
        if not console.is_terminal:
            console.line()


def _follow(watch: RoundWatch, live: Live, every_s: float) -> None:
    from rich.text import Text

    from soundsright.cli.commands.status import drawn

    while True:
        try:
            status = watch.look()
        except StateUnavailable as error:
            # Locked or busy for now: said, and looked at again.
            live.update(Text(str(error)), refresh=True)
        else:
            live.update(Text("The round has not begun") if status is None else drawn(status), refresh=True)
            if status is not None and status.finished:
                return
        time.sleep(every_s)
