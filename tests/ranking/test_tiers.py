"""Tiers: the specification's worked examples, and what holds of every move, reward and weight."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundsright.core.errors import UsageError
from soundsright.core.profiles import Profile
from soundsright.core.tiers import AttemptKind, Standing
from soundsright.core.tiers_rules import TIER_NAMES, TiersRules, tier_index, tiers_rules
from soundsright.ranking import (
    AttemptCounts,
    Candidate,
    MoveReason,
    after_interval,
    attempt_kind,
    attempt_reward,
    base_reward,
    sampled_provers,
    score_after,
    score_weights,
    speed_bonus,
    tier_move,
)

RULES = tiers_rules()
PROFILES = st.sampled_from(list(Profile))
TIERS = st.sampled_from(TIER_NAMES)


@st.composite
def some_counts(draw: st.DrawFn, most: int = 3_000) -> AttemptCounts:
    attempts = draw(st.integers(0, most))
    return AttemptCounts(attempts, draw(st.integers(0, attempts)))


def moved(profile: Profile, tier: str, successes: int, attempts: int, total: int, peak: str | None = None) -> str:
    counts = AttemptCounts(attempts, successes)
    return tier_move(tiers_rules(profile), tier, counts, total_successes=total, peak=peak).tier


@pytest.mark.parametrize(
    ("tier", "successes", "attempts", "total", "peak", "doc", "code", "soundsright"),
    [
        ("Master", 930, 1_000, 9_000, None, "Grandmaster", "Grandmaster", "Master"),
        ("Master", 860, 1_000, 9_000, None, "Jade", "Master", "Jade"),
        ("Challenger", 950, 1_000, 9_000, "Challenger", "Grandmaster", "Challenger", "Grandmaster"),
        ("Bronze", 40, 40, 40, None, "Bronze", "Silver", "Bronze"),
        ("Gold", 0, 0, 600, None, "Silver", "Silver", "Gold"),
        ("Bronze", 985, 1_000, 9_000, "Challenger", "Challenger", "Silver", "Challenger"),
        # The limits themselves: a rate of exactly the tier's is enough, and 133 successes in a row are.
        ("Challenger", 98, 100, 9_000, "Challenger", "Challenger", "Challenger", "Challenger"),
        ("Grandmaster", 132, 132, 9_000, None, "Challenger", "Challenger", "Grandmaster"),
        ("Grandmaster", 133, 133, 9_000, None, "Challenger", "Challenger", "Challenger"),
        ("Grandmaster", 133, 133, 3_999, None, "Grandmaster", "Challenger", "Grandmaster"),
        ("Bronze", 0, 100, 0, None, "Bronze", "Bronze", "Bronze"),
        ("Gold", 19, 19, 9_000, None, "Platinum", "Platinum", "Gold"),
    ],
)
def test_a_move_is_that_of_the_profile(
    tier: str, successes: int, attempts: int, total: int, peak: str | None, doc: str, code: str, soundsright: str
) -> None:
    given = (tier, successes, attempts, total, peak)
    assert [moved(profile, *given) for profile in (Profile.DOC, Profile.CODE, Profile.SOUNDSRIGHT)] == [
        doc,
        code,
        soundsright,
    ]


def test_the_bound_of_the_first_example_is_below_the_rate_of_grandmaster() -> None:
    assert AttemptCounts(1_000, 930).low == pytest.approx(0.915536, abs=1e-6)


def test_downtime_costs_one_interval() -> None:
    standing = Standing("5F", "Challenger", "Challenger", 5_000, 4_999, 9_000)
    down, fall = after_interval(RULES, standing, AttemptCounts(20, 0), block=360)
    assert (down.tier, fall.reason, down.moved_block) == ("Grandmaster", MoveReason.BELOW_RATE, 360)
    assert (down.attempts_since_move, down.successes_since_move) == (0, 0)
    back, rise = after_interval(RULES, down, AttemptCounts(20, 20), block=720)
    assert (back.tier, rise.reason, back.peak) == ("Challenger", MoveReason.BACK_TO_PEAK, "Challenger")


def test_a_long_past_does_not_shield_a_prover_that_fails_now() -> None:
    """A year of successes is 146 000 attempts: without the interval's own bound it could fail for a week."""
    standing = Standing("5F", "Challenger", "Challenger", 146_000, 146_000, 150_000)
    after, move = after_interval(RULES, standing, AttemptCounts(20, 12), block=360)
    assert (after.tier, move.counts) == ("Grandmaster", AttemptCounts(20, 12))
    # One failure in an interval is no proof.
    assert after_interval(RULES, standing, AttemptCounts(20, 19), block=360)[0].tier == "Challenger"


