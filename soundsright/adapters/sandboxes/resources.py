"""The CPU cores and the memory of this machine, and how many models it can run at the same time."""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Iterator
from typing import NamedTuple

from soundsright.core.ports import SandboxLimits

_USABLE_MEMORY = 0.8
"""The share of memory that models may use. The rest is for the harness and the system."""


def usable_cpus() -> tuple[int, ...]:
    """The numbers of the CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


class CpuPool:
    """Assigns CPU cores to models, those with the fewest users first, so that models do not slow each other."""

    def __init__(self, cpus: tuple[int, ...] | None = None) -> None:
        self._users = dict.fromkeys(cpus or usable_cpus(), 0)
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def reserved(self, cpus: float) -> Iterator[tuple[int, ...]]:
        """The numbers of `cpus` cores, rounded up, or of all cores if there are fewer.

        >>> with CpuPool((0, 1)).reserved(1.0) as cores:
        ...     cores
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
    """The memory of this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


class Concurrency(NamedTuple):
    """How many models run at the same time, and the reason in one line."""

    models: int
    reason: str


def concurrency(limits: SandboxLimits, *, cpus: int, memory_bytes: int, gpus: int | None = None) -> Concurrency:
    """How many models this machine can run at the same time. Give `gpus` if each model needs one.

    >>> concurrency(SandboxLimits(memory_bytes=4_000_000_000), cpus=2, memory_bytes=24_000_000_000).reason
    '2 at the same time, limited by CPU cores: 2 cores, 1 per model; 19.2 of 24 GB of memory, 4 GB per model'
    """
    cpus_per_model = math.ceil(limits.cpus)
    usable_bytes = _USABLE_MEMORY * memory_bytes
    bounds = {"CPU cores": int(cpus // cpus_per_model), "memory": int(usable_bytes // limits.memory_bytes)}
    shares = [
        f"{cpus} cores, {cpus_per_model} per model",
        f"{usable_bytes / 1e9:.3g} of {memory_bytes / 1e9:.3g} GB of memory, "
        f"{limits.memory_bytes / 1e9:.3g} GB per model",
    ]
    if gpus is not None:
        bounds["GPUs"] = gpus
        shares.append(f"{gpus} GPUs, 1 per model")
    scarcest = min(bounds, key=lambda name: bounds[name])
    models = max(1, bounds[scarcest])
    return Concurrency(models, f"{models} at the same time, limited by {scarcest}: {'; '.join(shares)}")
