"""Graphics processors: which there are, who has which, and how an engine is asked for them.

Memory in bytes.
"""

from __future__ import annotations

import contextlib
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
    """One processor: its number and its name for life."""

    index: int
    uuid: str
    memory_bytes: int = 0


@dataclass(frozen=True)
class GpuUse:
    """What was seen of a processor: memory in use, and the percent of time that it worked."""

    memory_bytes: int
    utilisation_percent: float


def find_gpus() -> tuple[Gpu, ...]:
    """The processors of this machine; none where the driver's tool is missing or finds none."""
    rows = _asked("index,uuid,memory.total")
    return tuple(Gpu(int(index), uuid, int(mebibytes) << 20) for index, uuid, mebibytes in rows)


def gpu_use(gpu: Gpu) -> GpuUse | None:
    """What the processor is doing now, or None where the driver does not say."""
    for uuid, mebibytes, percent in _asked("uuid,memory.used,utilization.gpu"):
        if uuid == gpu.uuid and mebibytes.isdecimal():
            return GpuUse(int(mebibytes) << 20, float(percent) if percent.isdecimal() else 0.0)
    return None


def _asked(fields: str) -> list[list[str]]:
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_QUERY_TIMEOUT_S)
    except (OSError, subprocess.SubprocessError):
        return []
    return [[cell.strip() for cell in line.split(",")] for line in answer.stdout.splitlines() if line.strip()]


def chosen_gpus(wanted: str, present: Sequence[Gpu]) -> tuple[Gpu, ...]:
    """What `--gpus` names: `none`, `all`, or numbers and names separated by commas.

    Raises:
        UsageError: if one is named that is not there.
        EngineUnavailable: if the machine has none at all.

    >>> chosen_gpus("1", (Gpu(0, "GPU-a"), Gpu(1, "GPU-b")))
    (Gpu(index=1, uuid='GPU-b', memory_bytes=0),)
    """
    if wanted == "none":
        return ()
    if not present:
        raise EngineUnavailable("A GPU is asked for and this machine has none", "Use --gpus none.")
    if wanted == "all":
        return tuple(present)
    by_name = {name: gpu for gpu in present for name in (str(gpu.index), gpu.uuid)}
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    for name in names:
        if name not in by_name:
            there = ", ".join(f"{gpu.index} ({gpu.uuid})" for gpu in present) or "none"
            raise UsageError(f"No GPU {name!r} on this machine", f"There: {there}. Use --gpus none to go without.")
    return tuple(by_name[name] for name in names)


class GpuPool:
    """Hands out processors, each to one model at a time unless `shared`.

    A model waits for its turn, so that two never share one by accident and the processor is never idle while one
    waits.
    """

    def __init__(self, gpus: Sequence[Gpu], *, shared: bool = False) -> None:
        self._users = dict.fromkeys(gpus, 0)
        self._shared = shared
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._users)

    @contextlib.contextmanager
    def taken(self, check: Callable[[], None] = lambda: None) -> Iterator[Gpu]:
        """The processor with the fewest users, once one is free. `check` is called while waiting and may raise.

        Raises:
            EngineUnavailable: if the pool has none at all.
        """
        if not self._users:
            raise EngineUnavailable("A GPU is asked for and this machine has none", "Use --gpus none.")
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
    """A context that samples one processor's use from the model's start to its end."""

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self._lock = threading.Lock()
        self._peak_bytes = 0
        self._worked = 0.0
        self._samples = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="gpu-watch", daemon=True)

    def __enter__(self) -> GpuWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def seen(self) -> GpuUse | None:
        """The most memory and the mean share of work so far, or None where the driver said nothing."""
        with self._lock:
            if self._samples == 0:
                return None
            return GpuUse(self._peak_bytes, self._worked / self._samples)

    def _watch(self) -> None:
        while True:
            use = gpu_use(self._gpu)
            if use is not None:
                with self._lock:
                    self._peak_bytes = max(self._peak_bytes, use.memory_bytes)
                    self._worked += use.utilisation_percent
                    self._samples += 1
            if self._done.wait(_SAMPLE_S):
                return


def device_request(gpus: Sequence[Gpu], *, cdi: bool = False) -> dict[str, Any]:
    """The engine's `DeviceRequests` entry: by the vendor's runtime hook, or by CDI where the engine knows it.

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
