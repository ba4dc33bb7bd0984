"""Fakes of the ports for tests and simulations, and faults that you can plant in them.

`testing.hub` and `testing.fakechain` are servers in this process. `testing.simulation` plays whole rounds.
"""

from soundsright.testing.boards import FakeBoard, FakeSubmissionBoard
from soundsright.testing.entries import salted_reveal
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
from soundsright.testing.tables import MemoryAccounts, MemoryCounters, MemoryRecords

__all__ = [
    "Behaviour",
    "FakeBoard",
    "FakeChain",
    "FakeHub",
    "FakeRepository",
    "FakeSandbox",
    "FakeSubmissionBoard",
    "Faults",
    "Faulty",
    "InlinePool",
    "Killed",
    "MemoryAccounts",
    "MemoryCounters",
    "MemoryRecords",
    "MemoryState",
    "VirtualClock",
    "salted_reveal",
    "unit_interval",
]
