"""`soundsright publish`: publish a finished run on a hub or in an experiment tracker."""

from __future__ import annotations

from pathlib import Path

import click

from soundsright.cli.shared.options import ANY_PATH, FOLDER, grouped, option
from soundsright.cli.shared.publishing import (
    TRACKERS,
    DataSetChoice,
    audio_option,
    hub_option,
    licences_option,
    project_option,
)
from soundsright.core.errors import UsageError

_RUN = click.argument("run_folder", metavar="RUN", type=ANY_PATH)


@click.group("publish")
def command() -> None:
    """Publish a finished run on a hub or in an experiment tracker.

    \b
    soundsright publish dataset runs/seed-1 my-lab/round-1
    """


@command.command("dataset")
@_RUN
@click.argument("name", metavar="[NAMESPACE/NAME]", required=False)
@option("--folder", type=FOLDER, help="Write the data set to this folder. Without NAMESPACE/NAME, only write it.")
@option("--private", is_flag=True, help="If the data set is new on the hub, make it private.")
@grouped(DataSetChoice, "choice", licences_option, audio_option)
@hub_option
def dataset(
    *,
    run_folder: Path,
    name: str | None,
    folder: Path | None,
    private: bool,
    choice: DataSetChoice,
    hub: str | None,
) -> None:
    """Push a finished run to the hub as a data set with a card.

    \b
    soundsright publish dataset runs/seed-1 my-lab/round-1
    soundsright publish dataset runs/seed-1 --folder round-1
    """
    from soundsright.cli.shared.publishing import finished_run, opened_push, push_data_set, write_data_set

    if name is None and folder is None:
        raise UsageError("No target is given", "Give the data set's NAMESPACE/NAME on the hub, or --folder.")
    run = finished_run([run_folder])
    if folder is not None:
        write_data_set(folder, run, choice, name or "")
    if name is not None:
        push_data_set(opened_push(hub), run, name, choice, folder=folder, private=private)


@command.command("card")
@_RUN
@click.argument("entry")
@option("--dataset", default="", metavar="NAMESPACE/NAME", help="Data set of this run, to link from the card.")
@option("--pull-request", is_flag=True, help="Propose the change to the model's owner instead of making it.")
@option("--print", "only_print", is_flag=True, help="Print the metadata and push nothing.")
@hub_option
def card(
    *, run_folder: Path, entry: str, dataset: str, pull_request: bool, only_print: bool, hub: str | None
) -> None:
    """Put an entry's scores into its model card on the hub.

    \b
    soundsright publish card runs/seed-1 my-lab/my-model --pull-request

    ENTRY is the NAMESPACE/NAME of the model. The rest of its card stays unchanged.
    """
    from soundsright.cli.shared.publishing import card_index, card_text, finished_run, opened_push, push_card

    run = finished_run([run_folder])
    text = card_text(run, entry)  # Fails for an unknown entry, before the hub is needed.
    if only_print:
        click.echo(text, nl=False)
        return
    push = opened_push(hub)
    push_card(push, run, entry, card_index(push, run, entry, dataset), pull_request=pull_request)


@command.command("tracker")
@_RUN
@click.argument("kind", type=click.Choice(TRACKERS))
@project_option
def tracker(*, run_folder: Path, kind: str, project: str) -> None:
    """Log every entry of a finished run in an experiment tracker.

    \b
    soundsright publish tracker runs/seed-1 wandb --project enhancement
    """
    from soundsright.cli.shared.publishing import finished_run, send_to_tracker

    send_to_tracker(finished_run([run_folder]), kind, project)
