"""Exact answers on small sets, and coverage rates for methods that use chance."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from soundsright.ranking.rank_sets import RankSet, rank_confidence_sets
from soundsright.ranking.statistics import (
    bca_interval,
    holm,
    mean_estimate,
    paired_comparison,
    permutation_p_value,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_interval_of_a_mean_is_students() -> None:
    values = rng().normal(3, 2, 40)
    low, high = stats.t.interval(0.95, 39, loc=values.mean(), scale=stats.sem(values))
    estimate = mean_estimate(list(values))
    assert (estimate.low, estimate.high) == pytest.approx((low, high))
    assert estimate.n == 40


@pytest.mark.parametrize("values", [[0.1, 0.1, 0.1], [-60.0] * 100])
def test_equal_values_have_an_interval_of_no_width(values: list[float]) -> None:
    estimate = mean_estimate(values)
    assert (estimate.mean, estimate.low, estimate.high) == pytest.approx((values[0],) * 3, abs=1e-15)
    assert estimate.low == estimate.high


@pytest.mark.parametrize("labels", [None, [["rain"]]])
def test_one_value_has_no_interval(labels: list[list[str]] | None) -> None:
    for estimate in (
        mean_estimate([2.5], labels),
        paired_comparison([2.5], [0], rng=rng(), labels=labels).difference,
    ):
        assert (estimate.mean, estimate.low, estimate.high, estimate.n) == (2.5, None, None, 1)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.randoms())
def test_the_order_of_clips_never_changes_a_bit(values: list[float], generator: random.Random) -> None:
    shuffled = list(values)
    generator.shuffle(shuffled)
    assert mean_estimate(values) == mean_estimate(shuffled)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_no_values_or_a_value_that_is_not_finite_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="value"):
        mean_estimate(values)


def test_a_mean_of_groups_says_how_many_clips_it_is_worth() -> None:
    noises = rng().normal(size=10)
    values, labels = list(np.repeat(noises, 20)), [np.repeat(np.arange(10), 20).tolist()]
    estimate = mean_estimate(values, labels)
    low, high = stats.t.interval(0.95, 9, loc=noises.mean(), scale=stats.sem(noises))
    assert (estimate.low, estimate.high) == pytest.approx((low, high))
    assert estimate.n == 200
    assert estimate.effective_n == pytest.approx(10, rel=0.15)
    assert mean_estimate(values).effective_n is None


def test_two_groups_have_no_interval_and_no_evidence() -> None:
    values = list(np.linspace(1, 2, 40))
    comparison = paired_comparison(values, [0.0] * 40, rng=rng(), labels=[[clip % 2 for clip in range(40)]])
    assert (comparison.difference.low, comparison.difference.high) == (None, None)
    assert comparison.p_value == 1.0


def test_few_groups_give_a_wide_interval_where_whole_groups_drawn_gave_a_narrow_one() -> None:
    """Three speakers whose means happen to agree do not make the other clips of a speaker certain."""
    values = list(rng(3).normal(1.0, 1.0, 30))
    labels = [[clip % 3 for clip in range(30)]]
    groups = np.array([np.mean(values[group::3]) for group in range(3)])
    agreeing = [value - groups[clip % 3] + 1.0 for clip, value in enumerate(values)]
    estimate = paired_comparison(agreeing, [0.0] * 30, rng=rng(), labels=labels).difference
    assert estimate.high is not None
    assert estimate.high - 1.0 > 0.3


def test_labels_must_match_the_values() -> None:
    with pytest.raises(ValueError, match="2 labels for 3 values"):
        mean_estimate([1.0, 2.0, 3.0], [["a", "b"]])


def test_bca_agrees_with_scipys() -> None:
    values = rng(1).exponential(size=30)
    ours = bca_interval(list(values), rng=rng(2), resamples=20_000)
    theirs = stats.bootstrap((values,), np.mean, method="BCa", n_resamples=20_000, rng=rng(3)).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.05)


def test_bca_of_skewed_scores_covers_the_true_mean_nearly_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(300):
        sample = rng(seed).exponential(size=40)
        estimate = bca_interval(list(sample), rng=rng(seed + 1_000), resamples=1_000)
        covered += not estimate.is_above(1.0) and not estimate.is_below(1.0)
    assert 0.89 <= covered / 300 <= 0.98


def test_few_clips_are_permuted_in_every_way() -> None:
    differences = [0.3, -0.1, 0.4, 0.9, -0.2]
    sums = [abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
            for signs in itertools.product((1, -1), repeat=5)]  # fmt: skip
    exact = sum(total >= abs(sum(differences)) - 1e-12 for total in sums) / 32
    assert permutation_p_value(differences, rng=rng()) == exact


def test_equal_entries_have_p_value_one() -> None:
    assert permutation_p_value([0.0] * 50, rng=rng()) == 1.0


def test_a_p_value_is_never_zero() -> None:
    assert permutation_p_value([1.0] * 60, rng=rng(), resamples=999) == 0.001


def test_p_values_are_uniform_if_entries_are_equal() -> None:
    small = sum(
        permutation_p_value(list(rng(seed).normal(size=20)), rng=rng(seed + 9_999), resamples=399) <= 0.05
        for seed in range(600)
    )
    assert small / 600 <= 0.075


def test_four_groups_cannot_prove_more_than_flips_of_whole_groups() -> None:
    labels = [[clip // 10 for clip in range(40)]]
    comparison = paired_comparison([1.0] * 40, [0.0] * 40, rng=rng(), labels=labels)
    assert comparison.p_value == 0.125


def test_a_comparison_over_noises_and_prompts_uses_no_chance() -> None:
    a, b = rng(1).normal(size=(2, 60))
    labels = [rng(2).integers(0, 12, 60).tolist(), rng(3).integers(0, 20, 60).tolist()]
    first, second = (paired_comparison(list(a + 1), list(b), rng=rng(seed), labels=labels) for seed in (0, 1))
    assert first == second
    assert first.difference.is_above(0.0) == (first.p_value < 0.05)


def test_a_comparison_is_paired_clip_by_clip() -> None:
    clips = rng(1).normal(0, 10, 100)
    better = clips + 0.1 + rng(2).normal(0, 0.1, 100)
    comparison = paired_comparison(list(better), list(clips), rng=rng(3), resamples=2_000)
    assert comparison.difference.is_above(0.05)
    assert comparison.p_value < 0.01
    assert comparison.effect_size == pytest.approx(1.0, abs=0.4)


def test_entries_of_different_sets_are_not_compared() -> None:
    with pytest.raises(ValueError, match="paired"):
        paired_comparison([1.0], [1.0, 2.0], rng=rng())


def test_the_same_seed_gives_the_same_comparison() -> None:
    a, b = rng(1).normal(size=(2, 50))
    assert paired_comparison(list(a), list(b), rng=rng(7)) == paired_comparison(list(a), list(b), rng=rng(7))


def test_holm_steps_down() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}) == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02}
    )


@given(st.dictionaries(st.text(min_size=1), st.floats(0, 1), max_size=8))
def test_adjusted_p_values_keep_their_order_and_only_grow(p_values: dict[str, float]) -> None:
    adjusted = holm(p_values)
    for a, b in itertools.permutations(p_values, 2):
        assert p_values[a] > p_values[b] or adjusted[a] <= adjusted[b]
    assert all(p <= adjusted[name] <= 1.0 for name, p in p_values.items())


def test_a_p_value_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="not between 0 and 1"):
        holm({"a": 1.2})


def test_clearly_different_entries_have_one_rank_each_and_equal_ones_share() -> None:
    clips = rng().normal(0, 5, 200)
    noise = rng(1).normal(0, 0.1, (3, 200))
    scores = {"best": clips + 3 + noise[0], "like_a": clips + noise[1], "like_b": clips + noise[2]}
    sets = rank_confidence_sets({k: list(v) for k, v in scores.items()})
    assert sets == {"best": RankSet(1, 1), "like_a": RankSet(2, 3), "like_b": RankSet(2, 3)}


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.integers(1, 20), st.integers(0, 100))
def test_a_rank_set_always_contains_the_rank_of_the_mean(entries: int, clips: int, seed: int) -> None:
    table = rng(seed).normal(size=(entries, clips))
    sets = rank_confidence_sets({str(i): list(row) for i, row in enumerate(table)})
    order = np.argsort(-table.mean(axis=1))
    for rank, entry in enumerate(order, start=1):
        assert sets[str(entry)].best <= rank <= sets[str(entry)].worst


@pytest.mark.parametrize("groups", [1, 2])
def test_too_few_groups_leave_every_rank_open(groups: int) -> None:
    scores = {"a": [5.0, 5.1] * 10, "b": [1.0, 1.2] * 10}
    labels = [[clip // (20 // groups) for clip in range(20)]]
    assert set(rank_confidence_sets(scores, labels).values()) == {RankSet(1, 2)}


@pytest.mark.parametrize("groups", [3, 4, 5])
def test_few_groups_that_agree_to_the_last_bit_leave_every_rank_open(groups: int) -> None:
    scores = {"a": [1.0] * groups, "b": [0.0] * groups}
    assert set(rank_confidence_sets(scores).values()) == {RankSet(1, 2)}
    labels = [[clip % groups for clip in range(40)]]
    assert set(rank_confidence_sets({"a": [1.0] * 40, "b": [0.0] * 40}, labels).values()) == {RankSet(1, 2)}
    six = rank_confidence_sets({"a": [1.0] * 6, "b": [0.0] * 6})
    assert six == {"a": RankSet(1, 1), "b": RankSet(2, 2)}


@pytest.mark.parametrize("groups", range(3, 9))
def test_from_six_groups_on_the_p_value_agrees_with_the_interval(groups: int) -> None:
    labels = [[clip % groups for clip in range(4 * groups)]]
    for lead in np.linspace(0.2, 3.0, 15):
        values = list(lead + rng(groups).normal(size=4 * groups))
        found = paired_comparison(values, [0.0] * len(values), rng=rng(), labels=labels)
        assert (found.p_value <= 0.05) == (groups >= 6 and found.difference.is_above(0.0))


@pytest.mark.parametrize(
    ("entries", "clips", "groups"), [(3, 12, None), (12, 12, None), (12, 30, None), (6, 30, 4), (6, 100, 10)]
)
def test_all_ranks_are_right_at_the_stated_rate(entries: int, clips: int, groups: int | None) -> None:
    right = 0
    for seed in range(40):
        table = rng(seed).normal(size=(entries, clips))
        labels = None
        if groups is not None:
            shared = rng(seed).integers(0, groups, clips)
            table, labels = table + rng(seed + 500).normal(size=(entries, groups))[:, shared], [shared.tolist()]
        sets = rank_confidence_sets({str(i): list(row) for i, row in enumerate(table)}, labels)
        right += all(own == RankSet(1, entries) for own in sets.values())
    assert right >= 36


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({}, "rank sets"),
        ({"a": []}, "at least one"),
        ({"a": [1.0], "b": [1.0, 2.0]}, "rank sets"),
        ({"a": [math.nan] * 4, "b": [1.0] * 4}, "not finite"),
    ],
)
def test_ranks_need_the_same_clips_and_finite_scores(scores: dict[str, list[float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rank_confidence_sets(scores)
