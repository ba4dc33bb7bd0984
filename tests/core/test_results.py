"""Illegal results cannot be built."""

from __future__ import annotations

import math

import pytest

from soundsright.core.competition import PUBLISHED, Competition, Task
from soundsright.core.results import ClipResult, Estimate, Failure, Weights
from soundsright.core.schedule import Round


def test_a_clip_has_scores_or_a_failure_never_both_or_neither() -> None:
    with pytest.raises(ValueError, match="exactly one"):
        ClipResult("1")
    with pytest.raises(ValueError, match="exactly one"):
        ClipResult("1", {"ESTOI": 0.5}, Failure("crashed", "ended"))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_score_is_finite(value: float) -> None:
    with pytest.raises(ValueError, match="ESTOI"):
        ClipResult("1", {"ESTOI": value})


@pytest.mark.parametrize("by_uid", [{1: 0.5}, {1: 1.5, 2: -0.5}, {1: math.nan}, {1: math.inf}])
def test_weights_sum_to_one_and_are_finite(by_uid: dict[int, float]) -> None:
    with pytest.raises(ValueError, match="weights"):
        Weights(by_uid)


def test_the_published_rewards_sum_to_a_hundred_percent() -> None:
    assert sum(c.max_score + c.remainder for c in PUBLISHED) == 100


def test_metric_weights_must_sum_to_one() -> None:
    with pytest.raises(ValueError, match=r"sum to 0\.9"):
        Competition(Task.DENOISING, 16_000, {"ESTOI": 0.9}, 1, 1)


def test_the_seed_block_must_be_after_the_close_of_entries() -> None:
    with pytest.raises(ValueError, match="seed block"):
        Round("r", entries_close_block=10, seed_block=10)


def test_an_interval_has_both_ends_or_none() -> None:
    with pytest.raises(ValueError, match="both ends"):
        Estimate(1.0, None, 2.0, 3)


def test_without_an_interval_nothing_is_certain() -> None:
    estimate = Estimate(1.0, None, None, 1)
    assert estimate.half_width is None
    assert not estimate.is_above(-100.0)
    assert not estimate.is_below(100.0)


def test_an_interval_is_above_or_below_a_value_as_a_whole() -> None:
    estimate = Estimate(1.0, 0.5, 1.5, 9)
    assert estimate.is_above(0.4)
    assert not estimate.is_above(0.5)
    assert estimate.is_below(1.6)
    assert not estimate.is_below(1.5)
