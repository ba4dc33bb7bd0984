"""The energy that this machine's GPUs or processors have used, in joules, from the counters of their makers.

NVML counts the energy of a GPU, on Volta and later ones. RAPL counts that of a processor package, with its memory
controller and all its cores, whoever uses them; Linux shows it to root alone. Both are counters of hardware: the
energy of a run is the difference of two readings, and includes what the device uses when it is idle.
"""

from __future__ import annotations

import contextlib
import ctypes
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundsright.core.ports import EnergyMeter

POWERCAP = Path("/sys/class/powercap")
_NVML = "libnvidia-ml.so.1"
_PACKAGE = re.compile(r"intel-rapl:\d+")
"""A whole package. Its parts have one more number, and the packages already count them."""


@dataclass
class _Package:
    """One package's counter in microjoules, which begins again at 0 above `range_uj`."""

    file: Path
    range_uj: int
    last_uj: int
    total_uj: int = 0

    def read(self) -> int:
        now_uj = int(self.file.read_text())
        self.total_uj += now_uj - self.last_uj + (self.range_uj + 1 if now_uj < self.last_uj else 0)
        self.last_uj = now_uj
        return self.total_uj


class CpuEnergy:
    """The `EnergyMeter` of all processor packages, through RAPL. Any thread may read it.

    A counter that begins again between two readings is followed, if it does so once: at 200 W, read it every 20
    minutes at least.
    """

    def __init__(self, folder: Path = POWERCAP) -> None:
        self._lock = threading.Lock()
        self._packages: list[_Package] = []
        with contextlib.suppress(OSError, ValueError):
            for package in sorted(path for path in folder.iterdir() if _PACKAGE.fullmatch(path.name)):
                if (package / "name").read_text().startswith("package"):
                    file = package / "energy_uj"
                    range_uj = int((package / "max_energy_range_uj").read_text())
                    self._packages.append(_Package(file, range_uj, int(file.read_text())))

    def joules(self) -> float | None:
        """The energy since this object was made; None without a counter, or if one cannot be read."""
        with self._lock:
            try:
                return sum(package.read() for package in self._packages) / 1e6 if self._packages else None
            except (OSError, ValueError):
                return None


class GpuEnergy:
    """The `EnergyMeter` of GPUs, by their UUIDs, through NVML. Any thread may read it.

    `library` is NVML, loaded from the driver by default.
    """

    def __init__(self, uuids: Sequence[str], *, library: Any = None) -> None:
        self._library: Any = None
        self._devices: list[ctypes.c_void_p] = []
        with contextlib.suppress(OSError, AttributeError):
            nvml = library if library is not None else ctypes.CDLL(_NVML)
            if nvml.nvmlInit_v2() != 0:
                return
            for uuid in uuids:
                device = ctypes.c_void_p()
                if nvml.nvmlDeviceGetHandleByUUID(uuid.encode(), ctypes.byref(device)) != 0:
                    return
                self._devices.append(device)
            self._library = nvml

    def joules(self) -> float | None:
        """The energy since the driver was loaded; None without NVML, or if a GPU does not count its energy."""
        if self._library is None or not self._devices:
            return None
        total_mj = 0
        for device in self._devices:
            energy_mj = ctypes.c_ulonglong()
            if self._library.nvmlDeviceGetTotalEnergyConsumption(device, ctypes.byref(energy_mj)) != 0:
                return None
            total_mj += energy_mj.value
        return total_mj / 1e3


def machine_energy(gpu_uuids: Sequence[str] = ()) -> EnergyMeter | None:
    """The meter of these GPUs, or without GPUs of the processors; None if this machine does not tell joules."""
    meter = GpuEnergy(gpu_uuids) if gpu_uuids else CpuEnergy()
    return None if meter.joules() is None else meter
