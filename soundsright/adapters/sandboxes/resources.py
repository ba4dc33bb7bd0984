"""This machine's processors, shared out so that one model cannot slow another."""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Iterator

from soundsright.core.ports import SandboxLimits


def usable_cpus() -> tuple[int, ...]:
    """The numbers of the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


class CpuPool:
    """Hands out processors, those with the fewest users first."""

    def __init__(self, cpus: tuple[int, ...] | None = None) -> None:
        self._users = dict.fromkeys(cpus or usable_cpus(), 0)
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def taken(self, cpus: float) -> Iterator[tuple[int, ...]]:
        """As many processors as `cpus` rounds up to, or all that there are.

        >>> with CpuPool((0, 1)).taken(1.0) as mine:
        ...     mine
        (0,)
        """
        with self._lock:
            by_use = sorted(self._users, key=lambda cpu: (self._users[cpu], cpu))
            chosen = tuple(sorted(by_use[: max(1, math.ceil(cpus))]))
            for cpu in chosen:
                self._users[cpu] += 1
        try:
            yield chosen
        finally:
            with self._lock:
                for cpu in chosen:
                    self._users[cpu] -= 1


def memory_bytes() -> int:
    """The machine's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def concurrency(limits: SandboxLimits, *, cpus: int, memory_bytes: int, gpus: int | None = None) -> tuple[int, str]:
    """How many models this machine holds at once, and why; `gpus` where each model takes one.

    >>> concurrency(SandboxLimits(memory_bytes=4_000_000_000), cpus=2, memory_bytes=24_000_000_000)
    (2, '2 at once: 2 processors for 1 each, 19.2 of 24 GB of memory for 4 GB each; the processors decide')
    """
    by_cpu = int(cpus // math.ceil(limits.cpus))
    usable = 0.8 * memory_bytes
    by_memory = int(usable // limits.memory_bytes)
    bounds = {"processors decide": by_cpu, "memory decides": by_memory}
    shared = ""
    if gpus is not None:
        bounds["GPUs decide"] = gpus
        shared = f", {gpus} GPUs for 1 each"
    why = min(bounds, key=lambda name: bounds[name])
    chosen = max(1, bounds[why])
    return chosen, (
        f"{chosen} at once: {cpus} processors for {math.ceil(limits.cpus)} each, {usable / 1e9:.3g} of "
        f"{memory_bytes / 1e9:.3g} GB of memory for {limits.memory_bytes / 1e9:.3g} GB each{shared}; the {why}"
    )
