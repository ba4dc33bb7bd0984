"""`soundsright bundle make`: pack a finished run so that others can check it."""

from __future__ import annotations

from pathlib import Path

import click

from soundsright.cli.shared.options import ANY_PATH, FILE, option


@click.command("make")
@click.argument("run_folder", metavar="RUN", type=ANY_PATH)
@option(
    "--out",
    type=ANY_PATH,
    help="The .zip file to write, or a new folder. [default: RUN/bundle.zip, which the leaderboard offers]",
)
@option("--no-audio", is_flag=True, help="Leave out the audio. Its digests stay.")
@option("--key", type=FILE, help="File of the hotkey that signs the round, if it is not signed yet.")
def command(*, run_folder: Path, out: Path | None, no_audio: bool, key: Path | None) -> None:
    """Pack a finished run so that others can check it.

    \b
    soundsright bundle make runs/seed-1 --out round.zip

    The bundle has the round document, results, recorded steps, digests and audio. A validator signs the document
    when its round ends. A run of `soundsright compete` is not signed unless you give a key.
    """
    from soundsright.adapters.peers import Hotkey
    from soundsright.cli.shared.publishing import finished_run, write_bundle_of
    from soundsright.services.records import BUNDLE

    run = finished_run([run_folder])
    account = None if key is None else Hotkey.read(key, variable="--key")
    write_bundle_of(run, out if out is not None else run.folder / BUNDLE, audio=not no_audio, account=account)
