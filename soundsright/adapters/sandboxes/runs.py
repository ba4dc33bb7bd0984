"""What a sandbox does now, so that all of it can be ended at once and from any thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from soundsright.core.errors import ModelCrashed


class Run:
    """One model's stay in a sandbox, from its preparation to its end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: list[Callable[[], None]] = []
        self._stopped = False

    def check(self) -> None:
        """Raises:
        ModelCrashed: the run was stopped.
        """
        if self._stopped:
            raise ModelCrashed("stopped by the harness")

    @contextlib.contextmanager
    def ended_by(self, end: Callable[[], None]) -> Iterator[None]:
        """For as long as the context lasts, `end` is what ends the run; it is called from another thread.

        Raises:
            ModelCrashed: the run was stopped before.
        """
        with self._lock:
            self.check()
            self._ends.append(end)
        try:
            yield
        finally:
            with self._lock:
                self._ends.remove(end)

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            for end in self._ends:
                end()


class Runs:
    """The runs of one sandbox."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: set[Run] = set()

    @contextlib.contextmanager
    def begun(self) -> Iterator[Run]:
        run = Run()
        with self._lock:
            self._runs.add(run)
        try:
            yield run
        finally:
            with self._lock:
                self._runs.discard(run)

    def stop(self) -> None:
        """End every run that has begun."""
        with self._lock:
            runs = tuple(self._runs)
        for run in runs:
            run.stop()
