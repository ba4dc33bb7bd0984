"""`soundsright federation get-rank`: the ranks of the miners."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from soundsright.cli.commands.federation.turns import READING
from soundsright.cli.shared.federation_parts import agreed_rules
from soundsright.cli.shared.options import env_file_option, option
from soundsright.cli.shared.settings_options import settings_from, settings_options
from soundsright.config import FederationSettings


@click.command("get-rank")
@option("--json", "as_json", is_flag=True, help="Print JSON.")
@env_file_option
@settings_options(FederationSettings, READING)
def get_rank(as_json: bool, env_file: Path | None, **flags: Any) -> None:
    """Print the ranks of the miners, with each one's rate at each validator.

    \b
    soundsright federation get-rank

    The ranks are computed here from the signed verdicts in the buckets of PEER_VALIDATORS. They also show whose
    verdicts stand apart from the others'.
    """
    from rich.console import Console

    from soundsright.cli.shared.federation_reading import opened_reader
    from soundsright.cli.shared.federation_words import print_federation
    from soundsright.services.federation import table_of

    settings = settings_from(FederationSettings, flags, env_file)
    agreed = agreed_rules(settings)
    with opened_reader(settings, agreed) as reader:
        table = table_of(reader.context, reader.memory, reader.read())
    if as_json:
        rows = [rank.model_dump() for rank in table.ranks]
        facts = {"block": table.block, "epoch_block": table.epoch_block, "winners": table.winners, "ranks": rows}
        click.echo(json.dumps(facts, indent=1, allow_nan=False))
        return
    print_federation(Console(highlight=False, width=max(Console().width, 100)), table)
