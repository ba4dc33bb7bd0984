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

from soundsright.ranking.statistics import (
    RankSet,
    bca_interval,
    holm,
    mean_estimate,
    paired_comparison,
    permutation_p_value,
    rank_confidence_sets,
    standard_error,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_interval_of_a_mean_is_students() -> None:
    values = rng().normal(3, 2, 40)
    low, high = stats.t.interval(0.95, 39, loc=values.mean(), scale=stats.sem(values))
    estimate = mean_estimate(list(values))
    assert (estimate.low, estimate.high) == pytest.approx((low, high))
    assert estimate.n == 40


@pytest.mark.parametrize("values", [[2.5], [0.1, 0.1, 0.1], [-60.0] * 100])
def test_one_value_or_equal_values_have_an_interval_of_no_width(values: list[float]) -> None:
    estimate = mean_estimate(values)
    assert (estimate.mean, estimate.low, estimate.high) == pytest.approx((values[0],) * 3, abs=1e-15)
    assert estimate.low == estimate.high


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.randoms())
def test_the_order_of_clips_never_changes_a_bit(values: list[float], generator: random.Random) -> None:
    shuffled = list(values)
    generator.shuffle(shuffled)
    assert mean_estimate(values) == mean_estimate(shuffled)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_no_values_or_a_value_that_is_not_finite_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="value"):
        mean_estimate(values)


def test_clusters_of_one_clip_change_nothing() -> None:
    values = list(rng().normal(size=12))
    assert standard_error(values, clusters=range(12)) == pytest.approx(standard_error(values))


def test_clips_of_one_speaker_count_as_one_witness() -> None:
    speakers = rng().normal(size=10)
    values = list(np.repeat(speakers, 20))
    labels = list(np.repeat(np.arange(10), 20))
    assert standard_error(values, labels) == pytest.approx(standard_error(list(speakers)))
    assert standard_error(values, labels) > 4 * standard_error(values)


def test_labels_must_match_the_values() -> None:
    with pytest.raises(ValueError, match="2 cluster labels for 3 values"):
        mean_estimate([1.0, 2.0, 3.0], clusters=["a", "b"])


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


def test_bca_draws_whole_clusters() -> None:
    values = list(np.repeat(rng().normal(size=10), 20))
    labels = list(np.repeat(np.arange(10), 20))
    alone = bca_interval(values, rng=rng())
    clustered = bca_interval(values, rng=rng(), clusters=labels)
    assert clustered.half_width is not None
    assert alone.half_width is not None
    assert clustered.half_width > 3 * alone.half_width


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


def test_whole_clusters_change_sign_together() -> None:
    differences = [1.0] * 40
    labels = [i // 20 for i in range(40)]
    assert permutation_p_value(differences, rng=rng(), clusters=labels) == 0.5


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
    sets = rank_confidence_sets({k: list(v) for k, v in scores.items()}, rng=rng(2), resamples=2_000)
    assert sets == {"best": RankSet(1, 1), "like_a": RankSet(2, 3), "like_b": RankSet(2, 3)}


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.integers(1, 20), st.integers(0, 100))
def test_a_rank_set_always_contains_the_rank_of_the_mean(entries: int, clips: int, seed: int) -> None:
    table = rng(seed).normal(size=(entries, clips))
    sets = rank_confidence_sets({str(i): list(row) for i, row in enumerate(table)}, rng=rng(), resamples=200)
    order = np.argsort(-table.mean(axis=1))
    for rank, entry in enumerate(order, start=1):
        assert sets[str(entry)].best <= rank <= sets[str(entry)].worst


def test_true_ranks_are_all_covered_at_the_stated_rate() -> None:
    missed = 0
    for seed in range(200):
        table = rng(seed).normal(size=(4, 30)) + np.array([[0.0], [0.3], [0.6], [0.9]])
        sets = rank_confidence_sets({str(i): list(r) for i, r in enumerate(table)}, rng=rng(seed), resamples=300)
        missed += any(not sets[str(i)].best <= 4 - i <= sets[str(i)].worst for i in range(4))
    assert missed / 200 <= 0.09
