"""`soundsright disclose`: publish what a run kept private, once its recordings have retired."""

from __future__ import annotations

from pathlib import Path

import click

from soundsright.cli.shared.options import ANY_PATH, corpus_key_option, corpus_option, corpus_round_option
from soundsright.core.errors import UsageError
from soundsright.core.material import Material


@click.command("disclose")
@click.argument("run_folder", metavar="RUN", type=ANY_PATH)
@corpus_option
@corpus_key_option
@corpus_round_option
def command(*, run_folder: Path, corpus: Path | None, corpus_key: Path | None, corpus_round: int | None) -> None:
    """Publish what a run kept private, once its recordings have retired.

    \b
    soundsright disclose runs/autumn --corpus private --corpus-key private.key

    The audio and the recipes of clips whose recordings no later round uses move into the folder of the run, and
    its scores and its report are written again. The enhanced audio of a competition follows when all of its clips
    are published. --corpus-round is the next round of the corpus. A validator does this by itself when a round
    begins.
    """
    from soundsright.services.local import next_round, rounds_file
    from soundsright.services.report import disclose
    from soundsright.services.rounds import PRIVATE_FOLDER, opened_private, retirement

    material = Material(corpus, corpus_key)
    private = opened_private(material)
    if private is None:
        raise UsageError(
            "No private corpus is given", "Give the corpus of the run with --corpus and its key with --corpus-key."
        )
    if not (run_folder / PRIVATE_FOLDER).is_dir():
        click.echo(f"{run_folder}: nothing is private")
        return
    following = next_round(private.folder, first_round=private.first_round)
    if corpus_round is None:
        corpus_round = following
    elif corpus_round > following and rounds_file(private.folder).exists():
        raise UsageError(
            f"--corpus-round is {corpus_round}, but the next round of {private.folder} on this machine is"
            f" {following}: recordings that it uses would be published",
            "Leave out --corpus-round.",
        )
    disclosure = disclose(run_folder, retirement(material, corpus_round))
    click.echo(
        f"{run_folder}: {disclosure.published} clips published, {disclosure.still_private} still private when round"
        f" {corpus_round} of the corpus begins"
    )
