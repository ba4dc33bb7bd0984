"""Worker processes for drawing and scoring: niced, so that a model being timed beside them keeps its processor.

What becomes of a job that does not answer, so that one clip's fault never touches another's result:

- It used up its deadline, counted in processor time so that a busy machine charges nobody: `JobTimeout`.
- It ended its process, wanted more memory than a worker may take, or was `PATIENCE` deadlines in coming: something
  else may be to blame, such as what an earlier job left behind. It runs once more, in a fresh process, while all
  other workers stand still. If that fails too, the job did it: `WorkerDied` or `JobTimeout`.
- But where it was killed from outside the second time too (SIGKILL, as the kernel does when memory runs out), the
  machine is to blame: what a job may take is bounded, and there was less than that. An `InfrastructureFault`.
- No worker became ready, or the pool was closed: an `InfrastructureFault`.
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

from soundsright.adapters.machine.pool_worker import Answer, prepare
from soundsright.core.errors import InfrastructureFault, JobTimeout, WorkerDied

T = TypeVar("T")

MEMORY_BYTES = 4_000_000_000
"""What a job may take beyond what its worker held when it was ready (on Linux)."""

PATIENCE = 20.0
"""How many times its deadline a job may take by the clock on the wall."""

_READY_LIMIT_S = 900.0  # The inner loops are compiled once per machine.

_ENVIRONMENT = {
    # One thread per worker: the workers are the parallelism.
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"),
    # glibc: keep freed arrays for the next clip. The kernel would clear each page anew, a tenth of a clip's time.
    **dict.fromkeys(("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"), str(256 << 20)),
}


class _Loss(Enum):
    """Why a job got no answer."""

    NOT_READY = auto()
    DEADLINE = auto()
    PATIENCE = auto()
    MEMORY = auto()
    KILLED = auto()
    DIED = auto()


class _NoAnswer(Exception):
    def __init__(self, loss: _Loss, detail: str = "") -> None:
        super().__init__(detail)
        self.loss = loss
        self.detail = detail


@dataclass(frozen=True)
class _Job:
    name: str
    message: bytes
    deadline_s: float | None
    result: Future[Any] = field(default_factory=Future)


class ProcessPool:
    """The `Pool` port over processes of their own. `warm_up` runs once in each, before its first job.

    A job's function is found by its module's name, which must not be `__main__`.
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
        self._turns = _Turns()
        self._lock = threading.Lock()
        self._closed = False
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    def submit(self, function: Callable[..., T], /, *args: Any, deadline_s: float | None = None) -> Future[T]:
        """The job's future. Its error is the job's own, or one of those at the head of this module."""
        name = getattr(function, "__name__", type(function).__name__)
        job = _Job(name, pickle.dumps((function, args, deadline_s)), deadline_s)
        with self._lock:
            if self._closed:
                job.result.set_exception(_closed())
            else:
                self._jobs.put(job)
        return job.result

    def close(self) -> None:
        """End the workers, each after the job it is at; jobs that have not begun are dropped."""
        with self._lock:
            if not self._closed:
                self._closed = True
                for _ in self._threads:
                    self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _started(self) -> _Worker:
        return _Worker(self._warm_up, self._memory_bytes, self._patience)

    def _serve(self) -> None:
        """The life of one worker and of those that replace it."""
        worker: _Worker | None = self._started()
        while (job := self._jobs.get()) is not None:
            if not job.result.set_running_or_notify_cancel():
                continue
            if self._closed:
                job.result.set_exception(_closed())
                continue
            worker = worker or self._started()
            try:
                with self._turns.beside_others():
                    answer = worker.answer(job)
            except _NoAnswer as lost:
                worker.end()
                worker = None
                answer = self._without_answer(job, lost)
            _settle(job.result, answer)
        if worker is not None:
            worker.end()

    def _without_answer(self, job: _Job, lost: _NoAnswer) -> Answer:
        if lost.loss in (_Loss.NOT_READY, _Loss.DEADLINE):
            return "error", _verdict(job, lost)
        with self._turns.alone():
            worker = self._started()
            try:
                return worker.answer(job)
            except _NoAnswer as lost_again:
                return "error", _verdict(job, lost_again)
            finally:
                worker.end()


