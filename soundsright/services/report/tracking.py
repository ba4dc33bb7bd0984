"""What a tracker is told of a run: one tracker run per entry and competition.

Scores in their metric's unit, shares in percent of the emission.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from soundsright.core.errors import UsageError
from soundsright.services.records import Run


class Tracked(Protocol):
    """A begun run of a tracker."""

    def log(self, values: Mapping[str, float]) -> None: ...
    def finish(self) -> None: ...


@dataclass(frozen=True)
class TrackedEntry:
    """One entry's name, recipe and numbers."""

    name: str
    config: Mapping[str, Any]
    values: Mapping[str, float]


def tracked_entries(run: Run) -> Iterator[TrackedEntry]:
    """Every entry, and the unprocessed input, of each competition.

    Raises:
        UsageError: the run has no results.
    """
    if run.doc is None:
        raise UsageError(f"{run.folder}: {run.problem}", "Name the folder of a finished run.")
    for c in run.competitions:
        for entry in c.rows:
            row = entry.row
            values: dict[str, float] = {"share_percent": row.share, "failed_clips": sum(row.failures.values())}
            if row.rank is not None:
                values["rank"] = row.rank
            if row.timing.real_time_factor is not None:
                values["real_time_factor"] = row.timing.real_time_factor
                values["peak_memory_bytes"] = row.timing.peak_memory_bytes
            for name, estimate in row.metrics.items():
                values |= {
                    name: estimate.mean,
                    f"{name}/low": estimate.low,
                    f"{name}/high": estimate.high,
                }
            config = {
                "round": run.doc.round.id,
                "competition": c.doc.id,
                "entry": row.entry,
                "model": row.model or "",
                "hotkey": row.hotkey or "",
                "clips": row.clips,
                "set_seed": str(c.doc.seed),
                "set_digest": c.doc.set_digest,
                "ruleset": run.doc.round.ruleset,
                "ruleset_digest": run.doc.round.ruleset_digest,
                **{f"version_{name}": version for name, version in run.doc.versions.items()},
            }
            yield TrackedEntry(f"{run.folder.name}-{c.doc.id}-{row.entry}", config, values)


def track(run: Run, begin: Callable[[TrackedEntry], Tracked]) -> int:
    """Tell a tracker of every entry; how many. A run that was begun is finished, whatever happens in it."""
    count = 0
    for entry in tracked_entries(run):
        tracked = begin(entry)
        try:
            tracked.log(entry.values)
        finally:
            tracked.finish()
        count += 1
    return count
