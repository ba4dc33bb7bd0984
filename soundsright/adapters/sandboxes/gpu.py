"""The GPUs of this machine: find them, lend them to models, watch their use, and request them from an engine.

Memory is in bytes.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from soundsright.core.errors import EngineUnavailable, UsageError

_QUERY_TIMEOUT_S = 20.0
_SAMPLE_S = 0.5
_WAIT_S = 0.2


@dataclass(frozen=True)
class Gpu:
    """One GPU: its number on this machine, the UUID that never changes, and its memory."""

    index: int
    uuid: str
    memory_bytes: int = 0


@dataclass(frozen=True)
class GpuUse:
    """The use of one GPU: memory in use, and the percentage of time that it was busy."""

    memory_bytes: int
    utilisation_percent: float


def find_gpus() -> tuple[Gpu, ...]:
    """The GPUs of this machine. Empty if `nvidia-smi` is missing or finds none."""
    rows = _query("index,uuid,memory.total")
    return tuple(Gpu(int(index), uuid, int(mebibytes) << 20) for index, uuid, mebibytes in rows)


def gpu_use(gpu: Gpu) -> GpuUse | None:
    """The use of a GPU now, or None if the driver does not report it."""
    for uuid, mebibytes, percent in _query("uuid,memory.used,utilization.gpu"):
        if uuid == gpu.uuid and mebibytes.isdecimal():
            return GpuUse(int(mebibytes) << 20, float(percent) if percent.isdecimal() else 0.0)
    return None


def _query(fields: str) -> list[list[str]]:
    """The answer of `nvidia-smi`: one row per GPU, one cell per field. Empty if it fails."""
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_QUERY_TIMEOUT_S)
    except (OSError, subprocess.SubprocessError):
        return []
    return [[cell.strip() for cell in line.split(",")] for line in answer.stdout.splitlines() if line.strip()]


_GPU_NAME = re.compile(r"[0-9]{1,4}|(GPU|MIG)-[A-Za-z0-9/-]{1,100}")


def _no_gpu() -> EngineUnavailable:
    return EngineUnavailable(
        "You asked for a GPU, but nvidia-smi finds none on this machine",
        "Check the driver with nvidia-smi, or use --gpus none.",
    )


def chosen_gpus(names: str, present: Sequence[Gpu]) -> tuple[Gpu, ...]:
    """The GPUs that the option `--gpus` names: `none`, `all`, or numbers and UUIDs separated by commas.

    Raises:
        UsageError: if the machine does not have one of them.
        EngineUnavailable: if the machine has no GPU at all.

    >>> chosen_gpus("1", (Gpu(0, "GPU-a"), Gpu(1, "GPU-b")))
    (Gpu(index=1, uuid='GPU-b', memory_bytes=0),)
    """
    if names == "none":
        return ()
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    for name in chosen:
        if names != "all" and not _GPU_NAME.fullmatch(name):
            raise UsageError(
                f"{name[:80]!r} is not the number or the UUID of a GPU", "Give none, all, or numbers, as in 0,1."
            )
    if not present:
        raise _no_gpu()
    if names == "all":
        return tuple(present)
    by_name = {name: gpu for gpu in present for name in (str(gpu.index), gpu.uuid)}
    for name in chosen:
        if name not in by_name:
            known = ", ".join(f"{gpu.index} ({gpu.uuid})" for gpu in present)
            raise UsageError(
                f"This machine has no GPU {name!r}", f"It has: {known}. Choose from these, or use --gpus none."
            )
    return tuple(by_name[name] for name in chosen)


class GpuPool:
    """Lends each GPU to one model at a time, or to several if `shared`.

    A model waits until a GPU is free, so two models never slow each other by accident.
    """

    def __init__(self, gpus: Sequence[Gpu], *, shared: bool = False) -> None:
        self._users = dict.fromkeys(gpus, 0)
        self._shared = shared
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._users)

    @property
    def gpus(self) -> tuple[Gpu, ...]:
        return tuple(self._users)

    @contextlib.contextmanager
    def reserved(self, check: Callable[[], None] = lambda: None) -> Iterator[Gpu]:
        """The GPU with the fewest users, once one is free. `check` is called while waiting and may raise.

        Raises:
            EngineUnavailable: if the pool is empty.
        """
        if not self._users:
            raise _no_gpu()
        with self._changed:
            while not self._shared and min(self._users.values()) > 0:
                self._changed.wait(_WAIT_S)
                check()
            gpu = min(self._users, key=lambda g: (self._users[g], g.index))
            self._users[gpu] += 1
        try:
            yield gpu
        finally:
            with self._changed:
                self._users[gpu] -= 1
                self._changed.notify()


class GpuWatch:
    """A context that samples the use of one GPU twice a second."""

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self._lock = threading.Lock()
        self._peak_bytes = 0
        self._percent_sum = 0.0
        self._samples = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="gpu-watch", daemon=True)

    def __enter__(self) -> GpuWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def restart_peak(self) -> None:
        """Begin a new peak with the memory in use now."""
        use = gpu_use(self._gpu)
        with self._lock:
            # If the driver does not answer, the last peak stays: it is too high rather than too low.
            if use is not None:
                self._peak_bytes = use.memory_bytes

    def use(self) -> GpuUse | None:
        """The peak of memory and the mean utilisation so far, or None if the driver reported nothing."""
        with self._lock:
            if self._samples == 0:
                return None
            return GpuUse(self._peak_bytes, self._percent_sum / self._samples)

    def _watch(self) -> None:
        while True:
            use = gpu_use(self._gpu)
            if use is not None:
                with self._lock:
                    self._peak_bytes = max(self._peak_bytes, use.memory_bytes)
                    self._percent_sum += use.utilisation_percent
                    self._samples += 1
            if self._done.wait(_SAMPLE_S):
                return


def device_request(gpus: Sequence[Gpu], *, cdi: bool = False) -> dict[str, Any]:
    """One entry of `DeviceRequests` in the engine's API: for the NVIDIA runtime, or for CDI if `cdi`.

    CDI is the Container Device Interface, which newer engines support.

    >>> device_request([Gpu(0, "GPU-a")], cdi=True)["DeviceIDs"]
    ['nvidia.com/gpu=GPU-a']
    """
    if cdi:
        return {"Driver": "cdi", "DeviceIDs": [f"nvidia.com/gpu={gpu.uuid}" for gpu in gpus]}
    return {
        "Driver": "",
        "Count": 0,
        "DeviceIDs": [gpu.uuid for gpu in gpus],
        "Capabilities": [["gpu"]],
        "Options": {},
    }
