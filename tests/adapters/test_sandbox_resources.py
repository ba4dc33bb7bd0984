"""Processors are shared out evenly, and the choice of how many models run at once is explained."""

from __future__ import annotations

import threading

import pytest

from soundsright.adapters.sandboxes.resources import CpuPool, concurrency
from soundsright.core.ports import SandboxLimits


def test_models_get_processors_of_their_own_while_there_are_some() -> None:
    pool = CpuPool((0, 1, 2))
    with pool.taken(1.0) as a, pool.taken(2.0) as b:
        assert not set(a) & set(b)
        with pool.taken(1.0) as c:
            assert len(c) == 1, "a fourth shares one, rather than waiting"
    with pool.taken(0.5) as again:
        assert again == (0,)


def test_more_than_there_are_is_all_of_them() -> None:
    with CpuPool((4, 5)).taken(8.0) as cpus:
        assert cpus == (4, 5)


def test_the_pool_serves_many_threads() -> None:
    pool, seen = CpuPool(tuple(range(4))), []

    def use() -> None:
        with pool.taken(1.0) as cpus:
            seen.append(cpus)

    threads = [threading.Thread(target=use) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 32
    with pool.taken(4.0) as everything:
        assert everything == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("cpus", "memory_gb", "chosen", "reason"),
    [(8, 64, 8, "the processors decide"), (16, 20, 4, "the memory decides"), (1, 1, 1, "the memory decides")],
)
def test_the_choice_of_concurrency_is_explained(cpus: int, memory_gb: int, chosen: int, reason: str) -> None:
    count, sentence = concurrency(SandboxLimits(), cpus=cpus, memory_bytes=memory_gb * 10**9)
    assert count == chosen
    assert reason in sentence


def test_gpus_bound_how_many_run_at_once() -> None:
    count, sentence = concurrency(SandboxLimits(), cpus=16, memory_bytes=128 * 10**9, gpus=2)
    assert count == 2
    assert sentence.endswith("2 GPUs for 1 each; the GPUs decide")
