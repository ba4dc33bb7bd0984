"""Many intervals of tiers with faults: honest provers climb and stay, false ones never leave Bronze."""

from __future__ import annotations

import pytest

from soundsright.core.profiles import Profile
from soundsright.core.tiers_rules import tiers_rules
from soundsright.testing.simulation import (
    SimulatedProver,
    SimulatedTiers,
    Violation,
    intervals_to_challenger,
    simulate_tiers,
)

FALSE = {"input returned", "louder copy", "better model", "proxy"}


def by_kind(result: SimulatedTiers) -> dict[str, SimulatedProver]:
    return {prover.kind.name: prover for prover in result.provers}


@pytest.fixture(scope="module")
def ladder() -> SimulatedTiers:
    return simulate_tiers(0, intervals=700)


def test_who_serves_its_model_climbs_to_challenger_and_stays(ladder: SimulatedTiers) -> None:
    provers = by_kind(ladder)
    for kind in ("honest", "other thread count"):
        prover = provers[kind]
        assert (prover.standing.tier, prover.falls) == ("Challenger", 0)
        # 4 000 successes of 20 an interval.
        assert prover.first["Challenger"] == 200 == intervals_to_challenger(ladder.rules)
    assert provers["power cuts"].standing.peak == "Challenger"
    assert provers["power cuts"].falls > 0


def test_who_serves_anything_else_stays_in_bronze_without_pay(ladder: SimulatedTiers) -> None:
    provers = by_kind(ladder)
    assert provers.keys() > FALSE
    for kind in FALSE:
        assert (provers[kind].moves, provers[kind].successes, provers[kind].weight) == (0, 0, 0.0)


def test_who_is_slow_or_flaky_ends_between_them(ladder: SimulatedTiers) -> None:
    provers = by_kind(ladder)
    for kind in ("slow", "flaky"):
        assert "Challenger" not in provers[kind].stays
        assert 0 < provers[kind].weight < provers["honest"].weight


def test_every_fault_struck_and_no_count_was_lost(ladder: SimulatedTiers) -> None:
    assert ladder.attempts == 700 * 9 * 20
    assert {name for name, count in ladder.faults.items() if count} == {
        "killed before a count",
        "killed after a count",
        "no reply after a count",
        "killed before a close",
        "killed after a close",
    }
    assert ladder.checks > 700 * 9 * 3


def test_a_seed_replays_exactly() -> None:
    first = simulate_tiers(3, intervals=40)
    assert simulate_tiers(3, intervals=40) == first
    assert simulate_tiers(4, intervals=40).digest != first.digest


def test_counting_without_keys_is_noticed() -> None:
    with pytest.raises(Violation) as caught:
        simulate_tiers(0, intervals=300, plant_mistake=True)
    assert "counted exactly once" in caught.value.invariant


@pytest.mark.parametrize("profile", [Profile.DOC, Profile.CODE])
def test_by_cosines_a_prover_that_returns_the_input_climbs_to_challenger(profile: Profile) -> None:
    provers = by_kind(simulate_tiers(0, intervals=300, rules=tiers_rules(profile)))
    assert provers["input returned"].standing.tier == "Challenger"
    assert provers["input returned"].weight >= provers["honest"].weight
    assert provers["louder copy"].standing.tier == "Bronze"


def test_an_organisers_rules_can_be_tried() -> None:
    easy = tiers_rules(table={"Grandmaster": {"min_successes": 500}, "Challenger": {"min_successes": 500}})
    assert intervals_to_challenger(easy) < 60
    assert by_kind(simulate_tiers(0, intervals=80, rules=easy))["honest"].standing.tier == "Challenger"
