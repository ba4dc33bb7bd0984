"""Simulates the executor's system over many rounds: its real services in a made-up subnet, under planted faults.

Miners submit imitated images to a coordinator, an executor measures, judges and publishes them, and three
validators read, check and pay. Most periods of blocks have a fault. Blocks come late; a service is away or killed;
a validator is restarted or reads late; it gets the table of an old round, or one without its first row. The same
seed gives the same subnet and faults. Blocks are counted, times are in seconds.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from soundsright.core.errors import InfrastructureFault, RequestRefused
from soundsright.core.images import PublishedTable
from soundsright.core.ports import LiveChain, ScoreTable, StateStore, SubmissionBoard
from soundsright.services.executor import ExecutorService, ImageOrder, open_results
from soundsright.testing import Killed, MemoryRecords, MemoryState, VirtualClock
from soundsright.testing.simulation.image_faults import MortalState, OwnedChain, Seat, Way
from soundsright.testing.simulation.image_world import (
    BURNS,
    EXECUTOR_HOTKEY,
    ORGANISER,
    RULES,
    BoardOf,
    ExecutorParts,
    ImageValidator,
    TableOf,
    image_coordinator,
    image_reference,
    is_simulated_signature,
)
from soundsright.testing.simulation.invariants import Violation

IMAGE_INVARIANTS = (
    "validators that read the same table and submissions pay the same image",
    "validators that all read in the first block of a period pay the same image in it",
    "only a registered hotkey with a positive score in signed results is paid",
    "the signed results of a round never change",
    "a validator never pays by an older round than before, also after a restart",
    "a fault never makes everything burn",
)
FAULTS = (
    "late blocks",
    "executor away",
    "executor killed",
    "coordinator away",
    "coordinator restarted",
    "validator restarted",
    "validator reads late",
    "replayed results",
    "row withheld",
)
VALIDATORS = 3
MINERS = ("Ada", "Ben", "Cem", "Dan", "Eva", "Fay")
BURN_RATIO = 0.1

_STEPS = 10
_STEP_BLOCKS = RULES.update_blocks // _STEPS
_START_S = 1.8e9
_FAULTY_PERIODS = 0.6
_MOST_WRITES = 60
_KINDS = ("", "", "", "", "crashes", "truncates", "missing")

OrderView = Callable[[str, ImageOrder], ImageOrder]


@dataclass(frozen=True)
class ImagePeriod:
    """One period of blocks, as it was at its end. `paid` is the hotkey that the first validator pays, or empty.

    `round_id` is the round by which it is paid. If `is_apart`, validators had read different tables and paid
    different images, because one of them could not read when the others did.
    """

    number: int
    fault: str
    round_id: str
    images: int
    paid: str
    burned: float
    is_apart: bool


@dataclass
class SimulatedImages:
    """The result of a simulation. `digest` covers all periods; the same seed gives the same digest."""

    periods: list[ImagePeriod] = field(default_factory=list)
    published: int = 0
    submitted: int = 0
    restarts: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    checks: int = 0

    @property
    def paid(self) -> Mapping[str, int]:
        """The number of periods in which each hotkey was paid, the most frequent first."""
        return dict(Counter(period.paid for period in self.periods if period.paid).most_common())

    @property
    def apart(self) -> int:
        """The number of periods at whose end validators paid different images."""
        return sum(period.is_apart for period in self.periods)

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps([asdict(period) for period in self.periods]).encode()).hexdigest()


def simulate_images(
    seed: int, *, rounds: int, order_view: OrderView = lambda _hotkey, order: order
) -> SimulatedImages:
    """Simulate `rounds` periods of blocks, in each of which a round may begin, and check the invariants after each.

    `order_view` changes how a validator ranks images. Use it to plant a mistake that the invariants must find.

    Raises:
        Violation: an invariant does not hold.
    """
    with _folder() as folder:
        subnet = _Subnet(seed, folder, order_view)
        try:
            for _ in range(rounds):
                subnet.play_period()
        finally:
            subnet.close()
    return subnet.result


def reversed_order(hotkey: str, order: ImageOrder) -> ImageOrder:
    """A planted mistake: the last validator ranks the images from worst to best."""
    if hotkey != _validator(VALIDATORS - 1):
        return order
    return lambda table: tuple(reversed(order(table)))


class _Subnet:
    """The whole system, and what happened in it."""

    def __init__(self, seed: int, folder: Path, order_view: OrderView) -> None:
        self._seed, self._order_view = seed, order_view
        self._rng = np.random.default_rng(seed)
        self.result = SimulatedImages()
        self._chain = OwnedChain(seed=seed, start_s=_START_S)
        self._chain.register(BURNS)
        for number in range(VALIDATORS):
            self._chain.register(_validator(number), permit=True)
        self._clock = VirtualClock(_START_S)
        self._records = MemoryRecords()
        self._coordinator = self._new_coordinator()
        self._state = MortalState(MemoryState())
        self._executor_board = self._way_to_board(EXECUTOR_HOTKEY)
        self._parts = ExecutorParts(
            self._live_chain,
            cast(StateStore, self._state),
            MemoryRecords(),
            self._clock,
            cast(SubmissionBoard, self._executor_board),
            folder,
        )
        self._executor = self._parts.service()
        self._seats = [self._new_seat(_validator(number)) for number in range(VALIDATORS)]
        self._tables: list[PublishedTable] = []
        self._envelopes: dict[str, bytes] = {}
        self._period = 0
        self._fault = ""
        self._go_to_block(RULES.update_blocks - 1)

    @property
    def _live_chain(self) -> LiveChain:
        return cast(LiveChain, self._chain)

    def _new_coordinator(self) -> Any:
        return image_coordinator(self._live_chain, self._records, self._clock, burn_ratio=BURN_RATIO)

    def _way_to_board(self, hotkey: str) -> Way:
        return Way(lambda: BoardOf(self._coordinator, hotkey))

    def _new_seat(self, hotkey: str) -> Seat:
        seat = Seat(
            hotkey,
            MemoryState(),
            MemoryRecords(),
            self._way_to_board(hotkey),
            Way(lambda: TableOf(self._executor)),
        )
        self._start(seat)
        return seat

    def _start(self, seat: Seat) -> None:
        """Start a validator, or start it again on the state that it had."""
        if seat.validator is not None:
            _ = seat.reading  # It outlives the restart.
            seat.validator.service.close()
            self.result.restarts += 1
        board, table = cast(SubmissionBoard, seat.board), cast(ScoreTable, seat.table)
        seat.validator = ImageValidator(
            seat.hotkey,
            self._live_chain,
            seat.state,
            seat.records,
            self._clock,
            board,
            table,
            lambda order: self._order_view(seat.hotkey, order),
        )

    def close(self) -> None:
        for seat in self._seats:
            if seat.validator is not None:
                seat.validator.service.close()

    def play_period(self) -> None:
        """Let one period of blocks pass, with at most one kind of fault, and check it."""
        self._period += 1
        rng = self._rng
        self._fault = str(rng.choice(FAULTS)) if rng.random() < _FAULTY_PERIODS else ""
        if self._fault:
            self.result.faults[self._fault] = self.result.faults.get(self._fault, 0) + 1
        executor_from, disturbed = int(rng.integers(1, 8)), self._seats[int(rng.integers(VALIDATORS))]
        self._begin_fault(disturbed)
        self._go_to_block(RULES.update_blocks * self._period)
        for step in range(_STEPS):
            if step == _STEPS // 2:
                self._change_miners()
                if self._fault == "validator restarted":
                    self._start(disturbed)
            if step >= executor_from:
                self._tick_executor()
            for seat in self._seats:
                seat.read_late = seat is disturbed and self._fault == "validator reads late"
                if not seat.read_late or step > _STEPS // 2 + 1:
                    self._tick_validator(seat)
            if step == _STEPS - 4:
                self._end_fault()
            self._go_to_block(RULES.update_blocks * self._period + _STEP_BLOCKS * (step + 1) - 1)
        self._record()

    def _begin_fault(self, disturbed: Seat) -> None:
        fault = self._fault
        ways = {"coordinator away": [self._executor_board, *(seat.board for seat in self._seats)]}
        ways["executor away"] = [seat.table for seat in self._seats]
        for way in ways.get(fault, ()):
            way.is_away = True
        if fault == "executor killed":
            self._state.writes_left = int(self._rng.integers(1, _MOST_WRITES))
        elif fault == "coordinator restarted":
            self._coordinator = self._new_coordinator()
            self.result.restarts += 1
        elif fault == "replayed results" and self._tables:
            disturbed.table.replayed = self._tables[int(self._rng.integers(len(self._tables)))]
        elif fault == "row withheld":
            disturbed.table.withholds = True

    def _end_fault(self) -> None:
        self._state.writes_left = None
        for way in (self._executor_board, *(way for seat in self._seats for way in (seat.board, seat.table))):
            way.is_away, way.replayed, way.withholds = False, None, False

    def _go_to_block(self, final: int) -> None:
        """Make blocks until that one is final. The coordinator reads the chain after each."""
        while self._chain.finalized().number < final:
            is_late = self._fault == "late blocks" and self._rng.random() < 0.5
            self._chain.advance(delay_s=float(self._rng.uniform(0, 300)) if is_late else 0.0)
        self._clock.jump(self._chain.timestamp_s(self._chain.head().number) - self._clock.now())
        self._coordinator.tick()

    def _change_miners(self) -> None:
        """Some miners submit an image, and one of them may leave."""
        rng = self._rng
        for hotkey in MINERS:
            if rng.random() < 0.03 and hotkey in {neuron.hotkey for neuron in self._chain.neurons()}:
                self._chain.deregister(hotkey)
            elif rng.random() < 0.4:
                self._chain.register(hotkey)
                self._coordinator.tick()
                quality, ticks = int(rng.integers(20, 95)), int(rng.integers(1, 8))
                image = image_reference(quality, ticks, self._period, str(rng.choice(_KINDS)))
                try:
                    BoardOf(self._coordinator, hotkey).submit(image)
                    self.result.submitted += 1
                except RequestRefused:
                    continue  # It cools down.

    def _tick_executor(self) -> None:
        try:
            self._executor.tick()
        except Killed:
            self._executor = self._restarted()
            return
        table = self._executor.table()
        if table.round_id and table.round_id not in self._envelopes:
            envelope = self._executor.results(table.round_id)
            assert envelope is not None
            self._envelopes[table.round_id] = envelope
            self._tables.append(table)
            self.result.published += 1

    def _restarted(self) -> ExecutorService:
        self.result.restarts += 1
        return self._parts.service()

    def _tick_validator(self, seat: Seat) -> None:
        assert seat.validator is not None
        try:
            seat.validator.tick()
        except InfrastructureFault as fault:
            raise Violation("a service that is away stops no validator", self._where(seat), str(fault)) from fault
        if seat.payees is not None and seat.round_id:
            block = int(seat.round_id.rpartition("-")[2])
            self._check(4, seat, block >= seat.newest_block, f"round {seat.round_id} after {seat.newest_block}")
            seat.newest_block = block

    def _where(self, seat: Seat) -> str:
        return f"seed {self._seed}, period {self._period} ({self._fault or 'no fault'}), {seat.hotkey}"

    def _check(self, invariant: int, seat: Seat, is_true: bool, problem: str) -> None:
        self.result.checks += 1
        if not is_true:
            raise Violation(IMAGE_INVARIANTS[invariant], self._where(seat), problem)

    def _weights(self, hotkey: str) -> dict[str, float]:
        """The weights that a validator has set last, without zeros."""
        landed = [weights for setter, _, weights in self._chain.landed if setter == hotkey]
        return {name: weight for name, weight in landed[-1].items() if weight > 0} if landed else {}

    def _record(self) -> None:
        """Check the period at its end, and keep what it was."""
        first, all_weights = self._seats[0], [self._weights(seat.hotkey) for seat in self._seats]
        for seat, weights in zip(self._seats, all_weights, strict=True):
            same_table = seat.payees is not None and first.payees is not None and seat.read == first.read
            self._check(0, seat, not same_table or seat.payees == first.payees, f"{seat.payees}, {first.payees}")
            self._check(1, seat, bool(self._fault) or weights == all_weights[0], f"{weights}, {all_weights[0]}")
            self._check_paid(seat, weights)
        for round_id, envelope in list(self._envelopes.items())[-3:]:
            self._check(3, first, self._executor.results(round_id) == envelope, round_id)
        paid = next((hotkey for hotkey in all_weights[0] if hotkey != BURNS), "")
        period = ImagePeriod(
            self._period,
            self._fault,
            first.round_id,
            len(self._tables[-1].rows) if self._tables else 0,
            paid,
            all_weights[0].get(BURNS, 0.0),
            any(weights != all_weights[0] for weights in all_weights),
        )
        self.result.periods.append(period)

    def _check_paid(self, seat: Seat, weights: Mapping[str, float]) -> None:
        registered = {neuron.hotkey for neuron in self._chain.neurons()}
        payable: set[str] = set()
        if seat.round_id:
            results = open_results(
                self._envelopes[seat.round_id], valid_signature=is_simulated_signature, ruleset=ORGANISER.ruleset
            )
            payable = {e.row.submission.hotkey for e in results.entries if e.row.is_winner_candidate}
        if seat.payees is not None:
            self._check(2, seat, seat.payees.keys() <= payable & registered, f"{seat.payees}")
            left = registered & payable
            self._check(5, seat, bool(seat.payees) or not self._standing(seat) & left, f"{weights}")

    def _standing(self, seat: Seat) -> set[str]:
        """The hotkeys whose image in the table still stood when the validator read it."""
        reading = seat.reading
        if reading is None:
            return set()
        rows = {row.submission for row in reading.table.rows}
        return {submission.hotkey for submission in reading.submissions if submission in rows}


def _validator(number: int) -> str:
    return f"validator{number}"


@contextmanager
def _folder() -> Iterator[Path]:
    """A temporary folder, in memory if the machine has `/dev/shm`."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="soundsright-sim-", dir=memory if memory.is_dir() else None) as name:
        yield Path(name)
