"""Work that a service repeats in a thread of its own until it is stopped. Times are in seconds."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from soundsright.core.errors import SoundsRightError
from soundsright.core.ports import Clock
from soundsright.services.rounds import Cancelled
from soundsright.services.validator.round import Backoff

_log = logging.getLogger(__name__)

IDLE, RUNNING, WAITING = "idle", "running", "waiting"
"""The states: nothing to do; the work runs; a fault must pass first."""
FIRST_PAUSE_S = 10.0


class Stoppable(Protocol):
    """The context of work that can be stopped from any thread."""

    @property
    def clock(self) -> Clock: ...
    @property
    def cancelled(self) -> threading.Event: ...

    def cancel(self) -> None: ...

    def raise_if_cancelled(self) -> None: ...


class RepeatedWork:
    """A service whose `_work` is repeated every `poll_s`. One thread calls `run` or `tick`.

    A fault is tried again after pauses that grow up to `longest_s`. `problem` receives the sentence of a fault that
    lasts, or None when it is over. `name` is that of the thread and of the events in the log.
    """

    def __init__(
        self,
        name: str,
        stoppable: Stoppable,
        *,
        poll_s: float,
        longest_s: float,
        problem: Callable[[str | None], None],
    ) -> None:
        self._name = name
        self._stoppable = stoppable
        self._poll_s = poll_s
        self._report = problem
        self._retry = Backoff(first_s=FIRST_PAUSE_S, longest_s=longest_s)
        self._state = IDLE
        self._waits_for = ""

    def _work(self) -> None:
        """Do what there is to do. It continues from what it recorded when it is called again.

        Raises:
            SoundsRightError: a fault, which is tried again.
            Cancelled: the service stops.
        """
        raise NotImplementedError

    def _rest(self) -> None:
        """Set the state after the work has ended without a fault."""
        self._state, self._waits_for = IDLE, ""

    def run(self, stop: threading.Event) -> None:
        """Repeat the work until `stop` is set. Then running models are ended, and what was recorded stays."""
        worker = threading.Thread(target=self._loop, name=self._name, daemon=True)
        worker.start()
        while worker.is_alive() and not stop.wait(0.2):
            pass
        self._stoppable.cancel()
        worker.join()

    def _loop(self) -> None:
        while not self._stoppable.cancelled.is_set():
            with suppress(Cancelled):
                self.tick()
            self._stoppable.cancelled.wait(self._poll_s)

    def tick(self) -> None:
        """Do the work once, unless a pause after a fault is not over yet.

        Raises:
            Cancelled: the service stops.
        """
        if not self._retry.is_due(self._stoppable.clock.now()):
            return
        try:
            self._work()
        except Cancelled:
            raise
        except SoundsRightError as fault:
            self._failed(str(fault))
        except Exception as error:  # noqa: BLE001 - a service goes on, and says what happened
            _log.exception("%s failed", self._name, extra={"action": f"{self._name}_failed"})
            self._failed(f"An error of the program ({type(error).__name__}). The log has the traceback.")
        else:
            self._retry.succeeded()
            self._rest()
            self._report(None)

    def _failed(self, sentence: str) -> None:
        self._stoppable.raise_if_cancelled()
        _log.warning("%s; trying again", sentence.rstrip("."), extra={"action": f"{self._name}_waits"})
        self._retry.failed(self._stoppable.clock.now())
        self._state, self._waits_for = WAITING, sentence
        self._report(sentence)
