"""`soundsright bundle show`: what a bundle says of a round, or the story of one entry."""

from __future__ import annotations

from pathlib import Path

import click

from soundsright.cli.shared.options import ANY_PATH


@click.command("show")
@click.argument("path", metavar="BUNDLE", type=ANY_PATH)
@click.argument("entry", metavar="[ENTRY]", required=False)
def command(*, path: Path, entry: str | None) -> None:
    """Show a round, or the story of ENTRY from its commitment to its weight.

    \b
    soundsright bundle show round.zip
    soundsright bundle show round.zip 5F...

    ENTRY is an entry's id or its hotkey. Each line ends with the digest that proves it. The signature is not
    required; `bundle verify` checks it.
    """
    from soundsright.adapters.peers import valid_signature
    from soundsright.core.errors import printable
    from soundsright.services.records import entry_story, open_bundle, round_story

    with open_bundle(path, valid_signature=valid_signature) as bundle:
        for line in round_story(bundle) if entry is None else entry_story(bundle, entry):
            click.echo(printable(f"{line.step:<11} {line.sentence}"))
            if line.proof:
                click.echo(printable(f"{'':<11} proved by {line.proof}"))
