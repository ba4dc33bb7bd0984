"""Share a finished run as a bundle, data set, model card, or in a tracker. Progress goes to stderr."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from soundsright.cli.shared.options import FOLDER, audio_mib_option, option
from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soundsright.adapters.hubs import HubPush
    from soundsright.core.ports import Account
    from soundsright.services.records import Run

TRACKERS = ("wandb", "trackio", "tensorboard")

hub_option = option(
    "--hub",
    envvar="HF_ENDPOINT",
    help="Address of the hub. The token comes from HF_TOKEN. [default: https://huggingface.co]",
)
audio_option = audio_mib_option(64, "the data set")
licences_option = option(
    "--corpus",
    type=FOLDER,
    envvar="SOUNDSRIGHT_CORPUS",
    help="The run's recordings. Their manifest names the licences. [default: the shipped recordings]",
)
project_option = option(
    "--project", default="soundsright", envvar="SOUNDSRIGHT_PROJECT", help="Project in the tracker."
)


@dataclass(frozen=True)
class DataSetChoice:
    """The audio of a data set: at most `audio_mib` MiB, under the licences that the manifest in `corpus` names."""

    corpus: Path | None
    audio_mib: int


def finished_run(paths: Sequence[Path]) -> Run:
    """The one finished run in these folders. Remarks on it go to stderr.

    Raises:
        UsageError: there is no finished run, or more than one.
    """
    from soundsright.library import open_run

    if len(paths) > 1:
        raise UsageError(f"{len(paths)} folders are given", "Give one run at a time.")
    run = open_run(paths[0])
    for note in run.notes:
        click.echo(f"Note: {note}", err=True)
    return run


def write_bundle_of(run: Run, out: Path, *, audio: bool = True, account: Account | None = None) -> None:
    """Pack the run into the .zip file or the new folder `out`."""
    from soundsright.core.content import sha256_of_file
    from soundsright.services.records import write_bundle

    packed = write_bundle(run.folder, out, audio=audio, account=account)
    size = f", {out.stat().st_size / 1e6:.1f} MB, SHA-256 {sha256_of_file(out)}" if out.is_file() else ""
    part = f", audio {packed.stored_bytes / packed.wav_bytes:.0%} of WAV" if packed.wav_bytes else ""
    click.echo(f"{out}: {packed.files} files with {packed.signals} signals{part}{size}", err=True)


def write_data_set(folder: Path, run: Run, choice: DataSetChoice, name: str) -> None:
    """Write the run as a data set into `folder`. `name` is its NAMESPACE/NAME on the hub, or empty."""
    from soundsright.data import corpus_folder
    from soundsright.services.report import read_sources, write_dataset

    sources = read_sources(corpus_folder(choice.corpus)) if choice.audio_mib else {}
    written = write_dataset(run, folder, sources=sources, audio_bytes=choice.audio_mib << 20, name=name)
    silent = f"; {written.clips_without_audio} clips without audio" if written.clips_without_audio else ""
    audio = f"audio of {written.clips_with_audio} clips{silent}"
    click.echo(f"{folder}: {len(written.files)} files, {written.total_bytes / 1e6:.1f} MB, {audio}", err=True)


def opened_push(hub: str | None) -> HubPush:
    """The hub to push to, with the token in HF_TOKEN."""
    from soundsright.adapters.hubs import HubPush
    from soundsright.config import Settings

    return HubPush(hub or str(Settings.model_fields["hf_endpoint"].default), os.environ.get("HF_TOKEN"))


def push_data_set(
    push: HubPush, run: Run, name: str, choice: DataSetChoice, *, folder: Path | None, private: bool
) -> None:
    """Push the run as the data set `name`. `folder` has the data set if it is already written."""
    with tempfile.TemporaryDirectory() as temporary:
        if folder is None:
            folder = Path(temporary) / "dataset"
            write_data_set(folder, run, choice, name)
        click.echo(push.dataset(name, folder, message=_title(run), private=private), err=True)


def card_text(run: Run, entry: str) -> str:
    """The entry's scores as the metadata of a model card."""
    from soundsright.adapters.hubs import merged_card
    from soundsright.services.report import model_index

    return merged_card("", model_index(run, entry))


def card_index(push: HubPush, run: Run, entry: str, dataset: str) -> list[dict[str, object]]:
    """The entry's scores for its model card, with a link to the data set if `dataset` names one.

    Raises:
        UsageError: the run has no such entry.
    """
    from soundsright.services.report import model_index

    page = f"{push.endpoint}/datasets/{dataset}" if dataset else ""
    return model_index(run, entry, dataset=dataset, dataset_url=page)


def push_card(push: HubPush, run: Run, entry: str, index: list[dict[str, object]], *, pull_request: bool) -> None:
    """Put the scores into the card of the model `entry`, which is its NAMESPACE/NAME on the hub."""
    click.echo(push.card(entry, index, message=_title(run), pull_request=pull_request), err=True)


def send_to_tracker(run: Run, kind: str, project: str) -> None:
    """Log each entry as one run of an experiment tracker."""
    from soundsright.adapters.machine import Tracker, open_tracker
    from soundsright.services.report import TrackedEntry, track

    def begin(entry: TrackedEntry) -> Tracker:
        return open_tracker(kind, project=project, name=entry.name, config=entry.config)

    click.echo(f"{kind}: {track(run, begin)} runs in {project}", err=True)


def _title(run: Run) -> str:
    return f"SoundsRight, round {run.finished().round.id}"
