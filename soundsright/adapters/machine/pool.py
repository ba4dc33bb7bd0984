"""Worker processes that draw and score clips. Their priority is low, so they do not slow a model being timed.

The error of a job that gives no result depends on the cause, so that the fault of one clip never affects another:

- The job used up its deadline: `JobTimeout`. The deadline counts processor time, so a busy machine blames nobody.
- The job ended its process, needed too much memory, or took `PATIENCE` times its deadline by the wall clock.
  Something else may be the cause, such as the remains of an earlier job. So the job runs once more, in a new
  process, while all other workers wait. If it fails again, it is to blame: `WorkerDied` or `JobTimeout`.
- The job was killed from outside (SIGKILL) in the second attempt too. The kernel does this when memory runs out.
  The job's memory is limited, so the machine has too little: `InfrastructureFault`.
- No worker became ready, or the pool was closed or stopped: `InfrastructureFault`.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from multiprocessing import Pipe
from typing import Any, TypeVar

from soundsright.adapters.machine.pool_worker import JobOutcome, prepare
from soundsright.core.errors import InfrastructureFault, JobTimeout, WorkerDied

T = TypeVar("T")

MEMORY_BYTES = 4_000_000_000
"""A job may take this much memory beyond that of its worker when it became ready (on Linux only)."""

PATIENCE = 20.0
"""A job may take this many times its deadline by the wall clock."""

_READY_TIMEOUT_S = 900.0
"""Long, because the first worker on a machine compiles the inner loops."""

_ENVIRONMENT = {
    # One thread per worker, because the workers themselves run in parallel.
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"),
    # Make glibc keep freed arrays for the next clip. Fresh pages from the kernel would cost a tenth of a clip's
    # time.
    **dict.fromkeys(("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"), str(256 << 20)),
}


class _LossCause(Enum):
    """Why a worker was lost before it gave the outcome of its job."""

    NOT_READY = auto()
    DEADLINE = auto()
    WALL_CLOCK = auto()
    MEMORY = auto()
    KILLED = auto()
    DIED = auto()


class _WorkerLost(Exception):
    """A worker was lost before it gave the outcome of its job."""

    def __init__(self, cause: _LossCause, detail: str = "") -> None:
        super().__init__(detail)
        self.cause = cause
        self.detail = detail


@dataclass(frozen=True)
class _Job:
    name: str
    message: bytes
    deadline_s: float | None
    result: Future[Any] = field(default_factory=Future)


class ProcessPool:
    """The `Pool` port over worker processes. `warm_up` runs once in each, before its first job.

    Workers import the function of a job by its module, which must not be `__main__`.
    """

    def __init__(
        self,
        workers: int,
        *,
        warm_up: Callable[[], None] | None = None,
        memory_bytes: int = MEMORY_BYTES,
        patience: float = PATIENCE,
    ) -> None:
        self._warm_up = warm_up
        self._memory_bytes = memory_bytes
        self._patience = patience
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._turns = _ExclusiveTurns()
        self._lock = threading.Lock()
        self._closed = self._stopped = False
        self._workers: set[_Worker] = set()
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    def submit(self, function: Callable[..., T], /, *args: Any, deadline_s: float | None = None) -> Future[T]:
        """The job's future. Its error is the job's own, or one of those that this module's docstring lists."""
        name = getattr(function, "__name__", type(function).__name__)
        job = _Job(name, pickle.dumps((function, args, deadline_s)), deadline_s)
        with self._lock:
            if self._closed:
                job.result.set_exception(_pool_closed())
            else:
                self._jobs.put(job)
        return job.result

    def stop(self) -> None:
        """End each worker at once. All jobs without a result fail with an `InfrastructureFault`."""
        with self._lock:
            self._stopped = True
            self._end_jobs()
            for worker in self._workers:
                worker.kill()

    def close(self) -> None:
        """End each worker after its current job. Jobs that have not started fail with an `InfrastructureFault`."""
        with self._lock:
            self._end_jobs()
        for thread in self._threads:
            thread.join()

    def _end_jobs(self) -> None:
        if not self._closed:
            self._closed = True
            for _ in self._threads:
                self._jobs.put(None)

    def _new_worker(self) -> _Worker:
        worker = _Worker(self._warm_up, self._memory_bytes, self._patience)
        with self._lock:
            self._workers.add(worker)
            if self._stopped:
                worker.kill()
        return worker

    def _end(self, worker: _Worker) -> None:
        with self._lock:
            self._workers.discard(worker)
        worker.end()

    def _serve(self) -> None:
        """Run jobs in one worker, and replace the worker when it is lost."""
        worker: _Worker | None = self._new_worker()
        while (job := self._jobs.get()) is not None:
            if not job.result.set_running_or_notify_cancel():
                continue
            if self._closed:
                job.result.set_exception(_pool_closed())
                continue
            worker = worker or self._new_worker()
            try:
                with self._turns.beside_others():
                    outcome = worker.outcome(job)
            except _WorkerLost as lost:
                self._end(worker)
                worker = None
                outcome = self._outcome_of_loss(job, lost)
            _settle(job.result, outcome)
        if worker is not None:
            self._end(worker)

    def _outcome_of_loss(self, job: _Job, lost: _WorkerLost) -> JobOutcome:
        """The outcome of a job whose worker was lost: a fault, or the outcome of a second attempt."""
        if self._stopped:
            return "error", _pool_closed()
        if lost.cause in (_LossCause.NOT_READY, _LossCause.DEADLINE):
            return "error", _fault_of(job, lost)
        with self._turns.alone():
            worker = self._new_worker()
            try:
                return worker.outcome(job)
            except _WorkerLost as lost_again:
                return "error", _pool_closed() if self._stopped else _fault_of(job, lost_again)
            finally:
                self._end(worker)


