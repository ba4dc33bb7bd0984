"""Worker processes for drawing and scoring: niced, so that a model being timed beside them keeps its processor."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

from soundsright.core.errors import WorkerDied

T = TypeVar("T")

# One thread per worker: the workers are the parallelism.
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)


def _prepare_worker(warm_up: Callable[[], None] | None) -> None:
    # Ctrl-C reaches the whole process group; the parent decides when the workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(10)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    if warm_up is not None:
        warm_up()


def _end_with_the_parent() -> None:
    # A killed parent tells its workers nothing: they would wait for jobs for ever.
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class ProcessPool:
    """The `Pool` port over spawned processes. `warm_up` runs once in each, before its first job.

    A job whose worker dies takes the pool's other jobs with it: they are run once more, each alone in a process of
    its own, so that only the job that kills its worker fails. It fails with `WorkerDied`.
    """

    def __init__(self, workers: int, *, warm_up: Callable[[], None] | None = None) -> None:
        self._workers = workers
        self._warm_up = warm_up
        self._lock = threading.Lock()
        self._alone = threading.Lock()  # One at a time: a job that ate the memory must not be joined by others.
        self._closed = False
        self._executor = self._started(workers)

    def submit(self, function: Callable[..., T], /, *args: Any) -> Future[T]:
        """The job's future; its error is the job's own, or `WorkerDied`."""
        result: Future[T] = Future()
        result.set_running_or_notify_cancel()
        with self._lock:
            try:
                inner = self._executor.submit(function, *args)
            except BrokenExecutor:
                self._executor = self._started(self._workers)
                inner = self._executor.submit(function, *args)

        def finish(done: Future[T]) -> None:
            if done.cancelled():
                result.set_exception(WorkerDied("the pool was closed"))
            elif isinstance(error := done.exception(), BrokenExecutor) and not self._closed:
                threading.Thread(target=self._run_alone, args=(result, function, args), daemon=True).start()
            elif error is not None:
                result.set_exception(error)
            else:
                result.set_result(done.result())

        inner.add_done_callback(finish)
        return result

    def close(self) -> None:
        """End the workers; jobs that have not begun are dropped."""
        self._closed = True
        with self._lock:
            self._executor.shutdown(wait=True, cancel_futures=True)

    def _run_alone(self, result: Future[T], function: Callable[..., T], args: tuple[Any, ...]) -> None:
        with self._alone:
            self._run_in_own_process(result, function, args)

    def _run_in_own_process(self, result: Future[T], function: Callable[..., T], args: tuple[Any, ...]) -> None:
        executor = self._started(1)
        try:
            outcome = executor.submit(function, *args).result()
        except BrokenExecutor:
            result.set_exception(WorkerDied(f"{function.__name__} ended its process"))
        except Exception as error:  # noqa: BLE001 - handed to whoever waits for the job
            result.set_exception(error)
        else:
            result.set_result(outcome)
        finally:
            executor.shutdown(wait=True, cancel_futures=True)

    def _started(self, workers: int) -> ProcessPoolExecutor:
        saved = {name: os.environ.get(name) for name in _ONE_THREAD}
        os.environ.update(_ONE_THREAD)
        # Blocked signals are inherited: Ctrl-C cannot reach a worker before it has learnt to leave that to us.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            executor = ProcessPoolExecutor(
                workers, mp_context=get_context("spawn"), initializer=_prepare_worker, initargs=(self._warm_up,)
            )
            # Start them now: a worker inherits the environment of the moment it starts.
            for _ in range(workers):
                executor.submit(os.getpid)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            for name, value in saved.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
        return executor
