"""A verifier with small models and provers in memory. Blocks are counted, times are in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from soundsright.core.competition import PUBLISHED
from soundsright.core.ports import Neuron, Records
from soundsright.core.sources import ModelRef
from soundsright.core.submission import Submission
from soundsright.core.tiers import Standing
from soundsright.core.tiers_rules import TiersRules, tiers_rules
from soundsright.services.http import Health
from soundsright.services.rounds import StandingEntry, draw_to_disk, steps
from soundsright.services.verifier import SCOPE, Verifier, VerifierContext, last_ladder, round_of
from soundsright.services.verifier.verifier_steps import SEED, SeedStep
from soundsright.testing import (
    Behaviour,
    FakeHub,
    FakeRepository,
    InlinePool,
    MemoryCounters,
    MemoryRecords,
    MemoryState,
    VirtualClock,
)
from soundsright.testing.served import (
    Manner,
    SmallModels,
    SmallProver,
    SmallProvers,
    draw_short_clips,
    model_folder,
    smoothing,
)

COMPETITION = PUBLISHED[0]
INTERVAL = 100
RULES = tiers_rules(
    interval_blocks=INTERVAL,
    inference_share=0.25,
    table={"Silver": {"min_successes": 20}, "Gold": {"min_successes": 40}},
)
COMMITTED = smoothing(3)


class World:
    """Everything around a verifier. `restart` makes a new one over the same state, records and counters."""

    def __init__(
        self,
        folder: Path,
        manners: dict[str, Manner],
        *,
        rules: TiersRules = RULES,
        counters: Any = None,
        state: Any = None,
        records: Any = None,
        scope: str = SCOPE,
    ) -> None:
        self.folder, self.rules, self.scope = folder, rules, scope
        self.state = MemoryState() if state is None else state
        self.records: Records = MemoryRecords() if records is None else records
        self.counters: Any = MemoryCounters() if counters is None else counters
        self.clock = VirtualClock(1_000.0)
        self.health = Health(self.clock)
        self.hub = FakeHub(model_folder(folder / "model"))
        self.provers = SmallProvers({hotkey: SmallProver(COMMITTED, m) for hotkey, m in manners.items()})
        self.sandbox = SmallModels({f"content-{hotkey}": COMMITTED for hotkey in manners})
        self.neurons = [Neuron(uid, hotkey, 0, endpoint=f"h{uid}:1") for uid, hotkey in enumerate(manners)]
        self.entries: list[StandingEntry] | None = [self.entry(n.uid, n.hotkey) for n in self.neurons]
        self.announced: list[str] = []
        self._fix_seeds()
        self.verifier = self.restart()

    def entry(self, uid: int, hotkey: str) -> StandingEntry:
        source = ModelRef(hotkey, "gate", f"{uid:040x}")
        self.hub.repositories[source] = FakeRepository(f"content-{hotkey}", behaviour=Behaviour())
        return StandingEntry(Submission(uid, hotkey, COMPETITION, source, 1), f"content-{hotkey}")

    def _fix_seeds(self) -> None:
        """Fix the seeds of the banks, which are random otherwise. So the same questions are inference each time."""
        own = self.state.scoped(self.scope)
        for interval in range(1, 13):
            own.begin_round(round_of(interval), {"interval": interval})
            steps.write(own, round_of(interval), SEED, SeedStep(f"{interval:064x}"))

    def restart(self) -> Verifier:
        self.verifier = Verifier(self.context())
        return self.verifier

    def context(self) -> VerifierContext:
        return VerifierContext(
            self.rules,
            "verifier",
            lambda: self.entries,
            self.provers,
            self.hub,
            self.sandbox,
            InlinePool({draw_to_disk: draw_short_clips}),
            self.clock,
            self.state.scoped(self.scope),
            self.records,
            self.counters,
            self.folder / "tiers",
            self.health,
            announce=self.announced.append,
        )

    def work(self, block: int, *, times: int = 1) -> None:
        """Let the verifier work at a block, each time one step later, with all banks that are wanted."""
        for _ in range(times):
            self.clock.jump(self.rules.step_s)
            self.verifier.work(block, self.neurons)
            self.verifier.settle(10.0)

    def run_interval(self, number: int) -> None:
        """Open an interval, and work until every clip is used."""
        wanted = len(self.neurons) + 1
        first = number * INTERVAL + 1
        self.work(first, times=wanted + self.rules.bank_clips * -(-wanted // self.rules.sample_size))

    def close_interval(self, number: int) -> None:
        """Come to the first block after an interval."""
        self.work((number + 1) * INTERVAL)

    def standings(self) -> dict[str, Standing]:
        return last_ladder(self.records).standings

    def counts(self, hotkey: str) -> dict[str, int]:
        return dict(self.counters.read(f"stats:{hotkey}"))

    def failures(self) -> Sequence[Any]:
        return [record.facts for record in self.records.read("tiers.failures", limit=1_000)]
