"""The pool of workers: a job cannot change the results of other jobs, even if it kills its process."""

from __future__ import annotations

import errno
import operator
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NoReturn

import psutil
import pytest

from soundsright.adapters.machine.pool import ProcessPool
from soundsright.core.errors import InfrastructureFault, JobTimeout, WorkerDied


@pytest.fixture
def pool() -> Iterator[ProcessPool]:
    made = ProcessPool(2, patience=3.0)
    yield made
    made.close()


def products(pool: ProcessPool) -> list[int]:
    return [job.result(timeout=60) for job in [pool.submit(operator.mul, 2, i) for i in range(8)]]


# Jobs are code, since a worker cannot import this module.
HANGS = {"in Python": "while True: pass", "in C": "sum(iter(int, 1))", "asleep": "import time; time.sleep(1e6)"}
FAILS_ONCE = """
from pathlib import Path
import os, signal
if not Path({mark!r}).exists():
    Path({mark!r}).touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""
UNPICKLABLE = """
class Local(Exception):
    pass
raise Local("what happened")
"""


def test_a_job_that_kills_its_worker_fails_alone(pool: ProcessPool) -> None:
    slow = pool.submit(time.sleep, 0.3)
    deadly = pool.submit(os._exit, 9)
    assert products(pool) == [2 * i for i in range(8)]
    assert slow.result(timeout=60) is None
    with pytest.raises(WorkerDied, match=r"_exit ended its process \(exit status 9\)"):
        deadly.result(timeout=60)
    with pytest.raises(WorkerDied, match="SIGSEGV"):
        pool.submit(signal.raise_signal, signal.SIGSEGV).result(timeout=60)


@pytest.mark.parametrize("code", HANGS.values(), ids=HANGS)
def test_a_job_that_hangs_is_ended_at_its_deadline_and_others_continue(pool: ProcessPool, code: str) -> None:
    hung = pool.submit(exec, code, deadline_s=0.2)
    after = [pool.submit(operator.mul, 2, i, deadline_s=5.0) for i in range(8)]
    with pytest.raises(JobTimeout, match=r"after 0\.2 s"):
        hung.result(timeout=60)
    assert [job.result(timeout=60) for job in after] == [2 * i for i in range(8)]


def test_without_a_free_file_descriptor_jobs_fail_until_one_is_free_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none_left() -> NoReturn:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as full:
        full.setattr("soundsright.adapters.machine.pool.Pipe", none_left)
        pool = ProcessPool(1)
        with pytest.raises(InfrastructureFault, match="Too many open files"):
            pool.submit(operator.mul, 2, 3).result(timeout=60)
    assert products(pool) == [2 * i for i in range(8)]
    # A worker is lost and cannot be replaced.
    with monkeypatch.context() as full:
        full.setattr("soundsright.adapters.machine.pool.Pipe", none_left)
        with pytest.raises(InfrastructureFault, match="Too many open files"):
            pool.submit(os._exit, 9).result(timeout=60)
    assert products(pool) == [2 * i for i in range(8)]
    pool.close()


def test_a_deadline_does_not_outlive_its_job() -> None:
    pool = ProcessPool(1)
    assert pool.submit(operator.mul, 2, 3, deadline_s=0.2).result(timeout=60) == 6
    assert pool.submit(sum, range(20_000_000)).result(timeout=60) == 199_999_990_000_000
    pool.close()


def test_a_job_that_was_killed_once_is_run_again(pool: ProcessPool, tmp_path: Path) -> None:
    pool.submit(exec, FAILS_ONCE.format(mark=str(tmp_path / "mark"))).result(timeout=60)
    assert (tmp_path / "mark").exists()


def test_a_kill_from_outside_is_never_the_jobs_fault(pool: ProcessPool) -> None:
    with pytest.raises(InfrastructureFault, match="raise_signal was killed from outside, twice") as caught:
        pool.submit(signal.raise_signal, signal.SIGKILL).result(timeout=60)
    assert not isinstance(caught.value, WorkerDied)
    assert products(pool) == [2 * i for i in range(8)]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds a process's private memory")
def test_a_job_that_needs_too_much_memory_fails_alone() -> None:
    pool = ProcessPool(2, memory_bytes=200_000_000)
    greedy = pool.submit(exec, "bytearray(300_000_000)")
    assert pool.submit(exec, "bytearray(100_000_000)").result(timeout=60) is None
    with pytest.raises(WorkerDied, match="exec needed more memory"):
        greedy.result(timeout=60)
    assert products(pool) == [2 * i for i in range(8)]
    pool.close()


@pytest.mark.parametrize(
    ("warm_up", "cause"),
    [(partial(int, "no package"), "ValueError: .*no package"), (partial(os._exit, 3), "exit status 3")],
)
def test_no_job_is_blamed_for_a_worker_that_does_not_become_ready(warm_up: Callable[[], None], cause: str) -> None:
    pool = ProcessPool(1, warm_up=warm_up)
    with pytest.raises(InfrastructureFault, match=cause) as caught:
        pool.submit(operator.mul, 6, 7).result(timeout=60)
    assert not isinstance(caught.value, WorkerDied)
    pool.close()


def test_no_job_is_blamed_for_a_worker_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    pool = ProcessPool(1)
    for _ in range(2):
        with pytest.raises(InfrastructureFault, match=r"cannot start its process .*no/such/python"):
            pool.submit(operator.mul, 6, 7).result(timeout=60)
    pool.close()


def test_a_jobs_own_error_reaches_its_future(pool: ProcessPool) -> None:
    with pytest.raises(ValueError, match="no such clip") as caught:
        pool.submit(int, "no such clip").result(timeout=60)
    assert "In a worker process" in caught.value.__notes__[0]
    with pytest.raises(RuntimeError, match="Local: what happened"):
        pool.submit(exec, UNPICKLABLE).result(timeout=60)


def test_no_job_is_blamed_for_a_closed_pool(pool: ProcessPool) -> None:
    jobs = [pool.submit(time.sleep, 0.2) for _ in range(6)]
    pool.close()
    for job in [*jobs[-2:], pool.submit(operator.mul, 6, 7)]:
        with pytest.raises(InfrastructureFault, match="closed") as caught:
            job.result(timeout=60)
        assert not isinstance(caught.value, WorkerDied)


@pytest.mark.parametrize("begun", [True, False], ids=["while it runs", "before its worker is ready"])
def test_a_stopped_pool_ends_its_jobs_at_once(begun: bool) -> None:
    warm_up = None if begun else partial(time.sleep, 600)
    pool = ProcessPool(1, warm_up=warm_up)
    if begun:
        assert pool.submit(operator.mul, 6, 7).result(timeout=60) == 42
    jobs = [pool.submit(time.sleep, 600) for _ in range(2)]
    pool.stop()
    pool.stop()
    for job in [*jobs, pool.submit(operator.mul, 6, 7)]:
        with pytest.raises(InfrastructureFault, match="closed") as caught:
            job.result(timeout=30)
        assert not isinstance(caught.value, WorkerDied)
    pool.close()


def test_workers_end_when_their_parent_is_killed() -> None:
    code = """
import os, time
from soundsright.adapters.machine import ProcessPool
pool = ProcessPool(1)
print(pool.submit(os.getpid).result(), flush=True)
pool.submit(time.sleep, 1e6).result()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    worker.wait(timeout=30)  # raises if it lives on


def test_workers_have_one_thread_and_a_low_priority(pool: ProcessPool) -> None:
    before = dict(os.environ)
    assert pool.submit(os.getenv, "OMP_NUM_THREADS").result(timeout=60) == "1"
    assert pool.submit(os.nice, 0).result(timeout=60) == min(os.nice(0) + 10, 19)
    assert dict(os.environ) == before
