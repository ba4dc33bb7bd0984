"""The memory of this process and its descendants. Sizes are in bytes, times in seconds."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

_SAMPLE_S = 0.5


class MemoryWatch:
    """A context that samples the memory of the process tree. `peak_bytes` is the largest sum so far.

    Pages that processes share count once, if the kernel reports the proportional set size. Otherwise they count in
    each process.
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
            if self._done.wait(_SAMPLE_S):
                return


def tree_memory_bytes() -> int:
    """The memory of this process and its descendants now."""
    import psutil

    own = psutil.Process()
    return sum(_memory_bytes(process) for process in [own, *own.children(recursive=True)])


def _memory_bytes(process: psutil.Process) -> int:
    """The memory of one process; 0 if it has ended or its memory cannot be read."""
    import psutil

    try:
        try:
            memory = process.memory_full_info()
            return int(getattr(memory, "pss", memory.rss))
        except psutil.AccessDenied:
            return int(process.memory_info().rss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
