"""Flags of `soundsright report` that `bundle` and `publish` replace. They still work, and name the new command.

Remove this module in the version after 0.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from soundsright.cli.shared.options import FILE, FOLDER, grouped, option
from soundsright.cli.shared.publishing import (
    TRACKERS,
    DataSetChoice,
    card_index,
    opened_push,
    push_card,
    push_data_set,
    send_to_tracker,
    write_bundle_of,
    write_data_set,
)

if TYPE_CHECKING:
    from soundsright.services.records import Run


@dataclass(frozen=True)
class OldFlags:
    """The values of the old flags; None for each that was not given."""

    bundle: Path | None
    dataset: Path | None
    push_dataset: str | None
    private: bool
    audio_mib: int
    corpus: Path | None
    card: str | None
    push_card: str | None
    pull_request: bool
    hub: str | None
    tracker: str | None
    project: str

    @property
    def have_actions(self) -> bool:
        """Whether a flag does something else than print a document."""
        actions = (self.bundle, self.dataset, self.push_dataset, self.push_card, self.tracker)
        return any(action is not None for action in actions)

    def replacements(self, run: Path) -> Iterator[tuple[str, str]]:
        """Each old flag that was given, and the command that replaces it."""
        if self.bundle is not None:
            yield "--bundle", f"bundle {run} --out {self.bundle}"
        if self.dataset is not None:
            yield "--dataset", f"publish dataset {run} --folder {self.dataset}"
        if self.push_dataset is not None:
            yield "--push-dataset", f"publish dataset {run} {self.push_dataset}"
        if self.card is not None:
            yield "--card", f"publish card {run} {self.card} --print"
        if self.push_card is not None:
            yield "--push-card", f"publish card {run} {self.push_card}"
        if self.tracker is not None:
            yield "--log", f"publish tracker {run} {self.tracker}"


old_flags = grouped(
    OldFlags,
    "old",
    option("--bundle", type=FILE, hidden=True),
    option("--dataset", type=FOLDER, hidden=True),
    option("--push-dataset", hidden=True),
    option("--private", is_flag=True, hidden=True),
    option(
        "--audio-mib",
        default=64,
        type=click.IntRange(0, 16_384),
        envvar="SOUNDSRIGHT_AUDIO_MIB",
        hidden=True,
    ),
    option("--corpus", type=FOLDER, envvar="SOUNDSRIGHT_CORPUS", hidden=True),
    option("--card", hidden=True),
    option("--push-card", hidden=True),
    option("--pull-request", is_flag=True, hidden=True),
    option("--hub", envvar="HF_ENDPOINT", hidden=True),
    option("--log", "tracker", type=click.Choice(TRACKERS), envvar="SOUNDSRIGHT_LOG", hidden=True),
    option("--project", default="soundsright", envvar="SOUNDSRIGHT_PROJECT", hidden=True),
)


def follow_old_flags(old: OldFlags, run: Run, named: Path) -> None:
    """Do what the old flags ask for, except for --card. `named` is the run's path as the user wrote it."""
    for flag, replacement in old.replacements(named):
        click.echo(f"Note: report {flag} is deprecated. Use: soundsright {replacement}", err=True)
    if old.bundle is not None:
        write_bundle_of(run, old.bundle)
    choice = DataSetChoice(old.corpus, old.audio_mib)
    if old.dataset is not None:
        write_data_set(old.dataset, run, choice, old.push_dataset or "")
    if old.push_dataset is not None or old.push_card is not None:
        _push(old, run, choice)
    if old.tracker is not None:
        send_to_tracker(run, old.tracker, old.project)


def _push(old: OldFlags, run: Run, choice: DataSetChoice) -> None:
    push = opened_push(old.hub)
    # Look the entry up before anything is sent, so that a wrong name has no effect.
    index = card_index(push, run, old.push_card, old.push_dataset or "") if old.push_card else []
    if old.push_dataset:
        push_data_set(push, run, old.push_dataset, choice, folder=old.dataset, private=old.private)
    if old.push_card:
        push_card(push, run, old.push_card, index, pull_request=old.pull_request)
