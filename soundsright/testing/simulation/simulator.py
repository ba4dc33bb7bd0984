"""Simulates whole rounds in a made-up subnet: the real round service, on fakes that fail, checked by invariants.

Several validators, each with its own state, run every round. The first one is undisturbed. The others meet faults:
a state that is locked or full, a chain that drops the connection before or after a write, a hub or an engine that
is down, a clock that jumps, and death at any recorded step, after which they start again from their records.
All validators must reach the same result. The same seed gives the same miners, scores, blocks and faulty calls.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from soundsright.core.competition import PUBLISHED
from soundsright.core.competition_rules import CompetitionRules, Measures
from soundsright.core.errors import (
    ChainUnavailable,
    EngineUnavailable,
    HubUnavailable,
    InfrastructureFault,
    StateUnavailable,
)
from soundsright.core.ports import Chain, ModelHub, Sandbox, Snapshot, StateStore
from soundsright.core.rulesets import SOUNDSRIGHT_V5, Ruleset
from soundsright.core.schedule import Round
from soundsright.core.stopping import Stopping
from soundsright.services.rounds import (
    Cancelled,
    ProgramFault,
    RoundContext,
    RoundOutcome,
    RoundPlan,
    RoundService,
    draw_to_disk,
    evidence_of_files,
    score_files,
)
from soundsright.testing import FakeSandbox, Faults, Faulty, InlinePool, Killed, VirtualClock
from soundsright.testing.simulation.invariants import Violation, Witnessed, WitnessState, check_round
from soundsright.testing.simulation.world import (
    BURN_HOTKEY,
    World,
    draw_fake_clips,
    score_fake_clip,
    see_fake_clip,
    validator_hotkey,
)

COMPETITIONS = (PUBLISHED[0], PUBLISHED[3])
METRICS = ("PESQ_WB", "ESTOI", "SI_SDR")
FLOORS = {"PESQ_WB": 0.0, "ESTOI": -1.0, "SI_SDR": -1.0}
CLIPS = 8
CLIPS_TO_STOP_EARLY = 20
VALIDATORS = 3
FAULT_RATES = (0.0, 0.005, 0.02)
MAX_STARTS = 60

FAKE_JOBS: Mapping[Callable[..., Any], Callable[..., Any]] = {
    draw_to_disk: draw_fake_clips,
    score_files: score_fake_clip,
    evidence_of_files: see_fake_clip,
}

Errors = Mapping[str, Mapping[str, Callable[[], BaseException]]]


@dataclass
class Simulated:
    """The result of a simulation. `digest` covers weights and standings; the same seed gives the same digest.

    Equality ignores `faults`, which vary a little: when a call fails, the other threads of a round may or may not
    reach their next faulty call before they stop.
    """

    rounds: int = 0
    runs: int = 0
    entries: int = 0
    refused: int = 0
    stopped: int = 0
    restarts: int = 0
    faults: dict[str, int] = field(default_factory=dict, compare=False)
    checks: int = 0
    digest: str = ""


@dataclass
class Validator:
    """One validator: its faults, and its state and sandbox, which survive when it is killed."""

    number: int
    state: WitnessState
    sandbox: FakeSandbox
    clock: VirtualClock
    seed: int
    rate: float

    @property
    def hotkey(self) -> str:
        return validator_hotkey(self.number)

    def witnessed(self, outcome: RoundOutcome, clips: int) -> Witnessed:
        return Witnessed(self.hotkey, outcome, self.state, self.sandbox, clips, undisturbed=self.rate == 0)


def simulate(
    seed: int,
    *,
    rounds: int,
    ruleset: Ruleset = SOUNDSRIGHT_V5,
    stopping: Stopping = Stopping.FULL,
    chain_view: Callable[[Chain], Chain] = lambda chain: chain,
) -> Simulated:
    """Simulate `rounds` rounds and check the invariants after each.

    With `stopping` sequential, entries that can no longer win stop early, and the sets are larger.

    `chain_view` changes how validators see the chain. Use it to plant a mistake that the invariants must find.

    Raises:
        Violation: an invariant does not hold.
    """
    result = Simulated()
    digest = hashlib.sha256()
    with _folder() as folder:
        world = World.of_seed(seed, competitions=COMPETITIONS, validators=VALIDATORS, folder=folder / "model")
        validators = [
            Validator(
                number,
                WitnessState(),
                FakeSandbox(world.hub.behaviour),
                VirtualClock(),
                seed,
                FAULT_RATES[number % len(FAULT_RATES)],
            )
            for number in range(VALIDATORS)
        ]
        for number in range(rounds):
            where = f"seed {seed}, round {number}"
            round_ = world.play_until_close(number, COMPETITIONS)
            setting = _RoundSetting(world, round_, ruleset, stopping, folder, chain_view)
            outcomes: dict[int, RoundOutcome] = {}
            for position in world.rng.permutation(VALIDATORS):
                validator = validators[int(position)]
                outcomes[validator.number] = _outcome_of(validator, setting, result, where)
                world.chain.advance(int(world.rng.integers(0, 4)))
            witnessed = [v.witnessed(outcomes[v.number], setting.clips) for v in validators]
            result.checks += check_round(world, witnessed, round_, where)
            _count(outcomes[0], result)
            digest.update(_summary(outcomes[0]).encode())
            for validator in validators:
                validator.sandbox.enhanced.clear()
            result.rounds += 1
    result.digest = digest.hexdigest()
    return result


@dataclass(frozen=True)
class _RoundSetting:
    """The parts of a round that all its validators share."""

    world: World
    round: Round
    ruleset: Ruleset
    stopping: Stopping
    folder: Path
    chain_view: Callable[[Chain], Chain]

    @property
    def clips(self) -> int:
        return CLIPS if self.stopping is Stopping.FULL else CLIPS_TO_STOP_EARLY

    @property
    def rules(self) -> CompetitionRules:
        return CompetitionRules(tuple(replace(c, stopping=self.stopping) for c in COMPETITIONS), self.ruleset)


def _outcome_of(validator: Validator, setting: _RoundSetting, result: Simulated, where: str) -> RoundOutcome:
    """The outcome of one validator's round. The validator is started again whenever it is killed."""
    world, round_ = setting.world, setting.round
    own_folder = setting.folder / validator.hotkey
    for start in range(MAX_STARTS):
        # Faults become rarer with every start, as if an operator repaired something.
        faults = Faults((validator.seed, validator.number, round_.id, start), validator.rate * 0.8**start)
        plan = RoundPlan(
            round_,
            setting.rules,
            Measures(setting.clips, METRICS, FLOORS),
            batch_audio_s=3.0,
            burn_uid=world.chain.register(BURN_HOTKEY),
            pay_on_public_corpus=True,  # The clips are drawn from numbers, not from recordings.
        )
        context = RoundContext(
            plan,
            chain=setting.chain_view(_faulty_chain(world, faults)),
            hub=cast(ModelHub, Faulty(world.hub, faults, {"fetch": {"hub": _hub_down, "death": Killed}})),
            sandbox=cast(Sandbox, Faulty(validator.sandbox, faults, {"run": {"engine": _engine_down}})),
            state=_faulty_state(validator.state, faults),
            pool=InlinePool(FAKE_JOBS),
            clock=validator.clock,
            folder=own_folder,
            validator=validator.hotkey,
            slots=1,
            workers=1,
        )
        try:
            outcome = RoundService(context, world.reveals).run()
        except ProgramFault:
            raise  # Faults around the program must not cause errors in it.
        except (Killed, InfrastructureFault, Cancelled):
            result.restarts += 1
            world.chain.advance()
            validator.clock.jump(3_600.0 if start % 2 else -1_800.0)
            continue
        finally:
            for kind, count in faults.struck.items():
                result.faults[kind] = result.faults.get(kind, 0) + count
        result.runs += 1
        shutil.rmtree(own_folder)
        return outcome
    raise Violation("every round ends", f"{where}, {validator.hotkey}", f"not after {MAX_STARTS} starts")


