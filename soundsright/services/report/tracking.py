"""Send a run to an experiment tracker: one tracker run per entry and competition.

Scores are in their metric's unit, shares in percent of the emission.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from soundsright.services.records import Run


class TrackerRun(Protocol):
    """A run of a tracker that has begun."""

    def log(self, values: Mapping[str, float]) -> None: ...
    def finish(self) -> None: ...


@dataclass(frozen=True)
class TrackedEntry:
    """One entry: its name, its configuration and its numbers."""

    name: str
    config: Mapping[str, Any]
    values: Mapping[str, float]


def tracked_entries(run: Run) -> Iterator[TrackedEntry]:
    """Every entry of each competition, and the unprocessed input.

    Raises:
        UsageError: the run has no results.
    """
    doc = run.finished()
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
                values[name] = estimate.mean
                if estimate.low is not None and estimate.high is not None:
                    values |= {f"{name}/low": estimate.low, f"{name}/high": estimate.high}
            config = {
                "round": doc.round.id,
                "competition": c.doc.id,
                "entry": row.entry,
                "model": row.model or "",
                "hotkey": row.hotkey or "",
                "clips": row.clips,
                "set_seed": str(c.doc.seed),
                "set_digest": c.doc.set_digest,
                "ruleset": doc.round.ruleset,
                "ruleset_digest": doc.round.ruleset_digest,
                **{f"version_{name}": version for name, version in doc.versions.items()},
            }
            yield TrackedEntry(f"{run.folder.name}-{c.doc.id}-{row.entry}", config, values)


def track(run: Run, begin: Callable[[TrackedEntry], TrackerRun]) -> int:
    """Send every entry to a tracker and return their number. Each run is finished, even after an error."""
    count = 0
    for entry in tracked_entries(run):
        tracker_run = begin(entry)
        try:
            tracker_run.log(entry.values)
        finally:
            tracker_run.finish()
        count += 1
    return count