def _verdict(job: _Job, lost: _NoAnswer) -> InfrastructureFault:
    match lost.loss:
        case _Loss.NOT_READY:
            return InfrastructureFault(f"No worker became ready: {lost.detail}", "Mend that and run again.")
        case _Loss.DEADLINE | _Loss.PATIENCE:
            return JobTimeout(job.name, job.deadline_s or 0.0)
        case _Loss.KILLED:
            return InfrastructureFault(
                f"The worker of {job.name} was killed from outside, twice; its memory may have run out",
                "Free memory, or take fewer workers.",
            )
        case _Loss.MEMORY:
            return WorkerDied(f"{job.name} wanted more memory than a worker may take", lost.detail or "Try less.")
        case _Loss.DIED:
            return WorkerDied(f"{job.name} ended its process ({lost.detail})")


def _closed() -> InfrastructureFault:
    return InfrastructureFault("The pool of workers was closed")


def _settle(result: Future[Any], answer: Answer) -> None:
    kind, value = answer
    if kind == "error":
        result.set_exception(value)
    else:
        result.set_result(value)


class _Worker:
    """One process. It is lost once `answer` has raised."""

    def __init__(self, warm_up: Callable[[], None] | None, memory_bytes: int, patience: float) -> None:
        self._patience = patience
        self._ready = False
        self._process: subprocess.Popen[bytes] | None = None
        self._failure = ""
        try:
            self._connection, far_end = Pipe()
        except OSError as error:
            self._failure = f"no connection could be made ({error})"
            return
        # The parent's own path, so that a worker finds what the parent finds.
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            f"from soundsright.adapters.machine.pool_worker import serve; serve({far_end.fileno()})"
        )
        with far_end:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", code],
                    stdin=subprocess.PIPE,  # Closes with the parent, and ends the worker.
                    stdout=2,  # A library's chatter must not mix with a report on standard output.
                    pass_fds=(far_end.fileno(),),
                    env={**os.environ, **_ENVIRONMENT},
                    process_group=0,  # Ctrl-C is the parent's alone; and a worker is killed with its children.
                )
            except OSError as error:
                self._connection.close()
                self._failure = f"no process could be started ({error})"
                return
        with suppress(OSError):  # A worker that is dead already is found so by its first job.
            self._connection.send_bytes(pickle.dumps((prepare, (warm_up, memory_bytes), None)))

    def answer(self, job: _Job) -> Answer:
        """What the job returned or raised.

        Raises:
            _NoAnswer: the process is lost.
        """
        if not self._ready:
            self._wait_until_ready()
        patience_s = None if job.deadline_s is None else job.deadline_s * self._patience
        try:
            self._connection.send_bytes(job.message)
            answer = self._received(patience_s)
        except (EOFError, OSError):
            raise self._why_it_ended() from None
        if answer is None:
            raise _NoAnswer(_Loss.PATIENCE)
        if answer[0] == "memory":
            raise _NoAnswer(_Loss.MEMORY, answer[1])
        return answer

    def end(self) -> None:
        """End the process and what it has started."""
        if self._process is None:
            return
        self._connection.close()
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()

    def _wait_until_ready(self) -> None:
        if self._failure:
            raise _NoAnswer(_Loss.NOT_READY, self._failure)
        try:
            answer = self._received(_READY_LIMIT_S)
        except (EOFError, OSError):
            raise _NoAnswer(_Loss.NOT_READY, f"its process ended ({self._why_it_ended().detail})") from None
        if answer is None:
            raise _NoAnswer(_Loss.NOT_READY, f"it took longer than {_READY_LIMIT_S:g} s")
        kind, value = answer
        if kind != "done":
            raise _NoAnswer(_Loss.NOT_READY, f"{type(value).__name__}: {value}" if kind == "error" else "no memory")
        self._ready = True

    def _received(self, timeout_s: float | None) -> Answer | None:
        if not self._connection.poll(timeout_s):
            return None
        message = self._connection.recv_bytes()
        try:
            answer: Answer = pickle.loads(message)
        except Exception as error:  # noqa: BLE001 - handed to whoever waits for the job
            return "error", error
        return answer

    def _why_it_ended(self) -> _NoAnswer:
        assert self._process is not None
        try:
            status = self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            return _NoAnswer(_Loss.DIED, "its connection broke")
        if status == -signal.SIGPROF:
            return _NoAnswer(_Loss.DEADLINE)
        if status >= 0:
            return _NoAnswer(_Loss.DIED, f"exit status {status}")
        loss = _Loss.KILLED if status == -signal.SIGKILL else _Loss.DIED
        return _NoAnswer(loss, signal.Signals(-status).name)


class _Turns:
    """Jobs run beside each other, but one that runs alone waits for the others and keeps them waiting."""

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
