"""Tiers of served models: who moves, what an attempt earns, who is paid, and who is asked next.

Rates and bounds are fractions, times in seconds. Whether a rate or a bound reaches a tier's rate is computed with
whole numbers and fractions, so every machine decides the same. The bounds are those of E. B. Wilson (Journal of the
American Statistical Association 22, 1927), one-sided at 95 %.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache

from soundsright.core.profiles import Profile
from soundsright.core.tiers import AttemptKind, Standing
from soundsright.core.tiers_rules import TIER_NAMES, TiersRules, tier_index

_Z2 = Fraction("1.6448536269514722") ** 2
"""The square of the normal distribution's quantile at 95 %."""


@dataclass(frozen=True)
class AttemptCounts:
    """Attempts and how many of them succeeded.

    Raises:
        ValueError: a number is negative, or there are more successes than attempts.
    """

    attempts: int = 0
    successes: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.successes <= self.attempts:
            raise ValueError(f"{self.successes} successes in {self.attempts} attempts are impossible")

    def __add__(self, other: AttemptCounts) -> AttemptCounts:
        return AttemptCounts(self.attempts + other.attempts, self.successes + other.successes)

    @property
    def rate(self) -> float:
        """The part of the attempts that succeeded; 0 without an attempt."""
        return self.successes / self.attempts if self.attempts else 0.0

    @property
    def low(self) -> float:
        """The lower bound of the rate, for showing; `reaches` decides exactly.

        >>> round(AttemptCounts(1_000, 930).low, 6)
        0.915536
        """
        return self._bound(-1.0)

    @property
    def high(self) -> float:
        """The upper bound of the rate, for showing; 1 without an attempt."""
        return self._bound(1.0)

    def _bound(self, sign: float) -> float:
        if not self.attempts:
            return 0.5 + sign / 2
        n, p, z = self.attempts, self.rate, math.sqrt(_Z2)
        half = z * math.sqrt(p * (1 - p) / n + (z / (2 * n)) ** 2)
        bound = (p + z * z / (2 * n) + sign * half) / (1 + z * z / n)
        # The rate lies between its bounds; rounding can put them past it by a bit.
        return min(max(bound, p), 1.0) if sign > 0 else max(min(bound, p), 0.0)

    def reaches(self, rate: float) -> bool:
        """Whether the raw rate is at least `rate`. Without an attempt it is 0."""
        part, whole = _exact(rate)
        return self.successes * whole >= self.attempts * part if self.attempts else part <= 0

    def exceeds(self, rate: float) -> bool:
        """Whether the raw rate is above `rate`."""
        part, whole = _exact(rate)
        return self.successes * whole > self.attempts * part

    def surely_reaches(self, rate: float) -> bool:
        """Whether the lower bound is at least `rate`.

        >>> AttemptCounts(132, 132).surely_reaches(0.98), AttemptCounts(133, 133).surely_reaches(0.98)
        (False, True)
        """
        return self.attempts > 0 and self.reaches(rate) and self._distance(rate) >= 0

    def surely_misses(self, rate: float) -> bool:
        """Whether the upper bound is below `rate`."""
        return self.attempts > 0 and not self.reaches(rate) and self._distance(rate) > 0

    def _distance(self, rate: float) -> int:
        """Positive if `rate` is outside the bounds: the square of a difference, less that of z standard errors."""
        (part, whole), n = _exact(rate), self.attempts
        difference = self.successes * whole - n * part
        return difference**2 * _Z2.denominator - _Z2.numerator * n * part * (whole - part)


@lru_cache(maxsize=256)
def _exact(rate: float) -> tuple[int, int]:
    """The decimal number that an organiser wrote as a fraction, not the binary one next to it."""
    return Fraction(str(rate)).as_integer_ratio()


class MoveReason(StrEnum):
    """The reason of a move, or of none."""

    FEW_ATTEMPTS = "few_attempts"
    BELOW_RATE = "below_rate"
    BACK_TO_PEAK = "back_to_peak"
    PROMOTED = "promoted"
    NOT_REACHED = "not_reached"
    FEW_SUCCESSES = "few_successes"
    HIGHEST = "highest"


@dataclass(frozen=True)
class TierMove:
    """The tier after an interval and the reason. `counts` are the attempts that decided."""

    tier: str
    reason: MoveReason
    counts: AttemptCounts


