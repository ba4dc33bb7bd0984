"""`soundsright federation get-rank`: the ranks of the miners."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundsright.cli.commands.federation.turns import READING
from soundsright.cli.shared.federation_parts import agreed_rules
from soundsright.cli.shared.options import ANY_PATH, env_file_option, option
from soundsright.cli.shared.settings_options import settings_from, settings_options
from soundsright.config import FederationSettings
from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from soundsright.core.ports import Bucket
    from soundsright.services.records import FederationTable


@click.command("get-rank")
@option("--json", "as_json", is_flag=True, help="Print JSON.")
@option(
    "--save",
    type=ANY_PATH,
    help="Also write the table to this folder, with the audio of its latest tasks, for `soundsright leaderboard`.",
)
@option(
    "--audio-tasks",
    type=click.IntRange(0, 100),
    default=3,
    help="Number of latest tasks whose audio --save writes.",
)
@env_file_option
@settings_options(FederationSettings, READING)
def get_rank(as_json: bool, save: Path | None, audio_tasks: int, env_file: Path | None, **flags: Any) -> None:
    """Print the ranks of the miners, with each one's rate at each validator.

    \b
    soundsright federation get-rank
    soundsright federation get-rank --save federation
    soundsright leaderboard build site --federation federation

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
        if save is not None:
            _save(save, table, reader.context.buckets, audio_tasks)
    if as_json:
        rows = [rank.model_dump() for rank in table.ranks]
        facts = {"block": table.block, "epoch_block": table.epoch_block, "winners": table.winners, "ranks": rows}
        click.echo(json.dumps(facts, indent=1, allow_nan=False))
        return
    print_federation(Console(highlight=False, width=max(Console().width, 100)), table)


def _save(folder: Path, table: FederationTable, buckets: Mapping[str, Bucket], audio_tasks: int) -> None:
    """Write the table and its audio.

    Raises:
        UsageError: the folder cannot be written.
    """
    from soundsright.services.federation import save_table

    try:
        save_table(folder, table, buckets, audio_tasks=audio_tasks)
    except OSError as error:
        raise UsageError(f"--save {folder} cannot be written ({error.strerror})", "Give another folder.") from error
