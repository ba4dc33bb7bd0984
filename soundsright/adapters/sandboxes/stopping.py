"""Stopping every run of a sandbox at once, from any thread.

A `StopSource` belongs to a sandbox. Each run of a model gets a `StopToken` from it and registers what ends the run.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from soundsright.core.errors import ModelCrashed

STOPPED = "stopped by the harness"
"""The message of the fault that ends a stopped run."""


class StopToken:
    """Tells one run, from the preparation of its model to its end, that it was stopped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []
        self._stopped = False

    def check(self) -> None:
        """Raise an error if the run was stopped.

        Raises:
            ModelCrashed: the run was stopped.
        """
        if self._stopped:
            raise ModelCrashed(STOPPED)

    @contextlib.contextmanager
    def on_stop(self, callback: Callable[[], None]) -> Iterator[None]:
        """While the context lasts, `stop` calls `callback`, from another thread.

        Raises:
            ModelCrashed: the run was stopped already.
        """
        with self._lock:
            self.check()
            self._callbacks.append(callback)
        try:
            yield
        finally:
            with self._lock:
                self._callbacks.remove(callback)

    def stop(self) -> None:
        """Stop the run. It cannot be continued."""
        with self._lock:
            self._stopped = True
            for callback in self._callbacks:
                callback()


class StopSource:
    """Stops all runs of one sandbox."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens: set[StopToken] = set()

    @contextlib.contextmanager
    def token(self) -> Iterator[StopToken]:
        """The token of a new run, which lasts as long as the context."""
        token = StopToken()
        with self._lock:
            self._tokens.add(token)
        try:
            yield token
        finally:
            with self._lock:
                self._tokens.discard(token)

    def stop(self) -> None:
        """Stop every run that has a token now. Later runs are not affected."""
        with self._lock:
            tokens = tuple(self._tokens)
        for token in tokens:
            token.stop()
