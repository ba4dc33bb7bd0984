"""The parts of the simulated executor's system in which faults are planted: ways, a state, validators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from soundsright.core.errors import PeerUnavailable
from soundsright.core.images import PublishedTable
from soundsright.core.ports import SubnetRules
from soundsright.services.executor import Reading
from soundsright.testing import FakeChain, Killed, MemoryRecords, MemoryState
from soundsright.testing.simulation.image_world import BURNS, ImageValidator


class OwnedChain(FakeChain):
    """A chain with an owner, and with the clock of this machine."""

    def owner(self) -> str:
        return BURNS

    def clock_offset_s(self, _now_s: float) -> float:
        return 0.0

    def rules(self) -> SubnetRules:
        return SubnetRules()


class Way:
    """The way to a service. While `is_away`, nothing answers.

    `replayed` is an old table that comes instead. With `withholds`, the table lacks its first row.
    """

    def __init__(self, port: Callable[[], Any]) -> None:
        self._port = port
        self.is_away = False
        self.replayed: PublishedTable | None = None
        self.withholds = False

    def __getattr__(self, name: str) -> Any:
        if self.is_away:
            raise PeerUnavailable("Nothing answers", code="timeout")
        if name == "table" and self.replayed is not None:
            return lambda: self.replayed
        if name == "table" and self.withholds:
            table = self._port().table()
            return lambda: replace(table, rows=table.rows[1:])
        return getattr(self._port(), name)


class MortalState:
    """A state that kills the program at a write, once. `writes_left` are the writes until then; None: never."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state
        self.writes_left: int | None = None

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._state, name)
        if name not in ("begin_round", "finish_step", "add_clip_results"):
            return attribute

        def call(*args: Any, **kwargs: Any) -> Any:
            result = attribute(*args, **kwargs)
            if self.writes_left is not None:
                self.writes_left -= 1
                if self.writes_left <= 0:
                    self.writes_left = None
                    raise Killed
            return result

        return call


@dataclass
class Seat:
    """A validator's place: what survives its restarts. `newest_block` is that of the round that it pays by now."""

    hotkey: str
    state: MemoryState
    records: MemoryRecords
    board: Way
    table: Way
    validator: ImageValidator | None = None
    newest_block: int = 0
    read_late: bool = False
    _last_reading: Reading | None = field(default=None, init=False)

    @property
    def reading(self) -> Reading | None:
        """The last reading of this validator, also before a restart: its state keeps what follows from it."""
        own = None if self.validator is None else self.validator.system.reading
        self._last_reading = own or self._last_reading
        return self._last_reading

    @property
    def round_id(self) -> str:
        """The round of the table that this validator read last; empty if it read none."""
        reading = self.reading
        return "" if reading is None else reading.table.round_id

    @property
    def read(self) -> object:
        """The round and the submissions that this validator read last."""
        reading = self.reading
        return None if reading is None else (reading.table.round_id, reading.submissions)

    @property
    def payees(self) -> Mapping[str, float] | None:
        return None if self.validator is None else self.validator.system.payees()
