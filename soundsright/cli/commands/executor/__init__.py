"""`soundsright executor`: rank images by quality, time and memory. Each module has one `command`."""

from __future__ import annotations

import click

from soundsright.cli.commands.executor import (
    coordinate,
    demo,
    explain,
    preflight,
    scores,
    serve,
    status,
    submit,
    validate,
    verify,
)


@click.group("executor")
def command() -> None:
    """Rank images by quality, time and memory.

    \b
    soundsright executor demo                                         # all of it, on one machine
    soundsright executor submit --image-ref lab/gate@sha256:DIGEST    # a miner
    soundsright executor coordinate                                   # the organiser
    soundsright executor preflight                                    # a check of that machine
    soundsright executor serve                                        # a machine that runs images
    soundsright executor validate                                     # a validator without rounds
    soundsright executor scores                                       # everyone
    soundsright executor verify results.json                          # everyone
    """


for _module in (demo, submit, coordinate, preflight, serve, validate, status, scores, explain, verify):
    command.add_command(_module.command)
