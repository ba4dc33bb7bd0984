"""Simulates a year of tiers in seconds: one verifier that is killed now and then, and a prover of each kind.

Moves, rewards, weights and the verification of answers are the real ones; the answers are made up. Blocks and
attempts are counted, times are in seconds. The same seed gives the same year.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from soundsright.core.errors import StateUnavailable
from soundsright.core.profiles import Profile
from soundsright.core.tiers import AttemptKind, CountName, Standing, stats_scope
from soundsright.core.tiers_rules import TIER_NAMES, TiersRules, tier_index, tiers_rules
from soundsright.ranking import (
    AttemptCounts,
    MoveReason,
    TierMove,
    after_interval,
    attempt_kind,
    base_reward,
    raised_reward,
    score_after,
    score_weights,
    speed_bonuses,
)
from soundsright.testing.faults import Killed
from soundsright.testing.simulation.invariants import Violation
from soundsright.testing.simulation.tiers_counting import COUNTING_FAULTS, MortalCounters
from soundsright.testing.simulation.tiers_world import PROVER_CLIPS, PROVER_KINDS, ProverKind, results_of_kinds
from soundsright.testing.tables import MemoryCounters

TIERS_INVARIANTS = (
    "a prover that serves its own model, always and in time, never falls, and becomes Challenger",
    "a prover that answers anything else never leaves Bronze and is paid nothing",
    "every attempt is counted exactly once, however often the verifier is killed",
    "a verifier that was killed at the close of an interval decides the same moves",
    "a prover moves by one tier or back to its peak, and never up to a tier without its minimum",
    "after downtime, one good interval brings a prover back to its peak",
    "weights sum to 1, or nobody is paid",
)
"""The first, second and sixth hold under the rules of the profile `soundsright` alone."""
INTERVALS_OF_A_YEAR = 365 * 7_200 // 360
_CLIMB_SLACK = 1.25
_LONGEST_CLIMB = 20_000
_FAULTY_INTERVALS = 0.03
_SEEDS = 16
_KEPT = 64

Flags = NDArray[np.bool_]


@dataclass
class SimulatedProver:
    """A prover after the year. `first` is the interval in which it first had a tier, `stays` how many it had."""

    kind: ProverKind
    standing: Standing
    attempts: int = 0
    successes: int = 0
    moves: int = 0
    falls: int = 0
    first: dict[str, int] = field(default_factory=dict)
    stays: Counter[str] = field(default_factory=Counter)
    weight: float = 0.0


@dataclass
class SimulatedTiers:
    """The result of a simulation. `digest` covers the standings after every interval."""

    rules: TiersRules
    provers: list[SimulatedProver]
    intervals: int = 0
    attempts: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    checks: int = 0
    digest: str = ""


def simulate_tiers(
    seed: int,
    *,
    intervals: int = INTERVALS_OF_A_YEAR,
    rules: TiersRules | None = None,
    plant_mistake: bool = False,
    tick: Callable[[], object] = lambda: None,
) -> SimulatedTiers:
    """Simulate that many intervals and check the invariants after each.

    `plant_mistake` lets the verifier count without keys, so that an attempt counts twice after a fault.

    Raises:
        Violation: an invariant does not hold.
    """
    year = _Year(seed, rules or tiers_rules(), plant_mistake)
    for _ in range(intervals):
        year.play_interval()
        tick()
    return year.finished()


def intervals_to_challenger(rules: TiersRules) -> float:
    """The number of intervals in which a prover without a failure reaches the top; infinite if it cannot."""
    standing, whole = Standing("perfect", TIER_NAMES[0]), AttemptCounts(rules.bank_clips, rules.bank_clips)
    for number in range(1, _LONGEST_CLIMB):
        standing, _ = after_interval(rules, standing, whole, number)
        if standing.tier == TIER_NAMES[-1]:
            return number
    return float("inf")


class _Year:
    """The verifier, its provers, and what happened."""

    def __init__(self, seed: int, rules: TiersRules, plant_mistake: bool) -> None:
        self._seed, self._rules, self._plants = seed, rules, plant_mistake
        self._rng = np.random.default_rng([21, seed])
        self._counters = MortalCounters(MemoryCounters(), self._rng)
        self._passes = {
            key: np.array([result.passed for result in results]) for key, results in results_of_kinds(rules).items()
        }
        self._kinds = [_is_inference(rules, bytes([number]) * 32) for number in range(_SEEDS)]
        self._climb = _CLIMB_SLACK * intervals_to_challenger(rules)
        self._digest = hashlib.sha256()
        provers = [
            SimulatedProver(kind, Standing(kind.name.replace(" ", "-"), TIER_NAMES[0], uid=uid))
            for uid, kind in enumerate(PROVER_KINDS)
        ]
        self.result = SimulatedTiers(rules, provers)

    def play_interval(self) -> None:
        """Ask every prover for each clip of its bank, count, and move."""
        number = self.result.intervals
        passed, times_s = self._answers()
        inference = self._kinds[int(self._rng.integers(_SEEDS))]
        fault = str(self._rng.choice(COUNTING_FAULTS)) if self._rng.random() < _FAULTY_INTERVALS else ""
        self._counters.fault = fault
        if fault:
            self.result.faults[fault] += 1
        (self._count_each if fault else self._count_together)(number, passed, inference)
        self._reward(passed, times_s, inference)
        self._close(number, passed)
        self.result.intervals += 1
        if number % _KEPT == 0:
            self._counters.forget_intervals(keep=2)

    def _answers(self) -> tuple[Flags, NDArray[np.float64]]:
        """Whether each prover's answer to each clip passes, and its time."""
        clips, rng, timeout_s = self._rules.bank_clips, self._rng, self._rules.timeout_s
        chosen = rng.integers(PROVER_CLIPS, size=clips)
        times_s = np.empty((len(PROVER_KINDS), clips))
        passed = np.empty((len(PROVER_KINDS), clips), bool)
        for row, prover in enumerate(self.result.provers):
            kind = prover.kind
            times_s[row] = kind.typical_s * np.exp(kind.spread * rng.normal(size=clips))
            times_s[row][rng.random(clips) < kind.loses] = timeout_s
            if rng.random() < kind.away:
                times_s[row] = timeout_s
            passed[row] = self._passes[kind.name, prover.standing.tier][chosen]
        passed &= times_s < timeout_s
        return passed, np.minimum(times_s, timeout_s)

    def _count_together(self, number: int, passed: Flags, inference: Flags) -> None:
        """Count all attempts of a prover in one addition, in an interval without a fault."""
        for prover, own, kinds in zip(self.result.provers, passed, inference, strict=True):
            deltas = _deltas(AttemptKind.CHALLENGE, own[~kinds]) + _deltas(AttemptKind.INFERENCE, own[kinds])
            self._add(prover, deltas, f"i{number}:all")

    def _count_each(self, number: int, passed: Flags, inference: Flags) -> None:
        for row, prover in enumerate(self.result.provers):
            for clip in range(self._rules.bank_clips):
                kind = AttemptKind.INFERENCE if inference[row, clip] else AttemptKind.CHALLENGE
                attempt = row * self._rules.bank_clips + clip
                self._add(prover, _deltas(kind, passed[row, clip : clip + 1]), f"i{number}:{attempt}")

    def _add(self, prover: SimulatedProver, deltas: Mapping[str, int], once: str) -> None:
        """Count an attempt. A verifier that was killed or got no reply counts it again under the same key."""
        scope, key = stats_scope(prover.standing.hotkey), None if self._plants else once
        self._again(lambda: self._counters.add(scope, deltas, once=key))

    def _again(self, call: Callable[[], object]) -> None:
        while True:
            try:
                call()
                return
            except (Killed, StateUnavailable):
                continue

    def _reward(self, passed: Flags, times_s: NDArray[np.float64], inference: Flags) -> None:
        """Add the rewards of each step, in which every prover got one clip, to the scores."""
        rules = self._rules
        bonuses = np.array([speed_bonuses(rules, step) for step in times_s.T.tolist()]).T
        for row, prover in enumerate(self.result.provers):
            score, tier = prover.standing.score, prover.standing.tier
            for success, is_inference, bonus in zip(
                passed[row].tolist(), inference[row].tolist(), bonuses[row].tolist(), strict=True
            ):
                kind = AttemptKind.INFERENCE if is_inference else AttemptKind.CHALLENGE
                base = base_reward(rules, tier, kind, success)
                score = score_after(rules, score, raised_reward(rules, base, bonus))
            prover.standing = replace(prover.standing, score=score)

    def _close(self, number: int, passed: Flags) -> None:
        """Close the interval, twice where the verifier is killed, and move everybody by what was archived."""
        name, keep = f"tiers:{number}", (CountName.TOTAL_SUCCESSES.value,)
        was_faulty = bool(self._counters.fault)
        self._again(lambda: self._counters.close_interval(name, keep=keep))
        archived = self._counters.close_interval(name, keep=keep)
        block = (number + 1) * self._rules.interval_blocks
        for prover, successes in zip(self.result.provers, passed.sum(axis=1).tolist(), strict=True):
            scope, before = stats_scope(prover.standing.hotkey), prover.standing
            interval = self._checked_counts(prover, archived.get(scope, {}), successes)
            after, move = after_interval(self._rules, before, interval, block)
            if was_faulty:
                again = _counts_of((self._counters.interval(name) or {}).get(scope, {}))
                repeated = after_interval(self._rules, before, again, block)
                self._check(3, prover, repeated == (after, move), f"{repeated[0].tier} after {after.tier}")
            prover.standing = after
            self._check_move(prover, before, move, interval)
            self._record(prover, before, number)
        self._check_weights()

    def _checked_counts(self, prover: SimulatedProver, counts: Mapping[str, int], successes: int) -> AttemptCounts:
        interval, made = _counts_of(counts), AttemptCounts(self._rules.bank_clips, successes)
        prover.attempts += made.attempts
        prover.successes += made.successes
        self.result.attempts += made.attempts
        total = counts.get(CountName.TOTAL_SUCCESSES, 0)
        self._check(
            2, prover, (interval, total) == (made, prover.successes), f"{interval} and {total} in all, not {made}"
        )
        return interval

    def _check_move(
        self, prover: SimulatedProver, before: Standing, move: TierMove, interval: AttemptCounts
    ) -> None:
        after, kind = prover.standing, prover.kind
        step = tier_index(after.tier) - tier_index(before.tier)
        is_allowed = abs(step) <= 1 and (
            step < 1
            or self._rules.profile is Profile.CODE
            or after.total_successes >= self._rules.tier(after.tier).min_successes
        )
        is_back = move.reason is MoveReason.BACK_TO_PEAK and after.tier == before.peak
        self._check(4, prover, is_allowed or is_back, f"{before.tier} to {after.tier}")
        if self._rules.profile is not Profile.SOUNDSRIGHT:
            return
        if kind.is_steady:
            is_high = self.result.intervals < self._climb or after.tier == TIER_NAMES[-1]
            self._check(0, prover, step >= 0 and is_high, f"{before.tier} to {after.tier}")
        if not kind.is_own:
            self._check(1, prover, after.tier == TIER_NAMES[0], f"{before.tier} to {after.tier}")
        if kind.away and before.peak and interval.successes == interval.attempts >= self._rules.min_attempts:
            is_back = tier_index(after.tier) >= tier_index(before.peak)
            self._check(5, prover, is_back, f"{after.tier}, not {before.peak}")

    def _check_weights(self) -> None:
        scores = {prover.standing.hotkey: prover.standing.score for prover in self.result.provers}
        weights = score_weights(self._rules.profile, scores)
        for prover in self.result.provers:
            prover.weight = weights.get(prover.standing.hotkey, 0.0)
            if self._rules.profile is Profile.SOUNDSRIGHT and not prover.kind.is_own:
                self._check(1, prover, prover.weight == 0, f"its weight is {prover.weight}")
        total = sum(map(abs, weights.values()))
        self._check(6, self.result.provers[0], not weights or abs(total - 1) < 1e-9, f"the sum is {total}")

    def _record(self, prover: SimulatedProver, before: Standing, number: int) -> None:
        after = prover.standing
        prover.moves += after.tier != before.tier
        prover.falls += tier_index(after.tier) < tier_index(before.tier)
        prover.first.setdefault(after.tier, number + 1)
        prover.stays[after.tier] += 1
        self._digest.update(f"{after.tier} {after.total_successes} {after.score!r}\n".encode())

    def _check(self, invariant: int, prover: SimulatedProver, is_true: bool, problem: str) -> None:
        self.result.checks += 1
        if not is_true:
            where = f"seed {self._seed}, interval {self.result.intervals}, {prover.kind.name}"
            raise Violation(TIERS_INVARIANTS[invariant], where, problem)

    def finished(self) -> SimulatedTiers:
        self.result.digest = self._digest.hexdigest()
        return self.result


