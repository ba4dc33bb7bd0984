"""A score term by term, and what a change is worth: exact answers on the worked example."""

from __future__ import annotations

import math

import pytest

from soundsright.core.executor_rules import ExecutorRules
from soundsright.ranking import (
    MeasuredCost,
    RankedImage,
    efficiency_score,
    quality_of_means,
    quality_terms,
    rivals_of,
    score_terms,
)

EXAMPLE = MeasuredCost("me", 0.8, 12.0, 5.0, 12.0, 5.0, submitted_s=10.0)
"""Quality 0.8, 12 s and 5 GB: the score is 0.7077647."""


def other(
    hotkey: str, score: float, time_s: float = 1.0, memory_gb: float = 1.0, submitted_s: float = 0.0
) -> RankedImage:
    return RankedImage(hotkey, score, time_s, memory_gb, submitted_s)


def test_the_terms_multiply_to_the_score() -> None:
    terms = score_terms(EXAMPLE)
    assert terms.time_factor == pytest.approx(math.exp(-0.15 * 12 / 30), abs=1e-12)
    assert terms.memory_factor == pytest.approx(math.exp(-0.10 * 5 / 8), abs=1e-12)
    assert terms.cap_factor == 1.0
    assert terms.score == pytest.approx(0.7077647, abs=1e-7)


@pytest.mark.parametrize(
    ("times_s", "memory_gb"), [([12.0], [5.0]), ([10.0, 31.0], [5.0, 5.0]), ([6.0], [10.5]), ([200.0], [40.0])]
)
def test_the_terms_agree_with_the_score_that_is_paid(times_s: list[float], memory_gb: list[float]) -> None:
    paid = efficiency_score(0.9, times_s, memory_gb)
    image = MeasuredCost("me", 0.9, paid.time_s, paid.memory_gb, max(times_s), max(memory_gb))
    terms = score_terms(image)
    assert terms.score == pytest.approx(paid.score, abs=1e-12)
    assert (terms.cap_factor < 1) is paid.over_limit


def test_a_time_beyond_the_saturation_is_marked() -> None:
    terms = score_terms(MeasuredCost("me", 0.9, 200.0, 40.0, 200.0, 40.0))
    assert (terms.time_is_saturated, terms.memory_is_saturated) == (True, True)
    assert (score_terms(EXAMPLE).time_is_saturated, score_terms(EXAMPLE).memory_is_saturated) == (False, False)


def test_the_terms_of_quality_sum_to_the_quality() -> None:
    means, weights = {"PESQ_WB": 2.6, "ESTOI": 0.82}, {"PESQ_WB": 0.6, "ESTOI": 0.4}
    terms = quality_terms(means, weights)
    assert sum(term.part for term in terms) == pytest.approx(quality_of_means(means, weights), abs=1e-12)
    assert [(term.metric, term.low, term.high) for term in terms] == [("PESQ_WB", 1.0, 4.5), ("ESTOI", 0.0, 1.0)]


def test_a_metric_without_a_mean_has_the_place_zero() -> None:
    (term,) = quality_terms({}, {"ESTOI": 1.0})
    assert (term.mean, term.place, term.part) == (0.0, 0.0, 0.0)


def test_a_second_and_a_gigabyte_less_are_worth_what_the_formula_says() -> None:
    rivals = rivals_of(EXAMPLE, [])
    second = rivals.worth(EXAMPLE.changed(less_time_s=1.0))
    gigabyte = rivals.worth(EXAMPLE.changed(less_memory_gb=1.0))
    assert second.score == pytest.approx(0.7077647 * math.exp(0.15 / 30), abs=1e-7)
    assert second.gain == pytest.approx(0.7077647 * (math.exp(0.15 / 30) - 1), abs=1e-7)
    assert gigabyte.gain == pytest.approx(0.7077647 * (math.exp(0.10 / 8) - 1), abs=1e-7)


def test_a_change_that_lifts_a_cap_is_worth_nearly_the_whole_score() -> None:
    image = MeasuredCost("me", 0.8, 14.2, 5.0, 31.0, 5.0)
    worth = rivals_of(image, []).worth(image.changed(less_time_s=1.0))
    assert worth.score > 0.7
    assert worth.gain == pytest.approx(worth.score - 0.0070002, abs=1e-7)


def test_no_change_makes_a_time_negative() -> None:
    changed = EXAMPLE.changed(less_time_s=100.0, less_memory_gb=100.0, quality=1.0)
    assert (changed.time_s, changed.worst_time_s, changed.memory_gb, changed.worst_memory_gb) == (0, 0, 0, 0)
    assert changed.quality == 1.0


def test_ranks_count_the_others_with_a_positive_score() -> None:
    rivals = rivals_of(EXAMPLE, [other("A", 0.9), other("B", 0.71), other("C", 0.0), other("me", 0.99)])
    assert rivals.rank() == 3
    assert rivals.worth(EXAMPLE.changed(less_time_s=1.0)).rank == 2


def test_the_change_needed_for_the_first_place_is_the_least_one() -> None:
    rivals = rivals_of(EXAMPLE, [other("A", 0.71)])
    needed = rivals.first_place()
    # A is faster, so it wins against scores that are higher by no more than the tolerance.
    ratio = (0.71 + 1e-5) / EXAMPLE_SCORE
    assert needed.less_time_s == pytest.approx(30 / 0.15 * math.log(ratio), abs=1.1e-3)
    assert needed.less_memory_gb == pytest.approx(8 / 0.10 * math.log(ratio), abs=1.1e-3)
    assert needed.more_quality == pytest.approx(0.8 * (ratio - 1), abs=1.1e-4)
    assert needed.less_time_s is not None
    assert rivals.worth(EXAMPLE.changed(less_time_s=needed.less_time_s)).rank == 1
    assert rivals.worth(EXAMPLE.changed(less_time_s=needed.less_time_s - 0.001)).rank == 2


def test_a_first_place_out_of_reach_is_none() -> None:
    needed = rivals_of(EXAMPLE, [other("A", 0.79)]).first_place()
    assert (needed.less_time_s, needed.less_memory_gb) == (None, None)
    assert needed.more_quality is not None
    assert rivals_of(EXAMPLE, [other("A", 0.95)]).first_place().more_quality is None


def test_the_first_needs_no_change() -> None:
    needed = rivals_of(EXAMPLE, [other("A", 0.5)]).first_place()
    assert (needed.less_time_s, needed.less_memory_gb, needed.more_quality) == (0.0, 0.0, 0.0)


def test_scores_within_the_tolerance_are_decided_by_time() -> None:
    equal = other("A", EXAMPLE_SCORE, time_s=11.0)
    rivals = rivals_of(EXAMPLE, [equal], ExecutorRules(tie_eps=0.01))
    needed = rivals.first_place()
    assert rivals.rank() == 2
    # Equal time; then memory decides, of which A has less. A step more is needed.
    assert needed.less_time_s == pytest.approx(1.001, abs=1e-9)


def test_an_image_without_quality_gains_nothing_from_speed() -> None:
    image = MeasuredCost("me", 0.0, 12.0, 5.0, 12.0, 5.0)
    needed = rivals_of(image, []).first_place()
    assert (needed.less_time_s, needed.less_memory_gb) == (None, None)
    assert needed.more_quality == pytest.approx(0.0001)


EXAMPLE_SCORE = score_terms(EXAMPLE).score
