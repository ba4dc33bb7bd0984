"""`soundsright executor scores`: print an executor's table."""

from __future__ import annotations

import json

import click

from soundsright.cli.shared.executor_source import results_option
from soundsright.cli.shared.options import option


@click.command("scores")
@results_option
@option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(results: str | None, as_json: bool) -> None:
    """Print an executor's table: quality, time, memory and score of each image.

    \b
    soundsright executor scores --results http://127.0.0.1:9000
    soundsright executor scores --results results.json --json

    The table is that of the last published round, best image first. The signature of signed results is checked. A
    line says which recordings the round used, and whether validators pay on them by default.
    """
    from dataclasses import asdict

    from rich.console import Console

    from soundsright.cli.shared.executor_source import latest_round
    from soundsright.cli.shared.executor_words import scores_heading, scores_notes, scores_table
    from soundsright.core.errors import printable

    table = latest_round(results)
    if as_json:
        rows = [{"rank": rank, **row.facts()} for rank, row in table.ranked]
        material = None if table.material is None else asdict(table.material)
        about = {
            "round": table.round_id,
            "competition": table.competition_id,
            "signer": table.signer,
            "material": material,
        }
        click.echo(json.dumps({**about, "rows": rows}, indent=1, allow_nan=False))
        return
    console = Console(highlight=False)
    drawn = scores_table(table)
    needed = console.measure(drawn, options=console.options.update(width=1_000)).minimum
    console.width = max(console.width, needed)
    click.echo(printable(scores_heading(table)))
    console.print(drawn)
    for note in scores_notes(table):
        click.echo(printable(note))