def _is_inference(rules: TiersRules, seed: bytes) -> Flags:
    """Whether each attempt of an interval is inference, by prover and clip."""
    kinds = [attempt_kind(rules, seed, number) for number in range(len(PROVER_KINDS) * rules.bank_clips)]
    return np.array([kind is AttemptKind.INFERENCE for kind in kinds]).reshape(len(PROVER_KINDS), -1)


def _deltas(kind: AttemptKind, passed: Flags) -> Counter[str]:
    """The counts that attempts of a kind add to a prover's counters."""
    attempts, successes = len(passed), int(np.count_nonzero(passed))
    return Counter(
        {
            f"{kind}_attempts": attempts,
            f"{kind}_successes": successes,
            CountName.REQUESTS.value: attempts,
            CountName.TOTAL_INTERVAL_SUCCESSES.value: successes,
            CountName.TOTAL_SUCCESSES.value: successes,
        }
    )


def _counts_of(counts: Mapping[str, int]) -> AttemptCounts:
    """The attempts and successes of an interval from its counters."""
    return AttemptCounts(
        counts.get(CountName.CHALLENGE_ATTEMPTS, 0) + counts.get(CountName.INFERENCE_ATTEMPTS, 0),
        counts.get(CountName.CHALLENGE_SUCCESSES, 0) + counts.get(CountName.INFERENCE_SUCCESSES, 0),
    )
