"""The state of a validator, also of one without rounds, and of its dry runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from soundsright.adapters.state import SqlState
    from soundsright.config import ValidatorSettings


@contextmanager
def opened_state(settings: ValidatorSettings, *, remove_first: bool) -> Iterator[SqlState]:
    """The state in STATE_FOLDER. With `remove_first`, the folder's old content is removed before."""
    from soundsright.adapters.state import SqlState

    if remove_first and settings.folder.exists():
        _remove_dry_run(settings.folder)
    settings.folder.mkdir(parents=True, exist_ok=True)
    with closing(SqlState(settings.folder / "state.db")) as state:
        yield state


def _remove_dry_run(folder: Path) -> None:
    """Remove the folder of an earlier dry run.

    Raises:
        UsageError: that dry run is still running, or the folder cannot be removed.
    """
    from soundsright.adapters.machine import SystemClock
    from soundsright.adapters.state import SqlState
    from soundsright.services.validator import in_use, living_holder

    if (folder / "state.db").exists():
        with closing(SqlState(folder / "state.db")) as earlier:
            holder = living_holder(earlier, "validator", clock=SystemClock())
        if holder is not None:
            raise in_use(holder, str(folder))
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be removed ({error.strerror or error})", "Remove it yourself, then try again."
        ) from error
