"""Requests that are neither old nor answered already. Times are in nanoseconds since the epoch, ages in seconds."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

from soundsright.core.errors import RequestRefused

MAX_AHEAD_S = 2.0
_MAX_REQUESTS = 100_000


class Freshness:
    """Lets each request pass once, and only while it is at most `max_age_s` old.

    A request that was signed before this object was made is stale. Otherwise a restarted service, which has
    forgotten the requests that it answered, would answer one twice. A request older than a forgotten one is stale
    too, so setting back the clock lets nothing pass twice.
    """

    def __init__(self, max_age_s: float, now_ns: Callable[[], int]) -> None:
        self.max_age_s = max_age_s
        self._now_ns = now_ns
        self._oldest_ns = now_ns()
        self._lock = threading.Lock()
        self._used: OrderedDict[tuple[Hashable, int], None] = OrderedDict()

    def check_age(self, signed_ns: int) -> None:
        """Check a request's time against this machine's clock.

        Raises:
            RequestRefused: `stale`.
        """
        age_s = (self._now_ns() - signed_ns) / 1e9
        if age_s > self.max_age_s or age_s < -MAX_AHEAD_S:
            raise RequestRefused(
                "stale",
                f"The request's time is {abs(age_s):.0f} s {'behind' if age_s > 0 else 'ahead of'} this machine's "
                "clock; set both clocks by NTP",
                status=401,
            )

    def use(self, request: Hashable, signed_ns: int) -> None:
        """Count a request as answered. Call this only after its signature was verified: otherwise strangers could
        use up the requests of others.

        Raises:
            RequestRefused: `stale`, `replayed` or `busy`.
        """
        forgotten_ns = self._now_ns() - int((self.max_age_s + 1) * 1e9)
        with self._lock:
            while self._used and next(iter(self._used))[1] < forgotten_ns:
                (_, dropped_ns), _ = self._used.popitem(last=False)
                self._oldest_ns = max(self._oldest_ns, dropped_ns + 1)
            if signed_ns < self._oldest_ns:
                raise RequestRefused(
                    "stale",
                    "The request was signed before this service started, or before its clock was set back; sign it "
                    "again",
                    status=401,
                )
            if (request, signed_ns) in self._used:
                raise RequestRefused("replayed", "This request was already answered", status=401)
            if len(self._used) >= _MAX_REQUESTS:
                raise RequestRefused("busy", "Too many requests; try again in a moment", status=429)
            self._used[request, signed_ns] = None
