"""Work of an executor's system that is due in each period, in a thread of its own.

Times are in seconds, blocks are counted.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar

from soundsright.core.errors import InfrastructureFault, PeerUnavailable
from soundsright.core.ports import Clock
from soundsright.services.validator import Attempt

T = TypeVar("T")

LONGEST_ATTEMPT_S = 300.0
RETRY_BLOCKS = 5


class Repeated(Generic[T]):
    """Work that is due in the first block of each period of `every_blocks`, the same ones on every machine.

    It is also due at the start, and `RETRY_BLOCKS` after a failure.
    """

    def __init__(self, name: str, work: Callable[[], T], *, every_blocks: int, clock: Clock) -> None:
        self.name = name
        self._work = work
        self._every_blocks = every_blocks
        self._clock = clock
        self._done_period = -1
        self._retry_block = 0
        self._attempt: Attempt[T] | None = None
        self._period = 0
        self._started_s = 0.0
        self._fault: BaseException | None = None
        self._traceback: TracebackType | None = None

    def is_current(self, block: int) -> bool:
        """Whether the work has succeeded in the block's period."""
        return block // self._every_blocks <= self._done_period

    @property
    def done_period(self) -> int:
        """The last period in which the work has succeeded; -1 before the first."""
        return self._done_period

    def resume(self, period: int) -> None:
        """Take the work of that period as done, because a process before this one did it."""
        self._done_period = max(self._done_period, period)

    def tick(self, block: int) -> T | None:
        """Collect the result of an attempt that has ended, and start the next one if it is due.

        Returns the new result; None if there is none.

        Raises:
            InfrastructureFault: an attempt takes too long, or the last one failed. It is raised again until one
                succeeds. Other errors of the work are raised as they are.
        """
        result = None
        if self._attempt is not None and self._attempt.wait(0):
            result = self._collected(self._attempt, block)
            self._attempt = None
        if self._attempt is not None:
            self._check_duration()
        elif not self.is_current(block) and block >= self._retry_block:
            self._period = block // self._every_blocks
            self._started_s = self._clock.now()
            self._attempt = Attempt(self.name, self._work)
        if self._fault is not None:
            # Otherwise each tick would lengthen the traceback.
            raise self._fault.with_traceback(self._traceback)
        return result

    def _collected(self, attempt: Attempt[T], block: int) -> T | None:
        try:
            result = attempt.result()
        except BaseException as error:  # noqa: BLE001 - `tick` raises it
            self._fault, self._traceback = error, error.__traceback__
            self._retry_block = block + RETRY_BLOCKS
            return None
        self._fault, self._retry_block, self._done_period = None, 0, self._period
        return result

    def _check_duration(self) -> None:
        lasted_s = self._clock.now() - self._started_s
        if lasted_s > LONGEST_ATTEMPT_S and not isinstance(self._fault, InfrastructureFault):
            self._traceback = None
            self._fault = PeerUnavailable(
                f"{self.name} has not ended for {lasted_s:.0f} s",
                "Check SUBNET_API_URL and EXECUTOR_API_URL.",
                code="timeout",
            )

    def wait(self, timeout_s: float) -> bool:
        """Wait for an attempt that runs, for a time at most. Returns whether none runs any more."""
        return self._attempt is None or self._attempt.wait(timeout_s)

    def close(self, timeout_s: float) -> None:
        """Wait for an attempt that runs, for a time at most. Its result is not used."""
        if self._attempt is not None:
            self._attempt.wait(timeout_s)
            self._attempt = None
