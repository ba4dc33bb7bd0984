"""`soundsright bundle`: pack a finished run so that others can check it."""

from __future__ import annotations

from pathlib import Path

import click

from soundsright.cli.shared.options import ANY_PATH, FILE, option


@click.command("bundle")
@click.argument("run_folder", metavar="RUN", type=ANY_PATH)
@option("--out", type=FILE, help="The .zip file to write. [default: RUN/bundle.zip, which the leaderboard offers]")
def command(*, run_folder: Path, out: Path | None) -> None:
    """Pack a finished run so that others can check it.

    \b
    soundsright bundle runs/seed-1 --out round.zip

    The bundle has the results, seeds, digests and audio. With it, anyone can score the round again.
    """
    from soundsright.cli.shared.publishing import finished_run, write_bundle_of
    from soundsright.services.records import BUNDLE

    run = finished_run([run_folder])
    write_bundle_of(run, out if out is not None else run.folder / BUNDLE)
