"""`soundsright bundle compare`: the first step at which two validators part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from soundsright.cli.shared.bundle_source import bundle_path
from soundsright.cli.shared.options import env_file_option
from soundsright.cli.shared.settings_options import settings_from, settings_options
from soundsright.config import Settings


@click.command("compare")
@click.argument("first", metavar="FIRST")
@click.argument("second", metavar="SECOND")
@settings_options(Settings, ("state_folder",))
@env_file_option
def command(*, first: str, second: str, env_file: Path | None, **flags: Any) -> int:
    """Show the first step at which two bundles of one round part.

    \b
    soundsright bundle compare mine.zip theirs.zip

    Both are .zip files, folders or addresses of a bundle's files. The steps are plan, seed, entries, content, set,
    answer, score, decision and weight. Later differences follow from the first. The exit code is 3 if the bundles
    differ. Two documents that one signer signed for one round are evidence against the signer, whatever they say.
    """
    from soundsright.adapters.peers import valid_signature
    from soundsright.core.errors import printable
    from soundsright.services.records import check_not_two_of_one_signer, first_difference, open_bundle

    folder = settings_from(Settings, flags, env_file).folder
    with (
        bundle_path(first, folder) as first_path,
        bundle_path(second, folder) as second_path,
        open_bundle(first_path, valid_signature=valid_signature) as one,
        open_bundle(second_path, valid_signature=valid_signature) as other,
    ):
        for name, bundle in (("First", one), ("Second", other)):
            click.echo(f"{name:<10} {bundle.opened.sha256}, signed by {bundle.opened.signer or 'nobody'}")
        check_not_two_of_one_signer(one, other)
        difference = first_difference(one, other)
        if difference is None:
            click.echo(f"The same   round {one.document.round.id}: all steps and weights agree")
            return 0
        click.echo(printable(f"Different  {difference.sentence}"))
        return 3
