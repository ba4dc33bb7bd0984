"""The conditions that every simulated round must meet, even if something failed in it.

Each check returns the problem, or an empty text if there is none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from soundsright.core.errors import SoundsRightError
from soundsright.core.ports import TitleRow
from soundsright.core.results import ClipResult
from soundsright.core.schedule import Round
from soundsright.services.rounds import RoundOutcome, steps
from soundsright.testing import FakeSandbox, MemoryState
from soundsright.testing.simulation.world import BURN_HOTKEY, World, is_stuck

INVARIANTS = (
    "weights are finite and sum to one, or are empty",
    "no refused entry is paid",
    "only the earliest of several copies stays",
    "every clip of every entry is counted",
    "an entry that failed on every clip is paid nothing",
    "only entries that cannot be run are left out unscored",
    "the seed is the hash of a final block",
    "validators agree on standings, decisions and weights",
    "validators' states have the same facts",
    "no step took effect twice",
    "an undisturbed validator requests each clip once",
)


class Violation(SoundsRightError):
    """An invariant that does not hold: which one, in which round, and the problem."""

    def __init__(self, invariant: str, where: str, problem: str) -> None:
        super().__init__(f"{where}: this invariant does not hold: {invariant}. {problem}")
        self.invariant = invariant


class WitnessState(MemoryState):
    """A state in memory that notices if something is recorded again with other values."""

    def __init__(self) -> None:
        super().__init__()
        self.conflicts: list[str] = []

    def finish_step(
        self, round_id: str, step: str, facts: Mapping[str, Any], *, titles: Iterable[TitleRow] = ()
    ) -> None:
        before = self.step_done(round_id, step)
        if before is not None and _reproducible(round_id, step, before) != _reproducible(round_id, step, facts):
            self.conflicts.append(f"{step} was {before}, then {dict(facts)}")
        super().finish_step(round_id, step, facts, titles=titles)

    def add_clip_results(self, round_id: str, entry_id: str, results: Iterable[ClipResult]) -> None:
        all_results = tuple(results)
        before = {result.clip_id: result for result in self.clip_results(round_id, entry_id)}
        self.conflicts += [f"{entry_id} {r.clip_id} changed" for r in all_results if before.get(r.clip_id, r) != r]
        super().add_clip_results(round_id, entry_id, all_results)


@dataclass(frozen=True)
class Witnessed:
    """One validator's part in a round: its outcome, its state and its sandbox.

    `clips` is the size of a set. `undisturbed` means that nothing failed around the validator.
    """

    hotkey: str
    outcome: RoundOutcome
    state: WitnessState
    sandbox: FakeSandbox
    clips: int
    undisturbed: bool


def check_round(world: World, validators: list[Witnessed], round_: Round, where: str) -> int:
    """Check every invariant for every validator; the first one is the reference. Returns the number of checks.

    Raises:
        Violation: an invariant does not hold; the first one is named.
    """
    reference = validators[0]
    for validator in validators:
        outcome = validator.outcome
        problems = (
            _weights_fault(outcome),
            _refused_and_paid(world, outcome),
            _copies_left(world, outcome),
            _uncounted(outcome, validator.clips),
            _dead_and_paid(outcome),
            _wrongly_set_aside(world, outcome),
            _wrong_seed(world, outcome, round_),
            ""
            if _agreed(outcome) == _agreed(reference.outcome)
            else f"the result differs from that of {reference.hotkey}",
            _state_difference(reference.state, validator.state, round_.id),
            "; ".join(validator.state.conflicts[:1]) or _weights_changed(world, validator.hotkey, round_),
            _requested_twice(validator.sandbox) if validator.undisturbed else "",
        )
        for invariant, problem in zip(INVARIANTS, problems, strict=True):
            if problem:
                raise Violation(invariant, f"{where}, {validator.hotkey}", problem)
    return len(validators) * len(INVARIANTS)


def _weights_fault(outcome: RoundOutcome) -> str:
    values = list(outcome.weights.by_uid.values())
    total = math.fsum(values)
    is_valid = all(math.isfinite(v) and v >= 0 for v in values) and (not values or abs(total - 1) < 1e-9)
    return "" if is_valid else f"{outcome.weights.by_uid}"


def _refused_and_paid(world: World, outcome: RoundOutcome) -> str:
    burn_uid = world.chain.register(BURN_HOTKEY)
    paid = {uid for uid, weight in outcome.weights.by_uid.items() if weight > 0 and uid != burn_uid}
    return ", ".join(f"uid {r.uid} ({r.code})" for r in outcome.refusals if r.uid in paid)


def _copies_left(world: World, outcome: RoundOutcome) -> str:
    """Two entries that share a mark, or an entry that was refused although it had the mark first."""
    first_holder: dict[tuple[str, str], str] = {}
    for model in outcome.fetched:
        entry = model.submission
        for mark in (str(entry.source), model.content_hash, *model.checkpoint_hashes):
            holder = first_holder.setdefault((entry.competition.id, mark), entry.hotkey)
            if holder != entry.hotkey:
                return f"{entry.hotkey} and {holder} share {mark}"
    for refusal in outcome.refusals:
        original = refusal.evidence.get("original_hotkey")
        if original is not None and world.entered_at(refusal.hotkey, original) < world.entered_at(
            original, refusal.hotkey
        ):
            return f"{refusal.hotkey} was refused as a copy of {original}, which is later"
    return ""


def _uncounted(outcome: RoundOutcome, clips: int) -> str:
    """A mean that does not have every clip of the set, or every clip up to the look at which its entry stopped."""
    for board in outcome.leaderboards:
        stops = board.stops
        expected = clips if stops is None else stops.clips
        early = {} if stops is None else {stop.hotkey: stop.clips for stop in stops.stopped}
        if stops is None or not stops.without:
            for evaluation in outcome.evaluations[board.competition.id]:
                if len(evaluation.clips) != early.get(evaluation.submission.hotkey, expected):
                    return f"{evaluation.submission.hotkey} has {len(evaluation.clips)} clips"
        for s in board.standings:
            if s.estimate.n not in (early.get(s.submission.hotkey, expected), 0):
                return f"a mean over {s.estimate.n} clips"
    return ""


def _dead_and_paid(outcome: RoundOutcome) -> str:
    dead = {e.submission.hotkey for es in outcome.evaluations.values() for e in es if e.failed == len(e.clips)}
    return ", ".join(
        f"{s.submission.hotkey} {s.metric}"
        for board in outcome.leaderboards
        for s in board.standings
        if s.submission.hotkey in dead and s.share > 0
    )


def _wrongly_set_aside(world: World, outcome: RoundOutcome) -> str:
    """Entries that were left out although their model can be fetched and run, or that were left out and ranked."""
    left_out = {refusal.hotkey for refusal in outcome.refusals if refusal.code == "not_evaluated"}
    ranked = {s.submission.hotkey for board in outcome.leaderboards for s in board.standings if s.estimate.n}
    wrong = [hotkey for hotkey in left_out if not is_stuck(world.hub.repositories[world.reveals[hotkey].model])]
    return ", ".join(sorted({*wrong, *(left_out & ranked)}))


def _wrong_seed(world: World, outcome: RoundOutcome, round_: Round) -> str:
    final = world.chain.finalized().number >= round_.seed_block
    return "" if final and outcome.block_hash == world.chain.block_hash(round_.seed_block) else outcome.block_hash


def _agreed(outcome: RoundOutcome) -> object:
    return outcome.leaderboards, outcome.weights, outcome.refusals


def _state_difference(reference: WitnessState, state: WitnessState, round_id: str) -> str:
    for name, view in (("steps", _reproducible_steps), ("clip results", _clip_rows)):
        if view(reference, round_id) != view(state, round_id):
            return f"the {name} differ from those of validator-0"
    return ""


def _reproducible_steps(state: WitnessState, round_id: str) -> dict[str, object]:
    return {step: _reproducible(round_id, step, facts) for step, facts in state.steps(round_id).items()}


def _reproducible(round_id: str, step: str, facts: Mapping[str, Any]) -> steps.StepRecord:
    """A step's record without the values that a restart may change, such as the time that it took."""
    # Through JSON, as in a database, so that new and stored facts compare equal.
    return steps.record_of(round_id, step, json.loads(json.dumps(facts))).reproducible()


def _clip_rows(state: WitnessState, round_id: str) -> dict[str, tuple[ClipResult, ...]]:
    return {entry: state.clip_results(round_id, entry) for entry in state.entries_with_results(round_id)}


def _weights_changed(world: World, hotkey: str, round_: Round) -> str:
    """A problem if two writes of weights differ. A dropped connection may repeat a write of the same weights."""
    landed = [w for setter, block, w in world.chain.landed if setter == hotkey and block > round_.seed_block]
    return "" if all(w == landed[0] for w in landed) else "weights were set twice, and differ"


def _requested_twice(sandbox: FakeSandbox) -> str:
    return ", ".join(f"{key}: {count}" for key, count in sandbox.enhanced.items() if count > 1)
