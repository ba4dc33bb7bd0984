"""Files of the kernel that tell what else runs on this machine: what a model sees in their place.

`/proc` and `/sys` belong to the whole machine. A model could read from them how busy its neighbours are, when they
start, and on which disks they work. Libraries read a few of these files too: those say the same on every machine.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from soundsright.core.ports import SandboxLimits

_EMPTY_FILES = """
    buddyinfo cgroups cmdline consoles diskstats interrupts iomem ioports kallsyms key-users keys latency_stats
    locks mdstat modules mtrr pagetypeinfo partitions sched_debug schedstat slabinfo softirqs swaps timer_list
    vmallocinfo zoneinfo sys/kernel/random/boot_id
"""
_EMPTY_FOLDERS = "acpi bus driver dynamic_debug fs irq pressure scsi sys/fs sys/kernel/pty tty"
_NO_MEMORY_IN = """
    Buffers Cached SwapCached Active Inactive SwapTotal SwapFree Dirty Writeback AnonPages Mapped Shmem Slab
    SReclaimable SUnreclaim PageTables HugePages_Total HugePages_Free
"""
EMPTY_FILES = tuple(f"/proc/{name}" for name in _EMPTY_FILES.split())
EMPTY_FOLDERS = tuple(f"/proc/{name}" for name in _EMPTY_FOLDERS.split())
_CPUS = Path("/sys/devices/system/cpu")
"""Numerical libraries read the number of CPU cores and their caches here."""
_MOVING = ("acpi_cppc", "cpufreq", "cpuidle", "microcode", "power", "thermal_throttle")
"""Folders below `_CPUS` and below each core in it that count the work of the cores."""


def steady_files(limits: SandboxLimits) -> dict[str, str]:
    """The text of each file that libraries read, without what changes: the load, the memory in use, the uptime."""
    cores = os.cpu_count() or 1
    zeros = " 0" * 10
    memory_kib = limits.memory_bytes // 1_024
    memory = {"MemTotal": memory_kib, "MemFree": memory_kib, "MemAvailable": memory_kib}
    memory |= dict.fromkeys(_NO_MEMORY_IN.split(), 0)
    cpu_lines = [f"cpu {zeros}\n", *(f"cpu{core}{zeros}\n" for core in range(cores))]
    return {
        "/proc/stat": "".join(cpu_lines)
        + "intr 0\nctxt 0\nbtime 0\nprocesses 1\nprocs_running 1\nprocs_blocked 0\nsoftirq 0\n",
        "/proc/uptime": "0.00 0.00\n",
        "/proc/loadavg": "0.00 0.00 0.00 1/1 1\n",
        "/proc/meminfo": "".join(f"{name + ':':<16}{kib:>8} kB\n" for name, kib in memory.items()),
        "/proc/vmstat": "pswpin 0\npswpout 0\npgpgin 0\npgpgout 0\n",
        "/proc/cpuinfo": _cpuinfo(),
    }


def _cpuinfo() -> str:
    """The kinds of the cores, without their present clock rates."""
    text = Path("/proc/cpuinfo").read_text(errors="replace")
    return re.sub(r"^cpu MHz\s*:.*\n", "", text, flags=re.MULTILINE)


def moving_cpu_folders() -> list[Path]:
    """The folders of `/sys/devices/system/cpu` that count the work of the cores."""
    return [
        folder
        for parent in (_CPUS, *_CPUS.glob("cpu[0-9]*"))
        for name in _MOVING
        if (folder := parent / name).is_dir() and not folder.is_symlink()
    ]
