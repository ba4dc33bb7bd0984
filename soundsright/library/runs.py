"""One finished run, read from its folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from soundsright.services.records import Run


def open_run(folder: str | os.PathLike[str]) -> Run:
    """A finished run of `soundsright compete` or of a validator.

    Args:
        folder: the run's folder, or a folder with exactly one run.

    Returns:
        The `Run`. Each of its `competitions` has `entries`, best first, and `unprocessed`, the degraded input's own
        row. `competition.values(entry, "PESQ_WB")` has one value per clip; `competition.signal(entry.key, clip)` is
        the path of a recording.

    Raises:
        UsageError: there is no such folder, it has no run or several, or the run is unfinished or damaged.

    Example:
        import soundsright
        run = soundsright.open_run("runs/demo")
        for competition in run.competitions:
            for entry in competition.entries:
                print(competition.doc.id, entry.label, entry.row.share)
    """
    from soundsright.services.records import find_runs, read_runs

    runs = read_runs(find_runs([Path(folder)]))
    if len(runs) != 1:
        count = "no run" if not runs else f"{len(runs)} runs"
        raise UsageError(f"{os.fspath(folder)} has {count}", "Give the folder of one finished run.")
    runs[0].finished()
    return runs[0]