def _fault_of(job: _Job, lost: _WorkerLost) -> InfrastructureFault:
    match lost.cause:
        case _LossCause.NOT_READY:
            return InfrastructureFault(
                f"No worker process became ready: {lost.detail}", "Fix that, then run the command again."
            )
        case _LossCause.DEADLINE | _LossCause.WALL_CLOCK:
            return JobTimeout(job.name, job.deadline_s or 0.0)
        case _LossCause.KILLED:
            return InfrastructureFault(
                f"The worker of {job.name} was killed from outside, twice. The machine may have run out of memory",
                "Free memory, or use fewer workers (--workers, SOUNDSRIGHT_WORKERS).",
            )
        case _LossCause.MEMORY:
            return WorkerDied(
                f"{job.name} needed more memory than a worker may use", lost.detail or "Use shorter clips."
            )
        case _LossCause.DIED:
            return WorkerDied(f"{job.name} ended its process ({lost.detail})")


def _pool_closed() -> InfrastructureFault:
    return InfrastructureFault(
        "The pool of workers was closed before the job ran", "Run the command again, unless you stopped it."
    )


def _settle(result: Future[Any], outcome: JobOutcome) -> None:
    kind, value = outcome
    if kind == "error":
        result.set_exception(value)
    else:
        result.set_result(value)


class _Worker:
    """One worker process. Once `outcome` has raised, it cannot be used any more."""

    def __init__(self, warm_up: Callable[[], None] | None, memory_bytes: int, patience: float) -> None:
        self._patience = patience
        self._ready = False
        self._process: subprocess.Popen[bytes] | None = None
        self._start_error = ""
        try:
            self._connection, worker_end = Pipe()
        except OSError as error:
            self._start_error = f"cannot open a connection to it ({error})"
            return
        # Give the worker the parent's import path, so that it finds the same modules.
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            f"from soundsright.adapters.machine.pool_worker import serve; serve({worker_end.fileno()})"
        )
        with worker_end:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", code],
                    stdin=subprocess.PIPE,  # It closes when the parent ends, which ends the worker.
                    stdout=2,  # Output of libraries must not mix with a report on standard output.
                    pass_fds=(worker_end.fileno(),),
                    env={**os.environ, **_ENVIRONMENT},
                    process_group=0,  # Only the parent gets Ctrl-C, and a worker can be killed with its children.
                )
            except OSError as error:
                self._connection.close()
                self._start_error = f"cannot start its process ({error})"
                return
        with suppress(OSError):  # If the worker has ended already, its first job reports it.
            self._connection.send_bytes(pickle.dumps((prepare, (warm_up, memory_bytes), None)))

    def outcome(self, job: _Job) -> JobOutcome:
        """Run the job and return its outcome.

        Raises:
            _WorkerLost: the process ended, took too long, or ran out of memory.
        """
        if not self._ready:
            self._wait_until_ready()
        timeout_s = None if job.deadline_s is None else job.deadline_s * self._patience
        try:
            self._connection.send_bytes(job.message)
            outcome = self._received(timeout_s)
        except (EOFError, OSError):
            raise self._loss_of_ended_process() from None
        if outcome is None:
            raise _WorkerLost(_LossCause.WALL_CLOCK)
        if outcome[0] == "memory":
            raise _WorkerLost(_LossCause.MEMORY, outcome[1])
        return outcome

    def kill(self) -> None:
        """Kill the process and its children. Any thread may call it, also while another waits for an outcome."""
        if self._process is not None and self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def end(self) -> None:
        """End the process and its children."""
        if self._process is None:
            return
        self._connection.close()
        self.kill()
        self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()

    def _wait_until_ready(self) -> None:
        if self._start_error:
            raise _WorkerLost(_LossCause.NOT_READY, self._start_error)
        try:
            outcome = self._received(_READY_TIMEOUT_S)
        except (EOFError, OSError):
            raise _WorkerLost(
                _LossCause.NOT_READY, f"its process ended ({self._loss_of_ended_process().detail})"
            ) from None
        if outcome is None:
            raise _WorkerLost(_LossCause.NOT_READY, f"it took longer than {_READY_TIMEOUT_S:g} s")
        kind, value = outcome
        if kind != "done":
            raise _WorkerLost(
                _LossCause.NOT_READY,
                f"{type(value).__name__}: {value}" if kind == "error" else "it ran out of memory",
            )
        self._ready = True

    def _received(self, timeout_s: float | None) -> JobOutcome | None:
        """The next outcome from the worker, or None if none came in time."""
        if not self._connection.poll(timeout_s):
            return None
        message = self._connection.recv_bytes()
        try:
            outcome: JobOutcome = pickle.loads(message)
        except Exception as error:  # noqa: BLE001 - raised in the thread that waits for the job
            return "error", error
        return outcome

    def _loss_of_ended_process(self) -> _WorkerLost:
        assert self._process is not None
        try:
            status = self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            return _WorkerLost(_LossCause.DIED, "its connection broke")
        if status == -signal.SIGPROF:
            return _WorkerLost(_LossCause.DEADLINE)
        if status >= 0:
            return _WorkerLost(_LossCause.DIED, f"exit status {status}")
        cause = _LossCause.KILLED if status == -signal.SIGKILL else _LossCause.DIED
        return _WorkerLost(cause, signal.Signals(-status).name)


class _ExclusiveTurns:
    """Lets jobs run at the same time, or one job alone: it waits for the others, and they wait for it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = 0
        self._waiting_alone = 0

    @contextmanager
    def beside_others(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting_alone)
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._changed:
            self._waiting_alone += 1
            self._changed.wait_for(lambda: not self._running)
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._waiting_alone -= 1
                self._changed.notify_all()
