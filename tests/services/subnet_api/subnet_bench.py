"""A coordinator over a fake chain whose blocks, registrations and faults a test decides."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI

from soundsright.adapters.peers.auth import RequestGate
from soundsright.adapters.peers.keys import Hotkey
from soundsright.core.competition import PUBLISHED
from soundsright.core.errors import ChainUnavailable
from soundsright.core.executor_rules import ExecutorRules
from soundsright.core.ports import BlockRef, Neuron, Records, Snapshot
from soundsright.core.sources import ImageRef
from soundsright.services.http.requests import Admit
from soundsright.services.http.state import Health
from soundsright.services.subnet_api.api import subnet_app
from soundsright.services.subnet_api.coordinator import Coordinator, CoordinatorContext
from soundsright.testing import MemoryRecords, VirtualClock

OWNER, ALICE, BOB, VICTOR, STRANGER, RUNNER = (
    Hotkey.of_seed(name) for name in ("owner", "alice", "bob", "victor", "stranger", "runner")
)
CORPUS = "c" * 64
START_S = 1_000_000.0


def image(digit: str = "0", name: str = "lab/gate") -> ImageRef:
    return ImageRef(name, digit * 64)


@dataclass
class SmallChain:
    """The reads of a chain that a coordinator needs. With `is_away`, they fail."""

    neurons: dict[str, Neuron] = field(default_factory=dict)
    finalized_block: int = 400
    offset_s: float = 0.0
    is_away: bool = False

    def register(self, hotkey: Hotkey, *, permit: bool = False) -> None:
        self.neurons[hotkey.address] = Neuron(len(self.neurons), hotkey.address, 1, permit=permit)

    def snapshot(self, _number: int | None = None) -> Snapshot:
        self._reached()
        return Snapshot(BlockRef(self.finalized_block + 2, "0x0"), tuple(self.neurons.values()), ())

    def finalized(self) -> BlockRef:
        self._reached()
        return BlockRef(self.finalized_block, "0x0")

    def block_hash(self, number: int) -> str:
        self._reached()
        assert number <= self.finalized_block
        return f"0x{number:064x}"

    def owner(self) -> str:
        return OWNER.address

    def clock_offset_s(self, _now_s: float) -> float:
        return self.offset_s

    def _reached(self) -> None:
        if self.is_away:
            raise ChainUnavailable("The chain does not answer")


@dataclass
class Bench:
    """A coordinator that has read its chain, with the parts that a test changes."""

    coordinator: Coordinator
    chain: SmallChain
    clock: VirtualClock
    health: Health
    records: Records

    def app(self, *, admit: Admit | None = None) -> FastAPI:
        gate = RequestGate(OWNER.address, dialects=("btauth", "talkhead"))
        return subnet_app(
            self.coordinator,
            admit=admit or gate.admit,
            admit_read=admit or gate.admit_read,
            throttle=lambda _client: None,
        )


def bench(records: Records | None = None, **changes: Any) -> Bench:
    """Alice and Bob are registered, Victor is a validator, and the organiser is not registered."""
    chain, clock = SmallChain(), VirtualClock(START_S)
    for hotkey in (ALICE, BOB):
        chain.register(hotkey)
    chain.register(VICTOR, permit=True)
    health, records = Health(clock), MemoryRecords() if records is None else records
    given: Any = chain
    choices: dict[str, Any] = {
        "rules": ExecutorRules(),
        "competitions": PUBLISHED,
        "clips": 42,
        "corpus_digest": CORPUS,
        "executors": frozenset({RUNNER.address}),
    }
    context = CoordinatorContext(given, records, clock, health, **(choices | changes))
    coordinator = Coordinator(context)
    coordinator.tick()
    return Bench(coordinator, chain, clock, health, records)
