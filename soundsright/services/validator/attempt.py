"""Work that must not hold up a validator's one thread: each attempt has a thread. Times are in seconds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Attempt(Generic[T]):
    """Work in a thread, which starts at once. The thread does not keep the process alive."""

    def __init__(self, name: str, work: Callable[[], T]) -> None:
        self._work = work
        self._results: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._results.append(self._work())
        except BaseException as error:  # noqa: BLE001 - `result` raises it
            self._error = error

    def wait(self, timeout_s: float) -> bool:
        """Wait until it has ended, for a time at most. Returns whether it has."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def result(self) -> T:
        """The result of an attempt that has ended. An error of the work is raised."""
        if self._error is not None:
            raise self._error
        return self._results[0]
