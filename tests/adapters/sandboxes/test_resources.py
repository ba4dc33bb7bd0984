"""CPU cores are assigned evenly, and the number of models that run at the same time is explained."""

from __future__ import annotations

import threading

import pytest

from soundsright.adapters.sandboxes.resources import CpuPool, concurrency
from soundsright.core.ports import SandboxLimits


def test_models_get_different_cores_while_any_are_free() -> None:
    pool = CpuPool((0, 1, 2))
    with pool.reserved(1.0) as a, pool.reserved(2.0) as b:
        assert not set(a) & set(b)
        with pool.reserved(1.0) as c:
            assert len(c) == 1, "another model shares a core and does not wait"
    with pool.reserved(0.5) as again:
        assert again == (0,)


def test_a_model_that_wants_more_cores_than_exist_gets_all() -> None:
    with CpuPool((4, 5)).reserved(8.0) as cpus:
        assert cpus == (4, 5)


def test_the_pool_serves_many_threads() -> None:
    pool, reserved = CpuPool(tuple(range(4))), []

    def use() -> None:
        with pool.reserved(1.0) as cpus:
            reserved.append(cpus)

    threads = [threading.Thread(target=use) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reserved) == 32
    with pool.reserved(4.0) as everything:
        assert everything == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("cpus", "memory_gb", "chosen", "reason"),
    [(8, 64, 8, "limited by CPU cores"), (16, 20, 4, "limited by memory"), (1, 1, 1, "limited by memory")],
)
def test_the_choice_of_concurrency_is_explained(cpus: int, memory_gb: int, chosen: int, reason: str) -> None:
    count, sentence = concurrency(SandboxLimits(), cpus=cpus, memory_bytes=memory_gb * 10**9)
    assert count == chosen
    assert reason in sentence


def test_gpus_can_limit_the_concurrency() -> None:
    count, sentence = concurrency(SandboxLimits(), cpus=16, memory_bytes=128 * 10**9, gpus=2)
    assert count == 2
    assert "limited by GPUs" in sentence
    assert sentence.endswith("2 GPUs, 1 per model")
