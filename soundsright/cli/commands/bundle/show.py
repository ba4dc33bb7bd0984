"""`soundsright bundle show`: what a bundle says of a round, or the story of one entry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from soundsright.cli.shared.bundle_source import bundle_path
from soundsright.cli.shared.options import env_file_option
from soundsright.cli.shared.settings_options import settings_from, settings_options
from soundsright.config import Settings


@click.command("show")
@click.argument("source", metavar="BUNDLE")
@click.argument("entry", metavar="[ENTRY]", required=False)
@settings_options(Settings, ("state_folder",))
@env_file_option
def command(*, source: str, entry: str | None, env_file: Path | None, **flags: Any) -> None:
    """Show a round, or the story of ENTRY from its commitment to its weight.

    \b
    soundsright bundle show round.zip
    soundsright bundle show round.zip 5F...

    BUNDLE is a .zip file, a folder, or the address of a bundle's files, such as https://example.org/r/7/bundle.
    ENTRY is an entry's id or its hotkey. Each line ends with the digest that proves it. The signature is not
    required; `bundle verify` checks it.
    """
    from soundsright.adapters.peers import valid_signature
    from soundsright.core.errors import printable
    from soundsright.services.records import entry_story, open_bundle, round_story

    folder = settings_from(Settings, flags, env_file).folder
    with bundle_path(source, folder) as path, open_bundle(path, valid_signature=valid_signature) as bundle:
        for line in round_story(bundle) if entry is None else entry_story(bundle, entry):
            click.echo(printable(f"{line.step:<11} {line.sentence}"))
            if line.proof:
                click.echo(printable(f"{'':<11} proved by {line.proof}"))