class BackwardsChain:
    """A planted mistake: a chain on which later commitments look earlier, so that copies win over originals."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def snapshot(self, number: int | None = None) -> Snapshot:
        snapshot = self._chain.snapshot(number)
        last = max((c.block for c in snapshot.commitments), default=0)
        return replace(snapshot, commitments=tuple(replace(c, block=last - c.block) for c in snapshot.commitments))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chain, name)


def _count(outcome: RoundOutcome, result: Simulated) -> None:
    result.entries += sum(len(evaluations) for evaluations in outcome.evaluations.values())
    result.stopped += sum(len(board.stops.stopped) for board in outcome.leaderboards if board.stops is not None)
    result.refused += len(outcome.refusals)


def _summary(outcome: RoundOutcome) -> str:
    shares = [
        (board.competition.id, s.submission.hotkey, s.metric, s.estimate.mean, s.share)
        for board in outcome.leaderboards
        for s in board.standings
    ]
    return json.dumps([shares, sorted(outcome.weights.by_uid.items())])


def _faulty_chain(world: World, faults: Faults) -> Chain:
    reads: Errors = {name: {"chain": _chain_down} for name in ("block_hash", "snapshot", "finalized")}
    return cast(
        Chain, Faulty(world.chain, faults, {**reads, "set_weights": {"chain": _chain_down, "death": Killed}})
    )


def _faulty_state(state: WitnessState, faults: Faults) -> StateStore:
    reads: Errors = {
        name: {"state": _state_down} for name in ("begin_round", "step_done", "clip_results", "rounds")
    }
    writes: Errors = {name: {"state": _state_down, "death": Killed} for name in ("finish_step", "add_clip_results")}
    return cast(StateStore, Faulty(state, faults, {**reads, **writes}))


def _chain_down() -> ChainUnavailable:
    return ChainUnavailable("The connection dropped")


def _state_down() -> StateUnavailable:
    return StateUnavailable("The database is locked")


def _hub_down() -> HubUnavailable:
    return HubUnavailable("The hub answered 503")


def _engine_down() -> EngineUnavailable:
    return EngineUnavailable("The engine is restarting")


@contextmanager
def _folder() -> Iterator[Path]:
    """A temporary folder, in memory if the machine has `/dev/shm`."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="soundsright-sim-", dir=memory if memory.is_dir() else None) as name:
        yield Path(name)
