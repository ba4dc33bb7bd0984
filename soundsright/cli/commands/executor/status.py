"""`soundsright executor status`: what an executor is doing."""

from __future__ import annotations

import json
from typing import Any

import click

from soundsright.cli.shared.executor_source import results_option
from soundsright.cli.shared.options import option


@click.command("status")
@results_option
@option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(results: str | None, as_json: bool) -> None:
    """Show what an executor is doing, and how many images it has ranked.

    \b
    soundsright executor status --results http://127.0.0.1:9000

    At an address, the command shows the state, the round and the machine. For saved results, it counts the images.
    """
    from soundsright.core.errors import printable

    facts = _facts(results or "")
    if as_json:
        click.echo(json.dumps(facts, indent=1, allow_nan=False))
        return
    for name, value in facts.items():
        shown = ", ".join(f"{key} {each}" for key, each in value.items()) if isinstance(value, dict) else value
        click.echo(printable(f"{name:<10} {'-' if shown in ('', None) else shown}"))


def _facts(source: str) -> dict[str, Any]:
    from collections import Counter

    from soundsright.cli.shared.executor_source import URLS, executor_history, executor_status, latest_round
    from soundsright.services.records import image_state

    facts: dict[str, Any] = {}
    if source.startswith(URLS):
        facts |= executor_status(source.rstrip("/"))
        table = executor_history(source, rounds_back=0).latest
    else:
        table = latest_round(source)
    facts["published"] = table.round_id if table else None
    if table is not None:
        facts["images"] = dict(Counter(image_state(row) for row in table.rows))
    return facts
