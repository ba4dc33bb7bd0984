"""Look at a running round and show its status in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from soundsright.services.board import GpuStatus, RoundStatus, RoundWatch

_COLOURS = {"failing": "red", "failed": "red", "refused": "red", "done": "green", "running": "bold"}


def opened_watch(folder: Path) -> RoundWatch:
    """A watch on the round in the folder of a run or a service.

    Raises:
        UsageError: the folder has no state.
    """
    import time

    from soundsright.adapters.sandboxes import find_gpus, gpu_use
    from soundsright.adapters.state import SqlState
    from soundsright.services.board import GpuStatus, RoundWatch

    database = folder / "state.db"
    if not database.is_file():
        raise UsageError(f"{folder} has no state.db", "Give the folder of a run or of a validator.")
    gpus = find_gpus()

    def gpu_statuses() -> list[GpuStatus]:
        uses = [(gpu, gpu_use(gpu)) for gpu in gpus]
        return [
            GpuStatus(gpu.index, use.memory_bytes, gpu.memory_bytes, use.utilisation_percent)
            for gpu, use in uses
            if use is not None
        ]

    return RoundWatch(SqlState(database), folder, now=time.monotonic, gpus=gpu_statuses)


def drawn_status(status: RoundStatus) -> RenderableType:
    """A status as text and a table."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    left = "" if status.left_s is None else f", {duration(status.left_s)} left"
    head = f"Round {status.round_id}: {status.stage_name}, {status.clips_done} of {status.clips} clips{left}"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("entry", "competition", "state"):
        table.add_column(heading)
    table.add_column("clips", justify="right")
    for entry in status.entries:
        table.add_row(
            Text(entry.label),
            Text(entry.competition),
            Text(entry.summary, style=_COLOURS.get(entry.state, "")),
            f"{entry.clips_done} of {entry.clips}",
        )
    gpus = [
        f"GPU {g.index} {g.used_bytes / 1e9:.1f} of {g.total_bytes / 1e9:.1f} GB, {g.busy_percent:.0f} % busy"
        for g in status.gpus
    ]
    foot = f"Disk {status.disk_free_bytes / 1e9:.1f} GB free. {'. '.join(gpus) or 'No GPU'}."
    faults = [Text(f"  {' '.join(fault.split())}", style="red") for fault in status.faults]
    return Group(Text(head, style="bold"), table, *faults, Text(foot))


def duration(seconds: float) -> str:
    """A duration in seconds, minutes or hours.

    >>> duration(59), duration(600), duration(7200)
    ('59 s', '10 min', '2.0 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
