"""`soundsright log`: keep and follow a log of signed rounds. Each module has one `command`."""

from __future__ import annotations

import click

from soundsright.cli.commands.log import append, attest, audit, serve


@click.group("log")
def command() -> None:
    """Keep and follow a log of signed rounds.

    \b
    soundsright log serve --signer HOTKEY                        # whoever keeps the log
    soundsright log append round.json --url http://HOST:9100     # a validator
    soundsright log audit http://HOST:9100 --mirror FOLDER       # everyone
    soundsright log attest round.json --out round.intoto.json    # a validator

    A log only grows. Anyone can prove that a document is in it, and that nothing was taken back.
    """


for _module in (serve, append, audit, attest):
    command.add_command(_module.command)