def tier_move(
    rules: TiersRules,
    tier: str,
    counts: AttemptCounts,
    *,
    total_successes: int,
    peak: str | None = None,
    interval: AttemptCounts | None = None,
) -> TierMove:
    """The tier of a prover after an interval.

    In the profile `soundsright`, `counts` are all attempts since its last move, and `interval` those of this
    interval alone: if these surely miss the rate, the prover falls whatever it did before. In `doc` and `code`,
    `counts` are those of the interval.

    Raises:
        ValueError: a tier has no such name.

    >>> tier_move(TiersRules(), "Master", AttemptCounts(1_000, 930), total_successes=9_000).tier
    'Master'
    """
    place = tier_index(tier)
    if rules.profile is Profile.CODE:
        return _move_of_code(rules, place, counts)
    by_bound = rules.profile is Profile.SOUNDSRIGHT
    if counts.attempts < rules.min_attempts:
        return TierMove(tier, MoveReason.FEW_ATTEMPTS, counts)
    own = rules.table[place]
    if not counts.reaches(own.rate):
        return TierMove(TIER_NAMES[max(place - 1, 0)], MoveReason.BELOW_RATE, counts)
    if by_bound and interval is not None and interval.surely_misses(own.rate):
        return TierMove(TIER_NAMES[max(place - 1, 0)], MoveReason.BELOW_RATE, interval)
    if peak is not None and tier_index(peak) > place and counts.reaches(rules.tier(peak).rate):
        return TierMove(peak, MoveReason.BACK_TO_PEAK, counts)
    if place + 1 == len(TIER_NAMES):
        return TierMove(tier, MoveReason.HIGHEST, counts)
    above = rules.table[place + 1]
    if not (counts.surely_reaches if by_bound else counts.reaches)(above.rate):
        return TierMove(tier, MoveReason.NOT_REACHED, counts)
    if total_successes < above.min_successes:
        return TierMove(tier, MoveReason.FEW_SUCCESSES, counts)
    return TierMove(above.name, MoveReason.PROMOTED, counts)


def _move_of_code(rules: TiersRules, place: int, counts: AttemptCounts) -> TierMove:
    """The move of the original program: up above the next tier's rate, down at the rate of the tier below."""
    tier = TIER_NAMES[place]
    above = rules.table[place + 1] if place + 1 < len(TIER_NAMES) else None
    if above is not None and counts.exceeds(above.rate):
        return TierMove(above.name, MoveReason.PROMOTED, counts)
    if place and not counts.exceeds(rules.table[place - 1].rate):
        return TierMove(TIER_NAMES[place - 1], MoveReason.BELOW_RATE, counts)
    return TierMove(tier, MoveReason.HIGHEST if above is None else MoveReason.NOT_REACHED, counts)


def after_interval(
    rules: TiersRules, standing: Standing, interval: AttemptCounts, block: int
) -> tuple[Standing, TierMove]:
    """The standing after an interval that closed in `block`, and the move that it brought.

    A move begins the count of attempts again. In `doc` and `code` the interval alone decides.
    """
    since = AttemptCounts(standing.attempts_since_move, standing.successes_since_move) + interval
    total = standing.total_successes + interval.successes
    move = tier_move(
        rules,
        standing.tier,
        since if rules.profile is Profile.SOUNDSRIGHT else interval,
        total_successes=total,
        peak=standing.peak,
        interval=interval,
    )
    moved = move.tier != standing.tier
    return replace(
        standing,
        tier=move.tier,
        peak=_higher(standing.peak or standing.tier, move.tier) if moved else standing.peak,
        attempts_since_move=0 if moved else since.attempts,
        successes_since_move=0 if moved else since.successes,
        total_successes=total,
        moved_block=block if moved else standing.moved_block,
    ), move


def _higher(one: str, other: str) -> str:
    return max(one, other, key=tier_index)


def base_reward(rules: TiersRules, tier: str, kind: AttemptKind, passed: bool) -> float:
    """The reward of an attempt before its time counts: the tier's factor, or the penalty of its kind.

    >>> base_reward(TiersRules(), "Master", AttemptKind.INFERENCE, False)
    -0.05
    """
    if passed:
        return rules.tier(tier).factor
    return rules.inference_penalty if kind is AttemptKind.INFERENCE else rules.challenge_penalty


def speed_bonuses(rules: TiersRules, times_s: Sequence[float]) -> list[float]:
    """The part, from 0 to 1, by which each success of a step is worth more because it was fast.

    Raises:
        ValueError: there is no time, or one is negative or not finite.

    >>> [round(bonus, 6) for bonus in speed_bonuses(TiersRules(), [2, 4, 9])]
    [0.985936, 0.968221, 0.791391]
    """
    mean_s = _mean(times_s)
    return [_bonus(rules, time_s, mean_s) for time_s in times_s]


def speed_bonus(rules: TiersRules, time_s: float, times_s: Sequence[float]) -> float:
    """The bonus of one success among the times of its step.

    Raises:
        ValueError: there is no time, or one is negative or not finite.
    """
    return _bonus(rules, _mean([time_s]), _mean(times_s))


def _mean(times_s: Sequence[float]) -> float:
    if not times_s or not all(0 <= time_s < math.inf for time_s in times_s):
        raise ValueError("a step needs times, each finite and not negative")
    return math.fsum(times_s) / len(times_s)


