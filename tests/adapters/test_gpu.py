"""Graphics processors: chosen by name, one model each, and asked for as engines expect it."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from soundsright.adapters.gpu import Gpu, GpuPool, GpuUse, chosen_gpus, device_request, find_gpus, gpu_use
from soundsright.core.errors import EngineUnavailable, UsageError

TWO = (Gpu(0, "GPU-a"), Gpu(1, "GPU-b"))


def test_the_drivers_tool_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        '#!/bin/sh\ncase "$1" in *memory.total*) echo "0, GPU-a, 143771";; *) echo "GPU-a, 1024, 37";; esac\n'
    )
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    (gpu,) = find_gpus()
    assert gpu == Gpu(0, "GPU-a", 143_771 << 20)
    assert gpu_use(gpu) == GpuUse(1_024 << 20, 37.0)


def test_without_the_drivers_tool_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert find_gpus() == ()


def test_a_gpu_that_is_not_there_is_named() -> None:
    assert chosen_gpus("all", TWO) == TWO
    assert chosen_gpus("none", TWO) == ()
    assert chosen_gpus("GPU-b,0", TWO) == (TWO[1], TWO[0])
    with pytest.raises(UsageError, match=r"'7'.*0 \(GPU-a\)"):
        chosen_gpus("7", TWO)


def test_two_models_never_share_one_unless_asked() -> None:
    pool = GpuPool(TWO[:1])
    order: list[str] = []
    with pool.taken():
        second = threading.Thread(target=lambda: _use(pool, order, "second"))
        second.start()
        second.join(0.05)
        assert second.is_alive()
        order.append("first")
    second.join(5)
    assert order == ["first", "second"]
    shared = GpuPool(TWO[:1], shared=True)
    with shared.taken() as one, shared.taken() as other:
        assert one == other


def _use(pool: GpuPool, order: list[str], name: str) -> None:
    with pool.taken():
        order.append(name)


def test_an_empty_pool_is_the_operators_affair() -> None:
    with pytest.raises(EngineUnavailable, match="--gpus none"), GpuPool(()).taken():
        pass


def test_the_request_names_processors_for_life() -> None:
    assert device_request(TWO)["DeviceIDs"] == ["GPU-a", "GPU-b"]
    assert device_request(TWO)["Capabilities"] == [["gpu"]]
    assert device_request(TWO, cdi=True) == {
        "Driver": "cdi",
        "DeviceIDs": ["nvidia.com/gpu=GPU-a", "nvidia.com/gpu=GPU-b"],
    }
