"""`soundsright status`: show how far a running round is."""

from __future__ import annotations

from pathlib import Path

import click

from soundsright.cli.shared.options import ANY_PATH, option
from soundsright.core.errors import UsageError


@click.command("status")
@click.argument("run_folder", metavar="RUN", type=ANY_PATH)
@option("--json", "as_json", is_flag=True, help="Print JSON.")
@option("--emission", is_flag=True, help="Show instead what each system of a validator pays, and what burns.")
def command(*, run_folder: Path, as_json: bool, emission: bool) -> None:
    """Show how far a running round is, or what a validator pays.

    \b
    soundsright status runs/seed-1
    soundsright status ~/.SoundsRight/validator --emission

    RUN is the folder of a run or of a validator. The command shows the stage, the models, faults, disk and GPUs.
    With --emission it shows a bar for each system and a row for each hotkey.
    """
    import json

    from rich.console import Console

    if emission:
        _show_emission(run_folder, as_json=as_json)
        return

    from soundsright.cli.shared.round_watch import drawn_status, opened_watch

    status = opened_watch(run_folder).look()
    if status is None:
        raise UsageError(f"No round has started in {run_folder}", "Start one, or give another folder.")
    if as_json:
        click.echo(json.dumps(status.fields(), indent=1))
    else:
        Console(highlight=False).print(drawn_status(status))


def _show_emission(folder: Path, *, as_json: bool) -> None:
    import json

    from rich.console import Console

    from soundsright.cli.shared.emission_watch import drawn_emission, emission_in

    emission = emission_in(folder)
    if emission is None:
        raise UsageError(f"No weights are decided in {folder}", "Wait for the first round, or give another folder.")
    if as_json:
        click.echo(json.dumps(emission.shown_fields(), indent=1))
    else:
        Console(highlight=False).print(drawn_emission(emission))
