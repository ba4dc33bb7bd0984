"""One process at a time on one state: a lease in its database, renewed while the work lasts.

Times are in seconds. A process that dies leaves a lease that runs out; the next one takes it over then, or at once
where both are of one machine and it can see that the other is gone.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from soundsright.core.errors import StateUnavailable, UsageError
from soundsright.core.ports import Clock

LEASE_S = 60.0

_log = logging.getLogger(__name__)


class Leases(Protocol):
    """The part of a state that holds leases."""

    def take_lease(self, name: str, holder: str, *, now_s: float, duration_s: float) -> bool: ...
    def release_lease(self, name: str, holder: str) -> None: ...
    def lease_holder(self, name: str, *, now_s: float) -> str | None: ...


def this_process() -> str:
    """A name that no other living process has: of its machine, of the numbers' own space there, and its number."""
    return f"{_place()}:{os.getpid()}"


def _place() -> str:
    space = ""
    with suppress(OSError):
        space = Path("/proc/self/ns/pid").readlink().name
    return f"{socket.gethostname()}:{space}"


def _is_gone(holder: str) -> bool:
    """Whether a process has ended for certain. One of another machine or container cannot be seen from here."""
    place, _, number = holder.rpartition(":")
    if place != _place() or not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False


def living_holder(state: Leases, name: str, *, clock: Clock) -> str | None:
    """Who holds the lease `name`, unless that process has ended for certain."""
    holder = state.lease_holder(name, now_s=clock.now())
    return None if holder is None or _is_gone(holder) else holder


@contextmanager
def sole_process(
    state: Leases,
    name: str,
    *,
    clock: Clock,
    lost: Callable[[], None],
    holder: str | None = None,
    duration_s: float = LEASE_S,
) -> Iterator[None]:
    """Hold the lease `name` for as long as the block runs, renewing it from a thread.

    `lost` is called once, from that thread, where the lease could not be renewed in time: whoever else has it by
    then works on the same state, so that the work must end.

    Raises:
        UsageError: another process holds it.
        StateUnavailable: the state does not answer.
    """
    own = holder or this_process()
    before = state.lease_holder(name, now_s=clock.now())
    if before is not None and living_holder(state, name, clock=clock) is None:
        state.release_lease(name, before)
    taken_at_s = clock.now()
    if not state.take_lease(name, own, now_s=taken_at_s, duration_s=duration_s):
        other = state.lease_holder(name, now_s=clock.now()) or "another process"
        raise UsageError(
            f"{other} works on this state", f"End it, or wait {duration_s:g} s after it died, and start again."
        )
    ended = threading.Event()

    def renew() -> None:
        expires_at_s = taken_at_s + duration_s
        while not ended.wait(duration_s / 3):
            now_s = clock.now()
            try:
                if state.take_lease(name, own, now_s=now_s, duration_s=duration_s):
                    expires_at_s = now_s + duration_s
                    continue
            except StateUnavailable as error:
                _log.warning("the lease was not renewed", extra={"action": "lease_late", "error": str(error)})
                if now_s < expires_at_s:
                    continue
            _log.error("the lease was lost", extra={"action": "lease_lost", "lease": name})
            lost()
            return

    renewer = threading.Thread(target=renew, name="lease", daemon=True)
    renewer.start()
    try:
        yield
    finally:
        ended.set()
        renewer.join()
        state.release_lease(name, own)
