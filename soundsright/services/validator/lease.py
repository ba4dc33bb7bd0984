"""One process at a time on one state: a lease in its database, which is renewed while the work lasts.

Times are in seconds. The lease of a process that died expires. Then the next process can take it. If both run on
one machine and the next one sees that the first has ended, it takes the lease at once.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from soundsright.core.errors import StateUnavailable, UsageError
from soundsright.core.ports import Clock

LEASE_S = 60.0

_log = logging.getLogger(__name__)


class Leases(Protocol):
    """The leases of a state."""

    def take_lease(self, name: str, holder: str, *, now_s: float, duration_s: float) -> bool: ...
    def release_lease(self, name: str, holder: str) -> None: ...
    def lease_holder(self, name: str, *, now_s: float) -> str | None: ...


def this_process() -> str:
    """A name that no other living process has: `HOST:PID-NAMESPACE:PID`."""
    return f"{_pid_namespace()}:{os.getpid()}"


def _pid_namespace() -> str:
    """This machine and the namespace of its process ids. Containers on one machine have different namespaces."""
    namespace = ""
    with suppress(OSError):
        namespace = Path("/proc/self/ns/pid").readlink().name
    return f"{socket.gethostname()}:{namespace}"


def _is_gone(holder: str) -> bool:
    """Whether a process has certainly ended. Processes on other machines or in other containers are not visible."""
    namespace, _, number = holder.rpartition(":")
    if namespace != _pid_namespace() or not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False


def living_holder(state: Leases, name: str, *, clock: Clock) -> str | None:
    """The holder of the lease `name`; None if there is none, or its process has certainly ended."""
    holder = state.lease_holder(name, now_s=clock.now())
    return None if holder is None or _is_gone(holder) else holder


def in_use(holder: str, used: str, elsewhere: str = "") -> UsageError:
    """The error that the process `holder` uses something. `elsewhere` says how to use another one.

    >>> print(in_use("host:1", "runs/a", "name another folder with --out"))
    Process 1 on host uses runs/a. Stop it, or wait 60 s after it ended, or name another folder with --out.
    """
    namespace, _, number = holder.rpartition(":")
    host = namespace.partition(":")[0]
    own_host = host == socket.gethostname()
    if not host:
        user = "Another process"
    elif own_host:
        inside = "" if namespace == _pid_namespace() else "in a container "
        user = f"Process {number} {inside}on this machine ({host})"
    else:
        user = f"Process {number} on {host}"
    # Only a process in the same namespace is seen to end. The lease of any other one has to expire.
    wait = "until it ends" if namespace == _pid_namespace() else f"{LEASE_S:g} s after it ended"
    more = f", or {elsewhere}" if elsewhere else ""
    return UsageError(f"{user} uses {used}", f"Stop it, or wait {wait}{more}.")


@contextmanager
def sole_process(
    state: Leases,
    name: str,
    *,
    clock: Clock,
    lost: Callable[[], None],
    holder: str | None = None,
    duration_s: float = LEASE_S,
    used: str = "this state",
    elsewhere: str = "",
) -> Iterator[None]:
    """Keep the lease `name` while the block runs. A thread renews it. `used` and `elsewhere` are for the error.

    The thread calls `lost` once if the lease could not be renewed in time. Another process may then work on the
    same state, so the work must end.

    Raises:
        UsageError: another process has the lease.
        StateUnavailable: the state does not answer.
    """
    own = holder or this_process()
    before = state.lease_holder(name, now_s=clock.now())
    if before is not None and living_holder(state, name, clock=clock) is None:
        state.release_lease(name, before)
    taken_at_s = clock.now()
    if not state.take_lease(name, own, now_s=taken_at_s, duration_s=duration_s):
        other = state.lease_holder(name, now_s=clock.now()) or ""
        raise in_use(other, used, elsewhere)
    renewal = _Renewal(state, name, own, clock, lost, duration_s)
    renewer = threading.Thread(target=renewal.run, args=[taken_at_s + duration_s], name="lease", daemon=True)
    renewer.start()
    try:
        yield
    finally:
        renewal.ended.set()
        renewer.join()
        state.release_lease(name, own)


@dataclass
class _Renewal:
    """Renews a lease in a thread until `ended` is set."""

    state: Leases
    name: str
    holder: str
    clock: Clock
    lost: Callable[[], None]
    duration_s: float
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self, expires_at_s: float) -> None:
        while not self.ended.wait(self.duration_s / 3):
            now_s = self.clock.now()
            try:
                if self.state.take_lease(self.name, self.holder, now_s=now_s, duration_s=self.duration_s):
                    expires_at_s = now_s + self.duration_s
                    continue
            except StateUnavailable as error:
                _log.warning("the lease was not renewed", extra={"action": "lease_late", "error": str(error)})
                if now_s < expires_at_s:
                    continue
            _log.error("the lease was lost", extra={"action": "lease_lost", "lease": self.name})
            self.lost()
            return
