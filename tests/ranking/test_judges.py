"""Validators that judge one set of miners: their agreement, and who stands apart."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from soundsright.ranking import Judged, agreements, fisher_p, standing_apart


@pytest.mark.parametrize(
    ("one", "other"),
    [(Judged(2, 20), Judged(76, 80)), (Judged(5, 9), Judged(7, 11)), (Judged(0, 4), Judged(0, 9))],
)
def test_the_p_value_is_that_of_an_independent_implementation(one: Judged, other: Judged) -> None:
    table = [[one.passed, one.tasks - one.passed], [other.passed, other.tasks - other.passed]]
    assert fisher_p(one, other) == pytest.approx(stats.fisher_exact(table).pvalue, rel=1e-9)


def test_a_validator_that_lies_about_one_miner_stands_apart() -> None:
    honest = {"best": Judged(19, 20), "weak": Judged(4, 20)}
    judged = dict.fromkeys("abcd", honest) | {"liar": {"best": Judged(1, 20), "weak": Judged(4, 20)}}
    (first, *rest) = standing_apart(judged)
    assert (first.validator, first.miner, first.own, first.others) == (
        "liar",
        "best",
        Judged(1, 20),
        Judged(76, 80),
    )
    assert rest == []


def test_honest_validators_seldom_stand_apart() -> None:
    generator = np.random.default_rng(7)
    rates = {f"m{number}": generator.uniform(0.05, 0.95) for number in range(12)}
    alarms = 0
    for _ in range(300):
        judged = {
            name: {miner: Judged(int(generator.binomial(20, rate)), 20) for miner, rate in rates.items()}
            for name in "abcde"
        }
        alarms += bool(standing_apart(judged, alpha=0.05))
    assert alarms <= 0.05 * 300 + 3 * (300 * 0.05 * 0.95) ** 0.5


def test_agreement_does_not_depend_on_order_and_needs_common_miners() -> None:
    a, b = {"m": Judged(3, 4), "n": Judged(1, 2)}, {"m": Judged(1, 4), "n": Judged(1, 2)}
    assert agreements({"b": b, "a": a}) == agreements({"a": a, "b": b}) == {("a", "b"): 0.75}
    assert agreements({"a": {"m": Judged(0, 0)}, "b": b}) == {("a", "b"): None}


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="3 of 2 tasks"):
        Judged(3, 2)
