"""The executor's system over many periods with faults: validators agree, and a mistake of one is noticed."""

from __future__ import annotations

from collections import Counter

import pytest

from soundsright.testing.simulation import Violation, reversed_order, simulate_images
from soundsright.testing.simulation.image_simulator import BURN_RATIO, FAULTS, MINERS


def test_every_invariant_is_true_under_every_fault() -> None:
    results = [simulate_images(seed, rounds=20) for seed in range(3)]
    struck = sum((Counter(result.faults) for result in results), Counter[str]())
    assert set(struck) == set(FAULTS)
    assert sum(result.restarts for result in results) > 3
    for result in results:
        assert [period.number for period in result.periods] == list(range(1, 21))
        assert result.published > 8
        assert result.checks > 20 * 3
        assert result.paid
        assert set(result.paid) <= set(MINERS)
        for period in result.periods:
            assert period.burned == pytest.approx(BURN_RATIO if period.paid else 1.0)
            assert not period.is_apart or period.fault  # Without a fault, all of them read in the same block.


def test_a_seed_replays_exactly() -> None:
    first = simulate_images(7, rounds=6)
    assert simulate_images(7, rounds=6) == first
    assert simulate_images(8, rounds=6).digest != first.digest


def test_a_validator_that_ranks_backwards_is_noticed() -> None:
    with pytest.raises(Violation) as caught:
        simulate_images(0, rounds=20, order_view=reversed_order)
    assert "pay the same image" in caught.value.invariant
