"""Worker processes for scoring: niced, so that a model being timed beside them keeps its processor."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

T = TypeVar("T")

# One thread per worker: the workers are the parallelism.
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)


def _prepare_worker(warm_up: Callable[[], None] | None) -> None:
    # Ctrl-C reaches the whole process group; the parent decides when the workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(10)
    if warm_up is not None:
        warm_up()


class ProcessPool:
    """The `Pool` port over spawned processes. `warm_up` runs once in each, before its first job."""

    def __init__(self, workers: int, *, warm_up: Callable[[], None] | None = None) -> None:
        saved = {name: os.environ.get(name) for name in _ONE_THREAD}
        os.environ.update(_ONE_THREAD)
        try:
            self._executor = ProcessPoolExecutor(
                workers, mp_context=get_context("spawn"), initializer=_prepare_worker, initargs=(warm_up,)
            )
            # Start them now: a worker inherits the environment of the moment it starts.
            for _ in range(workers):
                self._executor.submit(os.getpid)
        finally:
            for name, value in saved.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

    def submit(self, function: Callable[..., T], /, *args: Any) -> Future[T]:
        return self._executor.submit(function, *args)

    def close(self) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)
