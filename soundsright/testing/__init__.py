"""Fakes of the ports, and faults to plant in them, for tests and simulations."""

from soundsright.testing.fakes import (
    Behaviour,
    FakeChain,
    FakeHub,
    FakeRepository,
    FakeSandbox,
    InlinePool,
    VirtualClock,
    unit_interval,
)
from soundsright.testing.faults import Faults, Faulty, Killed
from soundsright.testing.state import MemoryState

__all__ = [
    "Behaviour",
    "FakeChain",
    "FakeHub",
    "FakeRepository",
    "FakeSandbox",
    "Faults",
    "Faulty",
    "InlinePool",
    "Killed",
    "MemoryState",
    "VirtualClock",
    "unit_interval",
]
