"""Counters whose writer is killed, or whose database does not reply, before or after a write took effect."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from soundsright.core.errors import StateUnavailable
from soundsright.core.ports import Counters
from soundsright.testing.faults import Killed

COUNTING_FAULTS = (
    "killed before a count",
    "killed after a count",
    "no reply after a count",
    "killed before a close",
    "killed after a close",
)
_STRUCK = 0.2


class MortalCounters:
    """Counters under the fault in `fault`, which strikes one write in five. Every write can be repeated."""

    def __init__(self, counters: Counters, rng: np.random.Generator) -> None:
        self._counters, self._rng = counters, rng
        self.fault = ""

    def add(self, scope: str, deltas: Mapping[str, int], *, once: str | None) -> None:
        """Count, unless the fault strikes."""
        strikes = self.fault.endswith("count") and self._rng.random() < _STRUCK
        if strikes and "before" in self.fault:
            raise Killed
        self._counters.add(scope, deltas, once=once)
        if strikes:
            raise StateUnavailable("no reply") if self.fault.startswith("no reply") else Killed

    def close_interval(self, name: str, *, keep: Collection[str]) -> Mapping[str, Mapping[str, int]]:
        """Close the interval. The fault strikes once."""
        fault, self.fault = self.fault, ""
        if fault == "killed before a close":
            raise Killed
        archived = self._counters.close_interval(name, keep=keep)
        if fault == "killed after a close":
            raise Killed
        return archived

    def interval(self, name: str) -> Mapping[str, Mapping[str, int]] | None:
        """The counts of a closed interval."""
        return self._counters.interval(name)

    def forget_intervals(self, *, keep: int) -> None:
        """Remove old intervals."""
        self._counters.forget_intervals(keep=keep)
