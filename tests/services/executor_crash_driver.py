"""Disturbs the executor's system at every point where it touches the outside, and checks that its result stays.

    python tests/services/executor_crash_driver.py [--every N]

One process has the whole system: a coordinator, an executor and a validator, each with its own database, on a
private chain in a file. Miners submit images, two rounds are run and published, and the validator pays the best
image. Each disturbance kills that process (`kill -9`) or fails a call, and a second process continues from what the
first one recorded. Images, their times and their scores are imitated, so that a round takes a moment; measuring,
judging, signing and checking are the real ones.

Afterwards these must equal those of an undisturbed system: the signed results byte for byte, the submissions that
the coordinator and the executor have, and the weights on the chain. At most one scoring run may have been made
twice, and whoever reads the results of a round again must get the same ones.

The output is a table, and then the number of fault points. `--every N` uses every N-th point, and at least one of
each kind.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundsright.adapters.chains.local import LocalChain, seeded_block_entropy
from soundsright.adapters.state.records import SqlRecords
from soundsright.adapters.state.store import SqlState
from soundsright.core.errors import (
    ChainUnavailable,
    EngineUnavailable,
    InfrastructureFault,
    PeerUnavailable,
    StateUnavailable,
)
from soundsright.core.executor_rules import ExecutorRules
from soundsright.core.image_runs import dealt_runs
from soundsright.core.images import SubmittedImage
from soundsright.core.ports import TakenSubmissions
from soundsright.core.sources import ImageRef
from soundsright.services.executor import SUBMISSIONS, ExecutorStore, open_results
from soundsright.testing import VirtualClock
from soundsright.testing.disturbing import BOTH, Disturb, Disturbance, Watched, forked, killed, raising
from soundsright.testing.planting import planted
from soundsright.testing.simulation import (
    BURNS,
    CLIPS,
    EXECUTOR_HOTKEY,
    ORGANISER,
    BoardOf,
    ExecutorParts,
    ImageValidator,
    ImitatedImages,
    TableOf,
    image_coordinator,
    image_reference,
    is_simulated_signature,
)

VALIDATOR = "validator"
START_S = 1.8e9
BLOCK_S = 12.0
STATE_WRITES = ("begin_round", "finish_step", "add_clip_results")
STATE_READS = ("step_done", "clip_results", "rounds")
RECORD_CALLS = ("append", "read")
CHAIN_CALLS = ("finalized", "block_hash", "snapshot", "neurons", "set_weights")
BOARD_CALLS = ("submissions", "challenge", "burn_ratio")
TABLE_CALLS = ("update", "table", "results")
RUNS = ("run",)
MOST_TICKS = 12
LASTING = 10_000
PLANS = (
    (60, {"best": (70, 1, ""), "fair": (40, 1, ""), "crashing": (60, 1, "crashes"), "gone": (90, 1, "missing")}),
    (240, {"new": (80, 2, ""), "fair": (75, 1, "")}),
)
"""The block of each round, and the images that are submitted before it: quality in percent, ticks, kind."""
UNPAID_BLOCKS = 60
DEALT = dealt_runs({f"clip-{number:04}": 1.0 for number in range(CLIPS)}, ORGANISER.executor or ExecutorRules())
"""The clips of each run; a set of the simulation has clips of one second."""


class StillClock(VirtualClock):
    """A clock that only the driver sets, so that pauses do not change the times that are written."""

    def sleep(self, seconds: float) -> None:
        pass


@dataclass
class System:
    """The programs of one life, and the clock that they share."""

    chain: Any
    clock: VirtualClock
    coordinator: Any
    board: Any
    executor: Any
    validator: ImageValidator
    handed_on: set[ImageRef]
    folder: Path


@dataclass(frozen=True)
class HandsOn(TableOf):
    """An executor that notes in `images` what a validator gave it in this life."""

    images: set[ImageRef]

    def update(self, submissions: Sequence[SubmittedImage]) -> TakenSubmissions:
        taken = super().update(submissions)
        self.images.update(entry.image for entry in submissions)
        return taken


def image(hotkey: str, block: int) -> ImageRef:
    quality, speed, kind = dict(PLANS)[block][hotkey]
    return image_reference(quality, speed, block, kind)


def opened_chain(folder: Path) -> LocalChain:
    return LocalChain(folder / "chain.db", entropy=seeded_block_entropy(1), block_s=BLOCK_S, now_s=lambda: START_S)


def stage(folder: Path) -> None:
    """Register everybody before the programs start."""
    with closing(opened_chain(folder)) as chain:
        for hotkey in (BURNS, "best", "fair", "crashing", "gone", "new"):
            chain.register(hotkey)
        chain.register(VALIDATOR, permit=True)
    (folder / "Dockerfile").write_text("FROM base\n")


def opened(folder: Path, tell: Disturb, stack: ExitStack) -> System:
    """Start all programs."""
    clock = StillClock(START_S)

    def state_of(name: str) -> tuple[Any, Any]:
        state = stack.enter_context(closing(SqlState(folder / f"{name}.db")))
        records = SqlRecords.beside(state)
        return Watched(state, (*STATE_WRITES, *STATE_READS), tell), Watched(records, RECORD_CALLS, tell)

    def observe(moment: str, hotkey: str, clip_ids: tuple[str, ...]) -> None:
        if moment == "after":
            with (folder / "runs.log").open("a") as log:
                log.write(f"{hotkey} {','.join(clip_ids)}\n")
        tell(moment, "run" if clip_ids else "start")

    chain: Any = Watched(stack.enter_context(closing(opened_chain(folder))), CHAIN_CALLS, tell)
    _, records = state_of("coordinator")
    coordinator = image_coordinator(chain, records, clock, burn_ratio=0.25)
    state, records = state_of("executor")
    board: Any = Watched(BoardOf(coordinator, EXECUTOR_HOTKEY), BOARD_CALLS, tell)
    executor = ExecutorParts(chain, state, records, clock, board, folder, ImitatedImages(observe)).service()
    handed_on: set[ImageRef] = set()
    table: Any = Watched(HandsOn(executor, handed_on), TABLE_CALLS, tell)
    state, records = state_of("validator")
    board = Watched(BoardOf(coordinator, VALIDATOR), BOARD_CALLS, tell)
    validator = ImageValidator(VALIDATOR, chain, state, records, clock, board, table)
    stack.callback(validator.service.close)
    return System(chain, clock, coordinator, board, executor, validator, handed_on, folder)


class NotOver(InfrastructureFault):
    """The system did not come to its end within the number of ticks."""


def serve(folder: Path, tell: Disturb) -> None:
    """Run the system until both rounds are published and paid.

    Raises:
        InfrastructureFault: it does not end, or the start failed.
    """
    with ExitStack() as stack:
        system = opened(folder, tell, stack)
        for block, images in PLANS:
            if _is_paid(system, block):
                continue
            # Times depend on the block alone, so that a restarted process writes the same ones.
            system.clock.jump(START_S + BLOCK_S * (block - 1) - system.clock.now())
            if not _has(system, block):
                _repeat(lambda: all(_submit(system, name, block) for name in images))  # noqa: B023
                _repeat(lambda: _taken(system, block))  # noqa: B023
                _repeat(lambda: _published(system, block))  # noqa: B023
            _repeat(lambda: _paid(system, block))  # noqa: B023
        _note_results(system)


def _repeat(work: Callable[[], bool]) -> None:
    """Do the work until it is done. A fault of the outside is tried again."""
    for _ in range(MOST_TICKS):
        try:
            if work():
                return
        except InfrastructureFault:
            continue
    raise NotOver("The system does not come to an end")


def _submit(system: System, hotkey: str, block: int) -> bool:
    system.coordinator.tick()
    BoardOf(system.coordinator, hotkey).submit(image(hotkey, block))
    return True


def _advance_to(system: System, block: int) -> None:
    head = system.chain.head().number
    if head < block:
        system.chain.advance(block - head)
    system.coordinator.tick()


def _taken(system: System, block: int) -> bool:
    """Make the seed's block, and let the validator hand on the submissions."""
    _advance_to(system, block)
    _tick(system.validator)
    return {image(name, block) for name in dict(PLANS)[block]} <= system.handed_on


