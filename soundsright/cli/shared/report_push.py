"""What `soundsright report` writes for a hub, and pushes there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from soundsright.services.records import Run


def write_data_set(folder: Path, run: Run, corpus: Path | None, audio_mib: int, name: str) -> None:
    """The round as a data set in `folder`, and a line that says what is in it."""
    from soundsright.data import corpus_folder
    from soundsright.services.report import read_sources, write_dataset

    sources = read_sources(corpus_folder(corpus)) if audio_mib else {}
    written = write_dataset(run, folder, sources=sources, audio_bytes=audio_mib << 20, name=name)
    silent = f"; {written.clips_silent} clips without audio" if written.clips_silent else ""
    heard = f"audio of {written.clips_heard} clips{silent}"
    click.echo(f"{folder}: {len(written.files)} files, {written.total_bytes / 1e6:.1f} MB, {heard}", err=True)


def push_run(
    run: Run,
    hub: str | None,
    *,
    dataset: str | None,
    folder: Path | None,
    private: bool,
    corpus: Path | None,
    audio_mib: int,
    card: str | None,
    pull_request: bool,
) -> None:
    """Push the data set, which may lie in `folder` already, and then an entry's card, which names it."""
    from soundsright.adapters.hubs import HubPush
    from soundsright.config import Settings
    from soundsright.services.report import model_index

    title = f"SoundsRight, round {run.finished().round.id}"
    pushing = HubPush(hub or str(Settings.model_fields["hf_endpoint"].default), os.environ.get("HF_TOKEN"))
    # Made before anything is sent: a name that is not there costs nothing.
    page = f"{pushing.endpoint}/datasets/{dataset}" if dataset else ""
    index = model_index(run, card, dataset=dataset or "", dataset_url=page) if card else []
    if dataset:
        with tempfile.TemporaryDirectory() as made:
            if folder is None:
                folder = Path(made) / "dataset"
                write_data_set(folder, run, corpus, audio_mib, dataset)
            click.echo(pushing.dataset(dataset, folder, message=title, private=private), err=True)
    if card:
        click.echo(pushing.card(card, index, message=title, pull_request=pull_request), err=True)
