"""A federation over many epochs with faults: honest validators pay the same, and a mistake of one is noticed."""

from __future__ import annotations

from collections import Counter

import pytest

from soundsright.testing.simulation import FederationRule, Lie, Violation, simulate_federation

FAULTS = {
    "late blocks",
    "no blocks",
    "reorganisation",
    "restart",
    "epoch of a partition",
    "lost write",
    "equivocation",
    *Lie,
}


def test_honest_validators_pay_the_same_under_every_fault() -> None:
    results = [simulate_federation(seed, epochs=100) for seed in range(3)]
    struck = sum((result.faults for result in results), Counter[str]())
    assert {fault for fault, count in struck.items() if count} == FAULTS
    for result in results:
        assert 5 <= result.validators <= 9
        assert len(result.epochs) == 100
        assert 0.05 < result.unread / result.reads < 0.2
        assert result.checks > 100 * 100
        assert not any(epoch.is_apart for epoch in result.epochs)
        assert not any(epoch.misled for epoch in result.epochs), "one liar of five or more crowned somebody"
    assert sum(result.changes for result in results) > 3
    assert sum(result.disagreements for result in results) == 0


def test_a_majority_that_lies_for_a_miner_is_counted() -> None:
    result = simulate_federation(0, epochs=40, unreachable=0.0, faults=False, colluders=6)
    assert result.validators == 9
    assert sum(bool(epoch.favoured) for epoch in result.epochs) > 5


def test_all_decide_the_same_each_time_if_nothing_fails() -> None:
    result = simulate_federation(0, epochs=60, unreachable=0.0, faults=False)
    # The first views count in the second epoch.
    assert [epoch.holding for epoch in result.epochs] == [9] + [0] * 59
    assert result.disagreements == 0
    assert result.changes > 0


def test_own_reads_disagree_where_views_do_not() -> None:
    epochs = {rule: simulate_federation(1, epochs=60, rule=rule).disagreements for rule in FederationRule}
    assert epochs[FederationRule.OWN] > 5
    assert epochs[FederationRule.STATED] == 0


def test_views_that_are_withheld_stop_nobody_once_a_majority_must_have_read_them() -> None:
    def stopped(rule: FederationRule) -> int:
        result = simulate_federation(4, epochs=60, rule=rule, lies=[Lie.WITHHELD])
        return sum(epoch.holding == epoch.honest for epoch in result.epochs)

    assert stopped(FederationRule.VIEWS) > 10
    assert stopped(FederationRule.STATED) < 5


def test_a_seed_replays_exactly() -> None:
    first = simulate_federation(7, epochs=12)
    assert simulate_federation(7, epochs=12) == first
    assert simulate_federation(8, epochs=12).digest != first.digest


def test_a_validator_that_counts_its_own_reads_is_noticed() -> None:
    with pytest.raises(Violation) as caught:
        simulate_federation(0, epochs=60, plant_mistake=True)
    assert "from the views alone" in caught.value.invariant
