"""`soundsright status`: show how far a running round is."""

from __future__ import annotations

from pathlib import Path

import click

from soundsright.cli.shared.options import ANY_PATH, option
from soundsright.core.errors import UsageError


@click.command("status")
@click.argument("run_folder", metavar="RUN", type=ANY_PATH)
@option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(*, run_folder: Path, as_json: bool) -> None:
    """Show how far a running round is.

    \b
    soundsright status runs/seed-1

    RUN is the folder of a run or of a validator. The command shows the stage, the models, faults, disk and GPUs.
    """
    import json

    from rich.console import Console

    from soundsright.cli.shared.round_watch import drawn_status, opened_watch

    status = opened_watch(run_folder).look()
    if status is None:
        raise UsageError(f"No round has started in {run_folder}", "Start one, or give another folder.")
    if as_json:
        click.echo(json.dumps(status.fields(), indent=1))
    else:
        Console(highlight=False).print(drawn_status(status))
