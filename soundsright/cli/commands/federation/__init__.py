"""`soundsright federation`: judge in turns with other validators. Each module has one `command`."""

from __future__ import annotations

import click

from soundsright.cli.commands.federation import validator


@click.group("federation")
def command() -> None:
    """Judge in turns with other validators, and agree on the winners.

    \b
    soundsright federation validator add HOTKEY    # the owner: who may judge
    soundsright federation validator list          # the owner
    """


for _module in (validator,):
    command.add_command(_module.command)
