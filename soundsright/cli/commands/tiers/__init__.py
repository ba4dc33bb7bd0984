"""`soundsright tiers`: serve the model that you committed, verify those who do, and climb."""

from __future__ import annotations

import click

from soundsright.cli.commands.tiers import prove, simulate, verify


@click.group("tiers")
def command() -> None:
    """Serve the model that you committed, and verify those who do.

    \b
    soundsright tiers prove       # a miner: commit to a model and serve it
    soundsright tiers verify      # a validator
    soundsright tiers simulate    # anybody: a year of the ladder in seconds
    """


for _module in (prove, verify, simulate):
    command.add_command(_module.command)
