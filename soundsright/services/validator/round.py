"""A validator's round in its own thread, and the pauses before failed work is tried again. Times are in seconds."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from soundsright.core.errors import InfrastructureFault
from soundsright.core.schedule import Round
from soundsright.services.rounds import Cancelled, RoundOutcome, RoundService


def minute_of(time_s: float) -> str:
    """The time at which a round starts, for people.

    >>> minute_of(1_893_835_800)
    '2030-01-05 09:30 UTC'
    """
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M} UTC"


class RunningRound:
    """A round in its own thread, which starts at once."""

    def __init__(self, number: int, schedule: Round, service: RoundService) -> None:
        self.number = number
        self.schedule = schedule
        self._service = service
        self._outcome: RoundOutcome | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"round-{schedule.id}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._outcome = self._service.run()
        except BaseException as error:  # noqa: BLE001 - `outcome` raises it
            self._error = error

    def ended(self) -> bool:
        return not self._thread.is_alive()

    def outcome(self) -> RoundOutcome:
        """The outcome of a round that has ended.

        Raises:
            SoundsRightError: the round failed. It continues from what it recorded when it is started again.
        """
        if isinstance(self._error, Cancelled):
            raise InfrastructureFault(f"Round {self.schedule.id} was stopped", "It continues at the next start.")
        if self._error is not None:
            raise self._error
        assert self._outcome is not None
        return self._outcome

    def cancel(self) -> None:
        self._service.cancel()
        self._thread.join()


class Backoff:
    """When to try failed work again: after a pause that doubles with each failure, up to the longest.

    A clock that is set back cannot make the pause longer than the longest.

    >>> retry = Backoff(first_s=10, longest_s=300)
    >>> retry.failed(now_s=1_000); retry.is_due(now_s=1_009), retry.is_due(now_s=1_010), retry.is_due(now_s=0)
    (False, True, True)
    """

    def __init__(self, *, first_s: float, longest_s: float) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self.succeeded()

    def succeeded(self) -> None:
        self._pause_s = 0.0
        self._due_s = float("-inf")

    def failed(self, now_s: float) -> None:
        self._pause_s = min(2 * self._pause_s or self._first_s, self._longest_s)
        self._due_s = now_s + self._pause_s

    def is_due(self, now_s: float) -> bool:
        return now_s >= self._due_s or self._due_s - now_s > self._longest_s
