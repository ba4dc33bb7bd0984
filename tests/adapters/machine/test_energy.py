"""Energy in joules, from the counters of processors and GPUs."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

from soundsright.adapters.machine import CpuEnergy, GpuEnergy


def package(folder: Path, name: str, kind: str, microjoules: int, highest: int = 999_999_999) -> Path:
    zone = folder / name
    zone.mkdir()
    (zone / "name").write_text(f"{kind}\n")
    (zone / "energy_uj").write_text(f"{microjoules}\n")
    (zone / "max_energy_range_uj").write_text(f"{highest}\n")
    return zone / "energy_uj"


def test_the_packages_of_a_machine_are_added_and_their_parts_are_not(tmp_path: Path) -> None:
    first = package(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    second = package(tmp_path, "intel-rapl:1", "package-1", 5_000_000)
    part = package(tmp_path, "intel-rapl:0:0", "core", 0)
    platform = package(tmp_path, "intel-rapl:2", "psys", 0)
    meter = CpuEnergy(tmp_path)
    before = meter.joules()
    for file, microjoules in ((first, 3_000_000), (second, 5_500_000), (part, 9_000_000), (platform, 9_000_000)):
        file.write_text(str(microjoules))
    after = meter.joules()
    assert before is not None
    assert after is not None
    assert after - before == 2.5


def test_a_counter_that_begins_again_goes_on(tmp_path: Path) -> None:
    file = package(tmp_path, "intel-rapl:0", "package-0", 900_000, highest=999_999)
    meter = CpuEnergy(tmp_path)
    file.write_text("400000")
    assert meter.joules() == 0.5


def test_a_machine_without_counters_tells_no_joules(tmp_path: Path) -> None:
    assert CpuEnergy(tmp_path).joules() is None
    assert CpuEnergy(tmp_path / "missing").joules() is None
    file = package(tmp_path, "intel-rapl:0", "package-0", 1)
    meter = CpuEnergy(tmp_path)
    file.unlink()
    assert meter.joules() is None


class Nvml:
    """The functions of NVML, for GPUs with these counters in millijoules."""

    def __init__(self, millijoules: dict[str, int | None]) -> None:
        self.millijoules = millijoules

    def nvmlInit_v2(self) -> int:
        return 0

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes, device: Any) -> int:
        if uuid.decode() not in self.millijoules:
            return 6
        device._obj.value = 1 + list(self.millijoules).index(uuid.decode())
        return 0

    def nvmlDeviceGetTotalEnergyConsumption(self, device: ctypes.c_void_p, energy: Any) -> int:
        assert device.value is not None
        value = list(self.millijoules.values())[device.value - 1]
        if value is None:
            return 3
        energy._obj.value = value
        return 0


def test_the_energy_of_the_named_gpus_is_added() -> None:
    nvml = Nvml({"GPU-a": 2_000, "GPU-b": 500, "GPU-c": 9_000_000_000_000})
    meter = GpuEnergy(["GPU-a", "GPU-b"], library=nvml)
    assert meter.joules() == 2.5
    nvml.millijoules["GPU-a"] = 2_250
    assert meter.joules() == 2.75
    assert GpuEnergy(["GPU-c"], library=nvml).joules() == 9e9


def test_a_gpu_that_counts_no_energy_or_does_not_exist_tells_no_joules() -> None:
    nvml = Nvml({"GPU-a": None})
    assert GpuEnergy(["GPU-a"], library=nvml).joules() is None
    assert GpuEnergy(["GPU-z"], library=nvml).joules() is None
    assert GpuEnergy([], library=nvml).joules() is None