def _tick(validator: ImageValidator) -> None:
    validator.system._updates._retry_block = validator.system._readings._retry_block = 0
    validator.tick()


def _published(system: System, block: int) -> bool:
    system.executor._retry.succeeded()
    system.coordinator.tick()
    system.executor.tick()
    return _has(system, block)


def _has(system: System, block: int) -> bool:
    return system.executor.results(f"images-{block}") is not None


def _paid(system: System, block: int) -> bool:
    """In the next period, let the validator read the results and set its weights."""
    _advance_to(system, block + UNPAID_BLOCKS)
    _tick(system.validator)
    _note_results(system)
    return _is_paid(system, block)


def _note_results(system: System) -> None:
    """Read the results of all rounds, as anybody can, and keep their digests."""
    for block, _ in PLANS:
        if (envelope := system.executor.results(f"images-{block}")) is not None:
            with (system.folder / "seen.log").open("a") as log:
                log.write(f"images-{block} {hashlib.sha256(envelope).hexdigest()}\n")


def _is_paid(system: System, block: int) -> bool:
    """Whether the weights that follow from the round are on the chain."""
    if not _has(system, block):
        return False
    envelope = system.executor.results(f"images-{block}")
    best = open_results(envelope, valid_signature=is_simulated_signature, ruleset=ORGANISER.ruleset).entries[0]
    uids = {neuron.hotkey: neuron.uid for neuron in system.chain.neurons()}
    later = any(system.executor.results(f"images-{other}") for other, _ in PLANS if other > block)
    weights = system.chain.weights(VALIDATOR)
    return later or weights.get(uids[best.row.submission.hotkey], 0.0) > 0


