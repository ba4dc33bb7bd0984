"""The folder in which a replay keeps what it computed until it ends, so that it continues after Ctrl-C."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from soundsright.cli.shared.stopping import EXIT_INTERRUPTED, stopping_at_once
from soundsright.core.errors import InfrastructureFault, UsageError
from soundsright.core.folder_lock import locked

if TYPE_CHECKING:
    from soundsright.services.replay import KeptWork

_CACHES = "replays"


@dataclass(frozen=True)
class ReplayFolder:
    """The folder of a replay, and the work in it that a stopped replay left."""

    path: Path
    kept: KeptWork


def _check_own(path: Path) -> None:
    """Check that nobody else can have written what lies in the folder: kept results count as computed.

    Raises:
        UsageError: somebody else can.
    """
    for each in (path, *path.glob("kept.jsonl")):
        status = each.lstat()
        if status.st_uid != os.geteuid() or status.st_mode & stat.S_IWOTH:
            raise UsageError(
                f"{each} belongs to another user, or everybody may write it",
                "Give a folder of your own with --work.",
            )


@contextmanager
def replay_folder(work: Path | None, state_folder: Path, sha256: str, again: str) -> Iterator[ReplayFolder]:
    """The folder `work`, or one in STATE_FOLDER that is named by the digest of the round document.

    If the block is stopped, a sentence says how to continue: `again` ends it. If the block ends, the list of what
    was computed is removed, and so is a folder in STATE_FOLDER.

    Raises:
        UsageError: the folder cannot be written, belongs to somebody else, or another replay uses it.
    """
    from soundsright.services.replay import KeptWork

    path = (state_folder / _CACHES / sha256 if work is None else work).resolve()
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UsageError(f"{path} cannot be made ({error.strerror})", "Give another folder with --work.") from error
    _check_own(path)
    sentence = f"What was computed is kept in {path}. To continue, run the same command {again}."
    with locked(path), stopping_at_once():
        with closing(KeptWork(path, sha256)) as kept:
            try:
                yield ReplayFolder(path, kept)
            except KeyboardInterrupt:
                click.echo(f"Stopped. {sentence}", err=True)
                raise click.exceptions.Exit(EXIT_INTERRUPTED) from None
            except InfrastructureFault:
                click.echo(sentence, err=True)
                raise
            kept.forget()
        if work is None:
            shutil.rmtree(path, ignore_errors=True)
