from .clock import SystemClock
from .memory import MemoryWatch
from .pool import ProcessPool
from .trackers import Tracker, open_tracker

__all__ = [
    "MemoryWatch",
    "ProcessPool",
    "SystemClock",
    "Tracker",
    "open_tracker",
]