def result_of(folder: Path) -> dict[str, Any]:
    """Everything that must be the same, however the system was disturbed."""
    with closing(sqlite3.connect(folder / "executor.db")) as db:
        envelopes = db.execute(
            "SELECT round_id, facts FROM steps WHERE step = 'published' ORDER BY round_id"
        ).fetchall()
    with closing(SqlState(folder / "coordinator.db")) as state:
        submitted = [row.facts for row in SqlRecords.beside(state).read(SUBMISSIONS)]
    with closing(SqlState(folder / "executor.db")) as state:
        store = ExecutorStore(state, SqlRecords.beside(state), VirtualClock(START_S))
        standing = {hotkey: str(entry.image) for hotkey, entry in sorted(store.standing().items())}
        shown = [
            [row.submission.hotkey, row.metrics.error, row.metrics.final_score] for row in store.table({}).rows
        ]
    with closing(opened_chain(folder)) as chain:
        weights = chain.weights(VALIDATOR)
    seen = sorted(set((folder / "seen.log").read_text().splitlines()))
    return json.loads(  # type: ignore[no-any-return]
        json.dumps(
            {
                "signed results": envelopes,
                "results as they were read": seen,
                "submissions at the coordinator": submitted,
                "submissions at the executor": standing,
                "table": shown,
                "weights": weights,
            }
        )
    )


def scoring_runs(folder: Path) -> Counter[str]:
    """The number of times that each image was run on each part of the set, without the warm-up runs."""
    warmups = {",".join(clips) for clips in DEALT.warmups}
    return Counter(
        line for line in (folder / "runs.log").read_text().splitlines() if line.split()[1] not in warmups
    )


DISTURBANCES = (
    Disturbance("killed at a write to a state", STATE_WRITES, BOTH, killed),
    Disturbance("killed at a write of a record", ("append",), BOTH, killed),
    Disturbance("killed at a run of an image", RUNS, BOTH, killed),
    Disturbance("killed at a call of the chain", CHAIN_CALLS, BOTH, killed),
    Disturbance("killed at a call of the coordinator", BOARD_CALLS, BOTH, killed),
    Disturbance("killed at a call of the executor", TABLE_CALLS, BOTH, killed),
    Disturbance("database fails", (*STATE_WRITES, *STATE_READS, *RECORD_CALLS), BOTH, raising(StateUnavailable)),
    Disturbance("database gone for long", STATE_WRITES, ("before",), raising(StateUnavailable), LASTING),
    Disturbance("chain drops the connection", CHAIN_CALLS, BOTH, raising(ChainUnavailable)),
    Disturbance("coordinator away", BOARD_CALLS, BOTH, raising(PeerUnavailable), 3),
    Disturbance("executor away", TABLE_CALLS, BOTH, raising(PeerUnavailable), 3),
    Disturbance("engine fails in a run", RUNS, BOTH, raising(EngineUnavailable)),
    Disturbance("engine gone for long", ("start",), ("before",), raising(EngineUnavailable), LASTING),
)


def differences(folder: Path, peace: Path) -> str:
    """Let a new process run to the end. Returns how the result differs, or an empty text."""
    status = forked(lambda: serve(folder, lambda _moment, _method: None))
    if status != 0:
        return f"the restarted process ended with status {status}"
    result, expected = result_of(folder), result_of(peace)
    wrong = [name for name in expected if result[name] != expected[name]]
    made, needed = scoring_runs(folder), scoring_runs(peace)
    if needed - made or (made - needed).total() > 1:
        wrong.append(f"{(made - needed).total()} runs were repeated, and {(needed - made).total()} are missing")
    return ", ".join(wrong)


def main() -> int:
    return planted(__doc__, stage, serve, DISTURBANCES, lambda folder, peace, _: differences(folder, peace))


if __name__ == "__main__":
    sys.exit(main())
