"""The score of an image: quality, time and memory."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundsright.core.errors import UsageError
from soundsright.core.executor_rules import REAL_TIME_S, ExecutorRules
from soundsright.ranking import (
    RankedImage,
    efficiency_score,
    pareto_front,
    quality_of_means,
    ranked_images,
)


@pytest.mark.parametrize(
    ("quality", "times", "memory", "score", "over_limit"),
    [
        (0.8, [12.0], [5.0], 0.7077647, False),
        (0.8, [10, 11, 12, 13, 14], [5, 5, 5, 5, 5], 0.7077647, False),
        (0.8, [31, 10, 10, 10, 10], [5, 5, 5, 5, 5], 0.0070002, True),
        (0.7, [30.0], [10.0], 0.5317005, False),
        (0.9, [200.0], [40.0], 0.0042513, True),
    ],
)
def test_a_score_in_seconds(
    quality: float, times: list[float], memory: list[float], score: float, over_limit: bool
) -> None:
    got = efficiency_score(quality, times, memory)
    assert got.score == pytest.approx(score, abs=1e-7)
    assert got.over_limit is over_limit


def test_one_peak_above_the_limit_of_memory_costs_nearly_everything() -> None:
    got = efficiency_score(0.7, [6.0] * 5, [10.5, 5.0, 5.0, 5.0, 5.0])
    assert got.over_limit
    assert got.score < 0.01


def test_a_score_from_means_and_real_time_factors() -> None:
    quality = quality_of_means({"PESQ_WB": 2.6, "ESTOI": 0.82}, {"PESQ_WB": 0.6, "ESTOI": 0.4})
    assert quality == pytest.approx(0.6022857, abs=1e-7)
    assert efficiency_score(quality, [0.4 * REAL_TIME_S], [5.0]).score == pytest.approx(0.5328457, abs=1e-7)


def test_a_metric_without_a_mean_counts_as_zero() -> None:
    assert quality_of_means({"ESTOI": 1.0}, {"PESQ_WB": 0.6, "ESTOI": 0.4}) == pytest.approx(0.4)


@pytest.mark.parametrize("times", [[], [float("nan")], [-1.0], [float("inf")]])
def test_times_that_are_no_times_are_refused(times: list[float]) -> None:
    with pytest.raises(ValueError, match=r"time"):
        efficiency_score(0.5, times, [1.0] * len(times))


def test_wrong_weights_metrics_and_rules_are_refused() -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        quality_of_means({}, {"ESTOI": 0.5})
    with pytest.raises(ValueError, match="no band"):
        quality_of_means({}, {"MOS": 1.0})
    with pytest.raises(ValueError, match="ESTOI"):
        quality_of_means({"ESTOI": float("nan")}, {"ESTOI": 1.0})
    with pytest.raises(UsageError, match="saturation"):
        ExecutorRules(saturation=-1)
    with pytest.raises(UsageError, match="time_ref"):
        ExecutorRules(time_ref_s=0)


def image(hotkey: str, score: float, time: float = 1.0, memory: float = 1.0, submitted: float = 0.0) -> RankedImage:
    return RankedImage(hotkey, score, time, memory, submitted)


def test_equal_scores_are_ranked_by_time_then_memory_then_submission() -> None:
    images = [
        image("late", 0.7, submitted=9.0),
        image("early", 0.7),
        image("large", 0.7, memory=2.0),
        image("slow", 0.700005, time=2.0),
        image("worse", 0.6, time=0.1),
    ]
    for order in itertools.permutations(images):
        assert ranked_images(order) == ("early", "late", "large", "slow", "worse")


def test_a_chain_of_small_steps_does_not_carry_an_image_up() -> None:
    images = [image("A", 0.700000, 5.0), image("B", 0.699995, 4.0), image("C", 0.699988, 3.0)]
    assert ranked_images(images) == ("B", "A", "C")


@given(st.lists(st.tuples(*[st.integers(0, 3).map(float)] * 3), min_size=1, max_size=8))
def test_the_front_is_what_no_other_image_beats(images: list[tuple[float, float, float]]) -> None:
    front = pareto_front(images)
    assert front
    best = max(image[0] for image in images)
    assert any(images[place][0] == best for place in front)
    for place in front:
        assert not any(
            o[0] > images[place][0] and o[1] <= images[place][1] and o[2] <= images[place][2] for o in images
        )