def test_an_honest_prover_climbs_from_bronze_to_challenger_in_the_intervals_that_the_bounds_need() -> None:
    standing, intervals = Standing("5F", "Bronze"), 0
    tiers = []
    while standing.tier != "Challenger":
        standing, _ = after_interval(RULES, standing, AttemptCounts(20, 20), block=360 * (intervals + 1))
        intervals += 1
        tiers.append(standing.tier)
        assert intervals < 400
    assert sorted(set(tiers), key=tiers.index) == list(TIER_NAMES)
    # The 4 000 successes that Challenger needs take 200 intervals of 20.
    assert intervals == 200
    assert standing.peak == "Challenger"


def test_rewards_and_scores_of_the_examples() -> None:
    times_s = [2.0, 4.0, 9.0]
    bonuses = [speed_bonus(RULES, time_s, times_s) for time_s in times_s]
    assert bonuses == pytest.approx([0.985936, 0.968221, 0.791391], abs=1e-6)
    challenger = attempt_reward(RULES, base_reward(RULES, "Challenger", AttemptKind.CHALLENGE, True), 2.0, times_s)
    assert challenger == pytest.approx(1.985936, abs=1e-6)
    masters = [
        attempt_reward(rules, base_reward(rules, "Master", AttemptKind.CHALLENGE, True), 4.0, times_s)
        for rules in (tiers_rules(Profile.DOC), tiers_rules(Profile.CODE))
    ]
    assert masters == pytest.approx([1.889493, 0.873890], abs=1e-6)
    assert score_after(RULES, 0.4, challenger) == pytest.approx(0.479297, abs=1e-6)


def test_a_fast_failure_costs_as_much_as_a_slow_one() -> None:
    times_s = [0.1, 6.0, 12.0]
    assert {attempt_reward(RULES, -0.05, time_s, times_s) for time_s in times_s} == {-0.05}
    code = tiers_rules(Profile.CODE)
    assert attempt_reward(code, -0.05, 0.1, times_s) < attempt_reward(code, -0.05, 12.0, times_s)


def test_weights_of_the_example() -> None:
    scores = {"a": 0.5, "b": -0.02, "c": 0.3}
    assert score_weights(Profile.SOUNDSRIGHT, scores) == pytest.approx({"a": 0.625, "b": 0.0, "c": 0.375})
    assert score_weights(Profile.CODE, scores) == pytest.approx({"a": 0.6098, "b": -0.0244, "c": 0.3659}, abs=5e-5)
    assert score_weights(Profile.DOC, {"a": -0.5, "b": 0.0}) == {}
    with pytest.raises(ValueError, match="the score of b is not finite"):
        score_weights(Profile.DOC, {"a": 1.0, "b": math.nan})


@given(PROFILES, TIERS, some_counts(), st.integers(0, 10_000), st.none() | TIERS, st.none() | some_counts(100))
def test_a_move_is_one_tier_and_never_without_the_minimum_unless_it_goes_back_to_the_peak(
    profile: Profile,
    tier: str,
    counts: AttemptCounts,
    total: int,
    peak: str | None,
    interval: AttemptCounts | None,
) -> None:
    rules = tiers_rules(profile)
    move = tier_move(rules, tier, counts, total_successes=total, peak=peak, interval=interval)
    step = tier_index(move.tier) - tier_index(tier)
    if move.reason is MoveReason.BACK_TO_PEAK:
        assert move.tier == peak
        assert step > 0
        assert counts.reaches(rules.tier(move.tier).rate)
    else:
        assert step in (-1, 0, 1)
    if move.reason is MoveReason.PROMOTED:
        assert step == 1
        assert total >= rules.tier(move.tier).min_successes
    if profile is Profile.SOUNDSRIGHT and counts.attempts < rules.min_attempts:
        assert step == 0


