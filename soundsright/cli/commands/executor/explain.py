"""`soundsright executor explain`: why an image has its score."""

from __future__ import annotations

import json

import click

from soundsright.cli.shared.executor_source import results_option
from soundsright.cli.shared.options import option


@click.command("explain")
@click.argument("hotkey")
@results_option
@option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(hotkey: str, results: str | None, as_json: bool) -> None:
    """Explain an image's score term by term, and what would raise it.

    \b
    soundsright executor explain 5Grwva --results http://127.0.0.1:9000

    HOTKEY is a hotkey or the start of one. The command shows what each metric adds to the quality, what time and
    memory take from it, what a second or a gigabyte less would be worth, and what would bring the first place.
    """
    from soundsright.cli.shared.executor_source import latest_round
    from soundsright.cli.shared.executor_words import explanation_facts, explanation_lines
    from soundsright.core.errors import printable
    from soundsright.services.records import explained_image

    table = latest_round(results)
    why = explained_image(table, hotkey)
    if as_json:
        click.echo(json.dumps(explanation_facts(table, why), indent=1, allow_nan=False))
        return
    for line in explanation_lines(table, why):
        click.echo(printable(line))
