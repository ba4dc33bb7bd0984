from .clock import SystemClock
from .energy import CpuEnergy, GpuEnergy, machine_energy
from .memory import MemoryWatch
from .pool import ProcessPool
from .trackers import Tracker, open_tracker

__all__ = [
    "CpuEnergy",
    "GpuEnergy",
    "MemoryWatch",
    "ProcessPool",
    "SystemClock",
    "Tracker",
    "machine_energy",
    "open_tracker",
]
