"""Progress reports of a running round, and the seconds of work of each stage."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from soundsright.core.competition import Competition
from soundsright.core.submission import Submission


@dataclass(frozen=True)
class Progress:
    """The state of one evaluation: clips done and in all, seconds of the last batch, and a note on problems."""

    clips_done: int
    clips: int
    enhance_s: float = 0.0
    load_s: float = 0.0
    score_s: float = 0.0
    note: str = ""


@dataclass(frozen=True)
class Event:
    """One event for a display: its `stage`, and the entry or the competition that it is about."""

    stage: str
    entry: Submission | None = None
    competition: Competition | None = None
    progress: Progress | None = None
    total: int = 0
    note: str = ""


class BusySeconds:
    """Seconds of work by stage. Any thread may add to them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: dict[str, float] = {}

    def add(self, stage: str, seconds: float) -> None:
        with self._lock:
            self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds

    @contextmanager
    def measured(self, stage: str) -> Iterator[None]:
        """Add the time that the block takes."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, time.perf_counter() - started)

    def seconds(self) -> dict[str, float]:
        with self._lock:
            return dict(self._seconds)
