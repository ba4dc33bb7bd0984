"""This machine: worker processes, the clock and the energy. Times are in seconds, energy in joules."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Pool(Protocol):
    """Workers for pure functions of picklable arguments."""

    def submit(self, function: Callable[..., T], /, *args: Any, deadline_s: float | None = None) -> Future[T]:
        """The job's future. The deadline is in seconds of the job's own processor time.

        The future raises the job's own error. If the job killed its worker, the future raises `WorkerDied`; after
        the deadline, `JobTimeout`. If the job is not to blame, the future raises another `InfrastructureFault`.
        """
        ...

    def stop(self) -> None:
        """End the workers at once. Jobs without a result fail with an `InfrastructureFault`. Then close it."""
        ...

    def close(self) -> None: ...


class Clock(Protocol):
    """Reads the time and waits."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        ...

    def sleep(self, seconds: float) -> None: ...


class EnergyMeter(Protocol):
    """A counter of the energy that this machine, or a part of it, has used."""

    def joules(self) -> float | None:
        """The counter, which only grows; None if it cannot be read now. Its zero has no meaning."""
        ...
