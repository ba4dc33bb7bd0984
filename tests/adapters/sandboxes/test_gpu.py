"""GPUs: chosen by name, reserved by one model at a time, and requested as engines expect it."""

from __future__ import annotations

import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from soundsright.adapters.sandboxes.gpu import (
    Gpu,
    GpuPool,
    GpuUse,
    chosen_gpus,
    device_request,
    find_gpus,
    gpu_use,
)
from soundsright.adapters.sandboxes.process import ProcessSandbox
from soundsright.core.errors import EngineUnavailable, ModelCrashed, UsageError
from soundsright.core.ports import DegradedClip, SandboxLimits
from soundsright.core.submission import FetchedModel

TWO = (Gpu(0, "GPU-a"), Gpu(1, "GPU-b"))


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for nvidia-smi that reports one GPU."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        '#!/bin/sh\ncase "$1" in *memory.total*) echo "0, GPU-a, 143771";; *) echo "GPU-a, 1024, 37";; esac\n'
    )
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")


@pytest.mark.usefixtures("driver")
def test_gpus_and_their_use_are_read_from_nvidia_smi() -> None:
    (gpu,) = find_gpus()
    assert gpu == Gpu(0, "GPU-a", 143_771 << 20)
    assert gpu_use(gpu) == GpuUse(1_024 << 20, 37.0)


@pytest.mark.usefixtures("driver")
def test_a_plain_process_sees_only_its_own_gpu_whose_use_is_measured(
    make_model: Callable[..., FetchedModel], clips: tuple[DegradedClip, ...]
) -> None:
    model = make_model("print('sees', os.environ['CUDA_VISIBLE_DEVICES'], flush=True)\nserve(Model())")
    pool = GpuPool(TWO[:1])
    with ProcessSandbox(trusted=True, gpus=pool).run(model, limits=SandboxLimits()) as running:
        running.enhance(clips)
        wait_for(lambda: running.timing.gpu_utilisation is not None)
        timing, log = running.timing, running.log()
    assert (timing.peak_gpu_memory_bytes, timing.gpu_utilisation) == (1_024 << 20, 0.37)
    assert "sees GPU-a" in log
    with pool.reserved():
        """The GPU is free again."""
    with ProcessSandbox(trusted=True).run(model, limits=SandboxLimits()) as running:
        wait_for(lambda: "sees" in running.log())  # The log comes through a pipe and may be later than the answer.
        assert "sees \n" in running.log(), "no GPU was reserved, so the model sees none"
        assert running.timing.peak_gpu_memory_bytes is None


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)


def test_a_model_that_waits_for_a_gpu_can_be_stopped(make_model: Callable[..., FetchedModel]) -> None:
    pool, model, over = GpuPool(TWO[:1]), make_model(), threading.Event()
    sandbox = ProcessSandbox(trusted=True, gpus=pool)

    def keep_stopping() -> None:
        while not over.wait(0.05):
            sandbox.stop()

    stopper = threading.Thread(target=keep_stopping, daemon=True)
    stopper.start()
    with (
        pool.reserved(),
        pytest.raises(ModelCrashed, match="stopped by the harness"),
        sandbox.run(model, limits=SandboxLimits()),
    ):
        pass
    over.set()
    stopper.join()


def test_a_plain_process_needs_trust() -> None:
    with pytest.raises(UsageError, match=r"no isolation.*--trust"):
        ProcessSandbox(trusted=False)


def test_without_nvidia_smi_there_are_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert find_gpus() == ()


def test_a_gpu_that_the_machine_lacks_is_named() -> None:
    assert chosen_gpus("all", TWO) == TWO
    assert chosen_gpus("none", TWO) == ()
    assert chosen_gpus("GPU-b,0", TWO) == (TWO[1], TWO[0])
    with pytest.raises(UsageError, match=r"'7'.*0 \(GPU-a\)"):
        chosen_gpus("7", TWO)
    with pytest.raises(EngineUnavailable, match="finds none on this machine"):
        chosen_gpus("all", ())
    for present in ((), TWO):
        with pytest.raises(UsageError, match="'x' is not the number or the UUID of a GPU"):
            chosen_gpus("0,x", present)


def test_two_models_share_a_gpu_only_if_the_pool_is_shared() -> None:
    pool = GpuPool(TWO[:1])
    order: list[str] = []
    with pool.reserved():
        second = threading.Thread(target=lambda: _use(pool, order, "second"))
        second.start()
        second.join(0.05)
        assert second.is_alive()
        order.append("first")
    second.join(5)
    assert order == ["first", "second"]
    shared = GpuPool(TWO[:1], shared=True)
    with shared.reserved() as one, shared.reserved() as other:
        assert one == other


def _use(pool: GpuPool, order: list[str], name: str) -> None:
    with pool.reserved():
        order.append(name)


def test_an_empty_pool_is_a_fault_of_the_operator() -> None:
    with pytest.raises(EngineUnavailable, match="--gpus none"), GpuPool(()).reserved():
        pass


def test_a_device_request_names_gpus_by_uuid() -> None:
    assert device_request(TWO)["DeviceIDs"] == ["GPU-a", "GPU-b"]
    assert device_request(TWO)["Capabilities"] == [["gpu"]]
    assert device_request(TWO, cdi=True) == {
        "Driver": "cdi",
        "DeviceIDs": ["nvidia.com/gpu=GPU-a", "nvidia.com/gpu=GPU-b"],
    }