@given(TIERS, st.lists(some_counts(60), max_size=30), PROFILES)
@settings(max_examples=60)
def test_the_peak_is_the_highest_tier_ever_and_no_attempt_is_lost(
    tier: str, intervals: list[AttemptCounts], profile: Profile
) -> None:
    standing, highest, since = Standing("5F", tier), tier, AttemptCounts()
    for number, interval in enumerate(intervals):
        before = standing.tier
        standing, _ = after_interval(tiers_rules(profile), standing, interval, block=number)
        highest = max(highest, standing.tier, key=tier_index)
        since = AttemptCounts() if standing.tier != before else since + interval
        assert standing.peak in (None, highest)
        assert (standing.attempts_since_move, standing.successes_since_move) == (since.attempts, since.successes)
    assert standing.total_successes == sum(interval.successes for interval in intervals)


@given(some_counts(), st.sampled_from([tier.rate for tier in RULES.table]))
def test_the_exact_decision_is_that_of_the_bound_wherever_floating_point_can_tell(
    counts: AttemptCounts, rate: float
) -> None:
    assert 0 <= counts.low <= counts.rate <= counts.high <= 1
    if abs(counts.low - rate) > 1e-9:
        assert counts.surely_reaches(rate) == (counts.low > rate)
    if abs(counts.high - rate) > 1e-9:
        assert counts.surely_misses(rate) == (counts.high < rate)


@given(some_counts(500), st.sampled_from([tier.rate for tier in RULES.table]))
def test_one_more_success_never_takes_a_rate_away(counts: AttemptCounts, rate: float) -> None:
    better = counts + AttemptCounts(1, 1)
    assert better.surely_reaches(rate) >= counts.surely_reaches(rate)
    assert better.surely_misses(rate) <= counts.surely_misses(rate) or counts.attempts == 0


FINITE = st.floats(-1e300, 1e300, allow_subnormal=True)


@given(PROFILES, st.dictionaries(st.text("abcdef", min_size=1, max_size=4), FINITE, max_size=8))
def test_weights_sum_to_one_or_there_are_none(profile: Profile, scores: dict[str, float]) -> None:
    weights = score_weights(profile, scores)
    assert all(math.isfinite(weight) for weight in weights.values())
    if weights:
        assert weights.keys() == scores.keys()
        assert math.fsum(map(abs, weights.values())) == pytest.approx(1.0, abs=1e-12)
    if profile is not Profile.CODE:
        assert all(weight >= 0 for weight in weights.values())
        assert bool(weights) == any(score > 0 for score in scores.values())


@given(
    PROFILES,
    st.lists(
        st.tuples(
            TIERS,
            st.sampled_from(list(AttemptKind)),
            st.booleans(),
            st.lists(st.floats(0, 1e6), min_size=1, max_size=5),
        ),
        max_size=40,
    ),
)
def test_scores_stay_between_twice_the_lowest_and_twice_the_highest_base(
    profile: Profile, steps: list[tuple[str, AttemptKind, bool, list[float]]]
) -> None:
    rules = tiers_rules(profile)
    score = 0.0
    for tier, kind, passed, times_s in steps:
        score = score_after(
            rules, score, attempt_reward(rules, base_reward(rules, tier, kind, passed), times_s[0], times_s)
        )
        assert 2 * rules.inference_penalty <= score <= 2 * rules.table[-1].factor


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=6))
def test_of_two_answers_in_a_step_the_faster_earns_no_less(times_s: list[float]) -> None:
    bonuses = [speed_bonus(RULES, time_s, times_s) for time_s in sorted(times_s)]
    assert all(0 <= bonus <= 1 for bonus in bonuses)
    assert bonuses == sorted(bonuses, reverse=True)


@pytest.mark.parametrize("times_s", [[], [math.nan], [math.inf], [-1.0]])
def test_times_that_no_clock_gives_are_refused(times_s: list[float]) -> None:
    with pytest.raises(ValueError, match="times"):
        speed_bonus(RULES, 1.0, times_s)


def candidates(counts: dict[str, int]) -> list[Candidate]:
    return [
        Candidate(f"{tier}-{number}", tier, requests=0, attempts=0, unused_clips=20)
        for tier, count in counts.items()
        for number in range(count)
    ]


def test_higher_tiers_are_asked_first_and_within_a_tier_who_has_most_requests_left() -> None:
    rules = tiers_rules(sample_size=4)
    provers = candidates({"Bronze": 3, "Master": 2, "Challenger": 2})
    provers[-1] = replace(provers[-1], requests=3)
    asked = sampled_provers(rules, provers, b"seed")
    assert asked[:2] == ("Challenger-0", "Challenger-1")
    assert asked[2].startswith("Master")
    assert len(asked) == 4