def _bonus(rules: TiersRules, time_s: float, mean_s: float) -> float:
    late = rules.steepness * ((time_s - mean_s) / rules.timeout_s - rules.shift)
    # Take the exponential of the negative number: that of a large one would overflow.
    part = math.exp(-abs(late))
    return (part if late > 0 else 1.0) / (1.0 + part)


def attempt_reward(rules: TiersRules, base: float, time_s: float, times_s: Sequence[float]) -> float:
    """The reward of an attempt from its base and its time, among the times of its step.

    >>> round(attempt_reward(TiersRules(), 1.0, 2.0, [2, 4, 9]), 6)
    1.985936
    """
    return raised_reward(rules, base, speed_bonus(rules, time_s, times_s))


def raised_reward(rules: TiersRules, base: float, bonus: float) -> float:
    """The reward from its base and the bonus. Only the profile `code` scales failures too, so fast ones lose more.

    >>> raised_reward(TiersRules(), 0.5, 0.8), raised_reward(TiersRules(), -0.01, 0.8)
    (0.9, -0.01)
    """
    return base if base < 0 and rules.profile is not Profile.CODE else base + base * bonus


def score_after(rules: TiersRules, score: float, reward: float) -> float:
    """The moving average after one more reward.

    >>> round(score_after(TiersRules(), 0.4, 1.985936), 6)
    0.479297
    """
    return rules.alpha * reward + (1 - rules.alpha) * score


def score_weights(profile: Profile, scores: Mapping[str, float]) -> dict[str, float]:
    """The weights of all provers: their scores over the sum of the sizes; empty if all are 0.

    Negative scores count as 0, except in the profile `code`.

    Raises:
        ValueError: a score is not finite.

    >>> score_weights(Profile.SOUNDSRIGHT, {"a": 0.5, "b": -0.02, "c": 0.3})
    {'a': 0.625, 'b': 0.0, 'c': 0.37499999999999994}
    """
    if odd := [hotkey for hotkey, score in scores.items() if not math.isfinite(score)]:
        raise ValueError(f"the score of {odd[0]} is not finite")
    counted = {
        hotkey: float(score if profile is Profile.CODE else max(score, 0.0)) for hotkey, score in scores.items()
    }
    # Scale by the largest first: the sum of large numbers would overflow, and tiny ones would lose their digits.
    largest = max(map(abs, counted.values()), default=0.0)
    if largest == 0:
        return {}
    scaled = {hotkey: score / largest for hotkey, score in counted.items()}
    total = math.fsum(map(abs, scaled.values()))
    return {hotkey: score / total for hotkey, score in scaled.items()}


@dataclass(frozen=True)
class Candidate:
    """A prover that can be asked. `requests` and `attempts` are those of this interval.

    Requests include listeners', attempts are the verifier's own. `unused_clips` are left in its bank.
    """

    hotkey: str
    tier: str
    requests: int
    attempts: int
    unused_clips: int


def sampled_provers(rules: TiersRules, candidates: Iterable[Candidate], draw: bytes) -> tuple[str, ...]:
    """The hotkeys to ask in a step, the first in order first.

    Higher tiers come first, then who has most requests left. `draw` are random bytes that break ties. The last
    `reserved` places go to those with the fewest attempts, so that a full ladder cannot starve its lowest tier.
    """
    able = [
        candidate
        for candidate in candidates
        if candidate.unused_clips > 0
        and (rules.profile is Profile.CODE or candidate.requests < rules.tier(candidate.tier).requests)
    ]
    lots = {one.hotkey: hashlib.sha256(draw + one.hotkey.encode()).digest() for one in able}
    able.sort(
        key=lambda one: (
            -tier_index(one.tier),
            one.requests - rules.tier(one.tier).requests,
            lots[one.hotkey],
        )
    )
    if len(able) <= rules.sample_size:
        return tuple(one.hotkey for one in able)
    first, rest = able[: rules.sample_size - rules.reserved], able[rules.sample_size - rules.reserved :]
    least = sorted(rest, key=lambda one: (one.attempts, lots[one.hotkey]))[: rules.reserved]
    return tuple(one.hotkey for one in (*first, *least))


def attempt_kind(rules: TiersRules, seed: bytes, number: int) -> AttemptKind:
    """The kind of attempt `number` of an interval. Nobody without the bank's seed can foresee it.

    A verifier that was killed gets the same kind for the same number.
    """
    digest = hashlib.sha256(b"soundsright.tiers.kind/1:%d:" % number + seed).digest()
    part = int.from_bytes(digest[:8], "big") / 2**64
    return AttemptKind.INFERENCE if part < rules.inference_share else AttemptKind.CHALLENGE
