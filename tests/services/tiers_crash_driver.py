"""Disturbs a verifier at each of its fault points, lets another process go on, and compares the end of both.

    python tests/services/tiers_crash_driver.py [--every N]

Two intervals are asked and closed: honest provers, one with other threads, one with another model, one that is
silent. Compared are the attempts with their rewards, the counts of both intervals, standings, moves, failures and
banks. The seeds are fixed, because they are random otherwise.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from soundsright.adapters.state.counters import SqlCounters
from soundsright.adapters.state.records import SqlRecords
from soundsright.adapters.state.store import SqlState
from soundsright.core.competition import PUBLISHED
from soundsright.core.errors import EngineUnavailable, HubUnavailable, InfrastructureFault, StateUnavailable
from soundsright.core.ports import Neuron, SandboxLimits
from soundsright.core.sources import ModelRef
from soundsright.core.submission import FetchedModel, Submission
from soundsright.core.tiers_rules import tiers_rules
from soundsright.services.http import Health
from soundsright.services.rounds import StandingEntry, draw_to_disk, steps
from soundsright.services.verifier import SCOPE, Verifier, VerifierContext, recorded_steps, round_of
from soundsright.services.verifier.verifier_steps import SEED, SeedStep
from soundsright.testing import FakeHub, FakeRepository, InlinePool, VirtualClock
from soundsright.testing.disturbing import BOTH, Disturb, Disturbance, Watched, forked, killed, raising
from soundsright.testing.planting import planted
from soundsright.testing.served import (
    Manner,
    SmallModels,
    SmallProver,
    SmallProvers,
    draw_short_clips,
    model_folder,
    smoothing,
)

INTERVAL = 100
INTERVALS = (1, 2)
RULES = tiers_rules(
    interval_blocks=INTERVAL,
    bank_clips=3,
    repeat_clips=1,
    min_attempts=3,
    sample_size=3,
    inference_share=0.3,
    table={"Bronze": {"rate": 0.1}, "Silver": {"rate": 0.2, "min_successes": 3}, "Gold": {"min_successes": 6}},
)
COMPETITION = PUBLISHED[0]
MANNERS = {
    "alice": Manner.HONEST,
    "bob": Manner.OTHER_THREADS,
    "carol": Manner.BETTER,
    "dora": Manner.DRIP,
}
COMMITTED = smoothing(3)
STATE_CALLS = ("begin_round", "finish_step", "step_done", "steps", "rounds")
WRITES = ("begin_round", "finish_step", "append", "add", "close_interval", "forget_intervals")
TABLE_CALLS = ("append", "latest", "add", "read_all", "close_interval", "forget_intervals")
ASKS = ("challenge", "inference")
HUB_CALLS = ("fetch", "cached")
MOST_WORKS = 40
LASTING = 10_000


class Models(SmallModels):
    """A sandbox that tells each start."""

    def __init__(self, tell: Disturb) -> None:
        super().__init__({f"content-{hotkey}": COMMITTED for hotkey in MANNERS})
        self._tell = tell

    @contextmanager
    def run(self, model: FetchedModel, *, limits: SandboxLimits) -> Iterator[Any]:
        self._tell("before", "run")
        with super().run(model, limits=limits) as running:
            yield running
        self._tell("after", "run")


def stage(folder: Path) -> None:
    """Fix the seeds of the banks."""
    with closing(SqlState(folder / "state.db")) as state:
        own = state.scoped(SCOPE)
        for interval in range(1, 5):
            own.begin_round(round_of(interval), {"interval": interval})
            steps.write(own, round_of(interval), SEED, SeedStep(f"{interval:064x}"))


def entries(hub: FakeHub) -> list[StandingEntry]:
    found = []
    for uid, hotkey in enumerate(MANNERS):
        source = ModelRef(hotkey, "gate", f"{uid:040x}")
        hub.repositories[source] = FakeRepository(f"content-{hotkey}")
        found.append(StandingEntry(Submission(uid, hotkey, COMPETITION, source, 1), f"content-{hotkey}"))
    return found


def serve(folder: Path, tell: Disturb) -> None:
    """Run the verifier until both intervals are closed.

    Raises:
        InfrastructureFault: it does not come to an end, or the start failed.
    """
    with ExitStack() as stack:
        state = stack.enter_context(closing(SqlState(folder / "state.db"))).scoped(SCOPE)
        records = stack.enter_context(closing(SqlRecords(folder / "state.db")))
        counters = stack.enter_context(closing(SqlCounters(folder / "state.db")))
        hub = FakeHub(model_folder(folder / "model"))
        standing = entries(hub)
        provers = SmallProvers({hotkey: SmallProver(COMMITTED, manner) for hotkey, manner in MANNERS.items()})
        clock = VirtualClock(1_000.0)
        ports: dict[str, Any] = {
            "provers": Watched(provers, ASKS, tell),
            "hub": Watched(hub, HUB_CALLS, tell),
            "sandbox": Models(tell),
            "pool": InlinePool({draw_to_disk: draw_short_clips}),
            "state": Watched(state, STATE_CALLS, tell),
            "records": Watched(records, TABLE_CALLS, tell),
            "counters": Watched(counters, TABLE_CALLS, tell),
        }
        context = VerifierContext(
            rules=RULES,
            hotkey="verifier",
            entries=lambda: standing,
            clock=clock,
            folder=folder / "tiers",
            health=Health(clock),
            kept_failures=1,
            **ports,
        )
        verifier = Verifier(context)
        neurons = [Neuron(uid, hotkey, 0, endpoint=f"h{uid}:1") for uid, hotkey in enumerate(MANNERS)]
        for number in INTERVALS:
            if records.latest("tiers.intervals", str(number)) is None:
                _until_done(verifier, clock, neurons, number * INTERVAL + 1, lambda n=number: _is_asked(state, n))
        _until_done(
            verifier,
            clock,
            neurons,
            (INTERVALS[-1] + 1) * INTERVAL,
            lambda: "closed" in state.steps(round_of(INTERVALS[-1])),
        )
        verifier.settle(30.0)


def _is_asked(state: Any, number: int) -> bool:
    asked = [a for step in recorded_steps(state, number).values() for a in step.attempts]
    return len(asked) == RULES.bank_clips * len(MANNERS)


def _until_done(verifier: Verifier, clock: VirtualClock, neurons: Any, block: int, is_done: Any) -> None:
    for _ in range(MOST_WORKS):
        clock.jump(400.0)  # Longer than every pause after a fault.
        try:
            verifier.work(block, neurons)
        except InfrastructureFault:
            continue
        finally:
            verifier.settle(30.0)
        if is_done():
            return
    raise InfrastructureFault("The verifier does not come to an end")


def result_of(folder: Path) -> dict[str, Any]:
    """Everything that must be the same, however the verifier was disturbed."""
    with ExitStack() as stack:
        state = stack.enter_context(closing(SqlState(folder / "state.db"))).scoped(SCOPE)
        records = stack.enter_context(closing(SqlRecords(folder / "state.db")))
        counters = stack.enter_context(closing(SqlCounters(folder / "state.db")))
        attempts: dict[str, list[dict[str, Any]]] = {}
        for number in INTERVALS:
            for step in recorded_steps(state, number).values():
                for each in step.attempts:
                    key = f"{number}:{each.attempt.hotkey}:{each.attempt.number}"
                    attempts.setdefault(key, []).append({**each.facts(), "at_s": 0})
        return {
            "attempts": attempts,
            "counts": {number: counters.interval(f"tiers:{number}") for number in INTERVALS},
            **{
                stream: {r.key: r.facts for r in records.read(f"tiers.{stream}", limit=1_000) if r.key != "3"}
                for stream in ("intervals", "moves", "failures", "banks")
            },
        }


DISTURBANCES = (
    Disturbance("killed at a write", WRITES, BOTH, killed),
    Disturbance("killed at a question", ASKS, BOTH, killed),
    Disturbance("killed at a run of a model", ("run",), BOTH, killed),
    Disturbance("killed at a call of the hub", HUB_CALLS, BOTH, killed),
    Disturbance("database fails", (*STATE_CALLS, *TABLE_CALLS), BOTH, raising(StateUnavailable)),
    Disturbance("counters gone for long", ("add",), ("before",), raising(StateUnavailable), LASTING),
    Disturbance("machine cannot ask", ASKS, BOTH, raising(InfrastructureFault)),
    Disturbance("hub away", HUB_CALLS, ("before",), raising(HubUnavailable)),
    Disturbance("engine fails in a run", ("run",), BOTH, raising(EngineUnavailable)),
    Disturbance("engine gone for long", ("run",), ("before",), raising(EngineUnavailable), LASTING),
)


def differences(folder: Path, peace: Path, _disturbance: Disturbance) -> str:
    """Let a new process run to the end. Returns how the result differs, or an empty text."""
    status = forked(lambda: serve(folder, lambda _moment, _method: None))
    if status != 0:
        return f"the restarted process ended with status {status}"
    result, expected = result_of(folder), result_of(peace)
    return ", ".join(name for name in expected if result[name] != expected[name])


def main() -> int:
    return planted(__doc__ or "", stage, serve, DISTURBANCES, differences)


if __name__ == "__main__":
    sys.exit(main())
