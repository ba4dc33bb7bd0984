"""The weights of several systems together."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundsright.ranking import KnownPayees, combined_emission

SHARES = {"competitions": 0.5, "executor": 0.2, "tiers": 0.2, "tournaments": 0.1}
PAYEES = {"competitions": {"a": 0.7, "b": 0.3}, "executor": {"a": 1.0}, "tiers": {"b": 0.5, "c": 0.25}}


def test_a_hotkey_gets_its_part_of_every_share_and_the_rest_burns() -> None:
    emission = combined_emission(SHARES, PAYEES, burn=True)
    assert emission.by_hotkey == pytest.approx({"a": 0.55, "b": 0.25, "c": 0.05})
    assert emission.burned == pytest.approx(0.15)


def test_without_burning_the_weights_are_scaled_to_one() -> None:
    emission = combined_emission(SHARES, PAYEES, burn=False)
    assert emission.by_hotkey == pytest.approx({"a": 0.647059, "b": 0.294118, "c": 0.058824}, abs=1e-6)
    assert emission.burned == 0


def test_where_nobody_is_paid_everything_burns_or_there_are_no_weights() -> None:
    assert combined_emission(SHARES, {}, burn=True).burned == 1
    assert combined_emission(SHARES, {"tiers": {"a": 0.0}}, burn=False).by_hotkey == {}


def test_last_payees_count_for_a_day_and_no_longer() -> None:
    payees = KnownPayees({"a": 1.0}, block=900)
    assert payees.counts_at(1000)
    assert payees.counts_at(8100)
    assert not payees.counts_at(8101)


@pytest.mark.parametrize("part", [-0.1, math.nan, math.inf, 1.1])
def test_a_part_that_is_no_part_is_refused_by_name(part: float) -> None:
    with pytest.raises(ValueError, match="tiers"):
        combined_emission(SHARES, {"tiers": {"a": part}}, burn=True)
    with pytest.raises(ValueError, match="payees"):
        KnownPayees({"a": part}, block=0)


def test_shares_above_one_and_payees_without_a_share_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 1"):
        combined_emission({"a": 0.6, "b": 0.5}, {}, burn=True)
    with pytest.raises(ValueError, match="no share"):
        combined_emission({"a": 0.6}, {"b": {}}, burn=True)


_parts = st.dictionaries(st.sampled_from("vwxyz"), st.floats(0, 0.2), max_size=5)


@given(st.dictionaries(st.sampled_from(sorted(SHARES)), _parts, max_size=4))
def test_with_burning_nothing_is_lost_and_the_order_does_not_matter(payees: dict[str, dict[str, float]]) -> None:
    emission = combined_emission(SHARES, payees, burn=True)
    assert math.fsum([*emission.by_hotkey.values(), emission.burned]) == pytest.approx(1.0)
    turned = {system: dict(reversed(parts.items())) for system, parts in reversed(payees.items())}
    assert combined_emission(dict(reversed(SHARES.items())), turned, burn=True) == emission
