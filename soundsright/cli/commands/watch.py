"""`soundsright watch`: follow a running round live in the terminal."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from soundsright.cli.shared.options import ANY_PATH, option
from soundsright.core.errors import StateUnavailable

if TYPE_CHECKING:
    from rich.live import Live

    from soundsright.services.board import RoundWatch


@click.command("watch")
@click.argument("run_folder", metavar="RUN", type=ANY_PATH)
@option(
    "--every",
    "every_s",
    default=1.0,
    type=click.FloatRange(0.1, 3600),
    metavar="SECONDS",
    help="Seconds between two updates.",
)
def command(*, run_folder: Path, every_s: float) -> None:
    """Follow a running round live in the terminal.

    \b
    soundsright watch runs/seed-1

    RUN is the folder of a run or of a validator. The command ends when the round is done, or on Ctrl-C.
    """
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from soundsright.cli.shared.round_watch import opened_watch

    watch = opened_watch(run_folder)
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

    from soundsright.cli.shared.round_watch import drawn_status

    while True:
        try:
            status = watch.look()
        except StateUnavailable as error:
            # The database is locked or busy for now. Show that, and try again.
            live.update(Text(str(error)), refresh=True)
        else:
            shown = Text("The round has not started") if status is None else drawn_status(status)
            live.update(shown, refresh=True)
            if status is not None and status.finished:
                return
        time.sleep(every_s)
