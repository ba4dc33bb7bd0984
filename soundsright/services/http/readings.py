"""A reading that the requests of strangers share, such as a chain's registered hotkeys. Times are in seconds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from soundsright.core.errors import ChainUnavailable

T = TypeVar("T")

_FRESH_S = 60.0
_LOOK_AGAIN_S = 12.0
"""The longest wait of a hotkey that just got its permit, while the chain answers."""


class SharedReading(Generic[T]):
    """The latest result of `read`, which reads a chain. Any thread may ask for it.

    It reads at most every 12 seconds. While the chain does not answer, the last result counts.
    """

    def __init__(self, read: Callable[[], T], monotonic_s: Callable[[], float]) -> None:
        self._read = read
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._last: T | None = None
        self._read_at_s = self._tried_at_s = -float("inf")

    def value(self, suffices: Callable[[T], bool]) -> T:
        """The result now. One of the last minute is not read again if it `suffices`.

        Raises:
            ChainUnavailable: the chain has not answered since the start.
        """
        last = self._last
        is_enough = last is not None and suffices(last)
        if last is not None and is_enough and self._monotonic_s() - self._read_at_s <= _FRESH_S:
            return last
        # A slow chain must not keep out those who are known: one of them reads, the others go on.
        if not self._lock.acquire(blocking=not is_enough):
            assert last is not None
            return last
        try:
            return self._read_again()
        finally:
            self._lock.release()

    def _read_again(self) -> T:
        """The result of a new reading, or the last one: also if the last 12 seconds had one that failed."""
        if self._monotonic_s() - self._tried_at_s <= _LOOK_AGAIN_S:
            if self._last is None:
                raise ChainUnavailable("The chain did not answer", "Try again in a moment.")
            return self._last
        try:
            result = self._read()
        except ChainUnavailable:
            if self._last is None:
                raise
            return self._last
        finally:
            self._tried_at_s = self._monotonic_s()
        self._last, self._read_at_s = result, self._tried_at_s
        return result
