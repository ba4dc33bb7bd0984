"""`soundsright bundle`: make, check, read and compare the bundles of rounds. Each module has one `command`."""

from __future__ import annotations

import click

from soundsright.cli.commands.bundle import compare, fetch, make, show, verify


@click.group("bundle")
def command() -> None:
    """Make and check bundles: signed rounds that anyone can check.

    \b
    soundsright bundle make runs/seed-1 --out round.zip      # pack a finished run
    soundsright bundle verify round.zip                      # check everything that it says
    soundsright bundle show round.zip ENTRY                  # the story of one entry
    soundsright bundle fetch ADDRESS --clip 000001           # one clip, with its proof
    soundsright bundle compare round.zip other.zip           # where two validators part
    """


for _module in (make, verify, show, fetch, compare):
    command.add_command(_module.command)
