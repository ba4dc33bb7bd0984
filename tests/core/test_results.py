"""Illegal results cannot be built."""

from __future__ import annotations

import math

import pytest

from soundsright.core.competition import PUBLISHED, Competition, Task
from soundsright.core.results import ClipResult, Failure, Weights
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
