"""The memory of this process and all below it, sampled. Sizes in bytes, times in seconds."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

_PERIOD_S = 0.5


class MemoryWatch:
    """A context that samples the process tree's memory; `peak_bytes` is the largest sum seen.

    Pages that processes share are counted once (proportional set size) where the kernel tells, else in each.
    """

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory-watch", daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.peak_bytes = max(self.peak_bytes, tree_memory_bytes())
            if self._done.wait(_PERIOD_S):
                return


def tree_memory_bytes() -> int:
    """The memory of this process and its descendants, now."""
    import psutil

    own = psutil.Process()
    return sum(_memory_bytes(process) for process in [own, *own.children(recursive=True)])


def _memory_bytes(process: psutil.Process) -> int:
    """One process's part; nothing of one that ends meanwhile, whichever question it does not answer any more."""
    import psutil

    try:
        try:
            full = process.memory_full_info()
            return int(getattr(full, "pss", full.rss))
        except psutil.AccessDenied:
            return int(process.memory_info().rss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