def test_who_has_no_clip_or_no_request_left_is_not_asked() -> None:
    provers = [
        Candidate("no-clip", "Challenger", 0, 20, 0),
        Candidate("no-request", "Bronze", 500, 0, 20),
        Candidate("last-request", "Bronze", 499, 0, 20),
    ]
    assert sampled_provers(RULES, provers, b"") == ("last-request",)
    assert set(sampled_provers(tiers_rules(Profile.CODE), provers, b"")) == {"no-request", "last-request"}


def asked_in_an_interval(rules: TiersRules, provers: list[Candidate], steps: int) -> dict[str, int]:
    by_hotkey = {prover.hotkey: prover for prover in provers}
    for step in range(steps):
        for hotkey in sampled_provers(rules, by_hotkey.values(), step.to_bytes(4, "big")):
            prover = by_hotkey[hotkey]
            by_hotkey[hotkey] = replace(
                prover,
                requests=prover.requests + 1,
                attempts=prover.attempts + 1,
                unused_clips=prover.unused_clips - 1,
            )
    return {hotkey: prover.attempts for hotkey, prover in by_hotkey.items()}


def test_a_full_ladder_does_not_starve_its_lowest_tier() -> None:
    """An interval has 360 steps of 10 requests: 180 provers with 20 clips take all of them."""
    provers = candidates({"Challenger": 200, "Bronze": 56})
    asked = asked_in_an_interval(RULES, provers, steps=360)
    assert min(asked.values()) >= 1
    assert sum(asked.values()) == 3_600
    starved = asked_in_an_interval(tiers_rules(Profile.DOC), provers, steps=360)
    assert min(starved.values()) == 0


@given(
    st.lists(
        st.tuples(TIERS, st.integers(0, 30_000), st.integers(0, 20), st.integers(0, 20)), max_size=30, unique=True
    ),
    PROFILES,
    st.binary(max_size=8),
)
@settings(max_examples=60)
def test_a_step_asks_each_prover_once_in_an_order_that_the_callers_order_does_not_change(
    facts: list[tuple[str, int, int, int]], profile: Profile, draw: bytes
) -> None:
    provers = [Candidate(f"5{number}", *fact) for number, fact in enumerate(facts)]
    rules = tiers_rules(profile)
    asked = sampled_provers(rules, provers, draw)
    assert len(set(asked)) == len(asked) <= rules.sample_size
    assert asked == sampled_provers(rules, provers[::-1], draw)


def test_a_tenth_of_the_attempts_is_inference_and_a_repeat_gets_the_same_kind() -> None:
    kinds = [attempt_kind(RULES, b"s" * 32, number) for number in range(10_000)]
    assert kinds == [attempt_kind(RULES, b"s" * 32, number) for number in range(10_000)]
    assert kinds.count(AttemptKind.INFERENCE) == pytest.approx(1_000, abs=100)
    assert kinds != [attempt_kind(RULES, b"t" * 32, number) for number in range(10_000)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sample_size": 0}, "sample_size is 0"),
        ({"alpha": math.nan}, "alpha is nan"),
        ({"alpha": True}, "alpha is True"),
        ({"challenge_penalty": 0.5}, "challenge_penalty is 0.5"),
        ({"repeat_clips": 30}, "repeat_clips 30 is more than bank_clips 20"),
        ({"reserved": 11}, "reserved 11 is more than sample_size 10"),
        ({"table": {"Gold": {"rate": 0.9}}}, "Platinum has the rate 0.76, below 0.9 of Gold"),
        ({"table": {"Gold": {"rate": 1.0}}}, "Gold: rate is 1.0"),
        ({"table": {"Gold": {"requests": 0}}}, "Gold: requests is 0"),
    ],
)
def test_rules_outside_their_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        tiers_rules(**changes)


def test_each_profile_has_a_digest_of_its_own() -> None:
    assert len({tiers_rules(profile).digest for profile in Profile}) == 3
    assert tiers_rules(table={"Gold": {"factor": 0.67}}).digest != RULES.digest
    assert [tier.name for tier in RULES.table] == list(TIER_NAMES)
    code = tiers_rules(Profile.CODE)
    assert [code.tier(name).factor for name in ("Bronze", "Master", "Challenger")] == [0.444, 0.444, 1.0]
    assert (RULES.sample_size, code.sample_size) == (10, 48)
