"""The pool of workers: what one job does to its process never changes another job's result."""

from __future__ import annotations

import operator
import os
import time
from collections.abc import Iterator

import pytest

from soundsright.adapters.pool import ProcessPool
from soundsright.core.errors import WorkerDied


@pytest.fixture
def pool() -> Iterator[ProcessPool]:
    made = ProcessPool(2)
    yield made
    made.close()


def test_a_job_that_kills_its_worker_fails_alone(pool: ProcessPool) -> None:
    before = [pool.submit(operator.mul, 2, i) for i in range(4)]
    slow = pool.submit(time.sleep, 0.3)
    deadly = pool.submit(os._exit, 9)
    after = [pool.submit(operator.mul, 2, i) for i in range(4, 8)]
    assert [job.result(timeout=60) for job in before + after] == [2 * i for i in range(8)]
    assert slow.result(timeout=60) is None
    with pytest.raises(WorkerDied, match="_exit"):
        deadly.result(timeout=60)
    assert pool.submit(operator.mul, 6, 7).result(timeout=60) == 42


def test_a_jobs_own_error_reaches_who_waits_for_it(pool: ProcessPool) -> None:
    with pytest.raises(ValueError, match="no such clip"):
        pool.submit(int, "no such clip").result(timeout=60)


def test_workers_have_one_thread_and_yield_to_the_models(pool: ProcessPool) -> None:
    assert pool.submit(os.getenv, "OMP_NUM_THREADS").result(timeout=60) == "1"
    assert pool.submit(os.nice, 0).result(timeout=60) == min(os.nice(0) + 10, 19)
