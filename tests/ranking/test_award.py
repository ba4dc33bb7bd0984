"""For any means, shares are finite, not negative, and within the prize."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundsright.core.rulesets import RULESETS, SOUNDSRIGHT_V2, SOUNDSRIGHT_V3, Margin, Ruleset, StandIn
from soundsright.ranking.awards import Contender, Title, award, capped_shares
from soundsright.ranking.sentences import prize_sentence

MEANS = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True), st.floats(-50, 50))
P_VALUES = st.one_of(st.none(), st.floats(0, 1))

CONTENDERS = st.lists(
    st.builds(
        Contender,
        hotkey=st.sampled_from([f"hk{i}" for i in range(8)]),
        uid=st.integers(0, 255),
        block=st.integers(0, 10**6),
        mean=MEANS,
        gain=st.one_of(st.none(), st.floats(-50, 50)),
        beats_unprocessed=st.booleans(),
        p_value=P_VALUES,
    ),
    max_size=8,
    unique_by=lambda contender: contender.hotkey,
)
TITLES = st.one_of(
    st.none(),
    st.builds(
        Title,
        hotkey=st.sampled_from([f"hk{i}" for i in range(8)]),
        mean=st.floats(-50, 50),
        block=st.integers(0, 10**6),
        since_block=st.integers(0, 10**6),
        took_part=st.booleans(),
        copies=st.integers(0, 300),
    ),
)


@pytest.mark.parametrize("metric", ["PESQ_WB", "SI_SDR", "SI_SAR"])
@pytest.mark.parametrize("ruleset", RULESETS, ids=lambda r: r.name)
@settings(derandomize=True, database=None, max_examples=300, deadline=None)
@given(contenders=CONTENDERS, title=TITLES, at_block=st.integers(0, 2 * 10**6))
def test_shares_are_finite_positive_and_within_the_prize(
    ruleset: Ruleset, metric: str, contenders: list[Contender], title: Title | None, at_block: int
) -> None:
    result = award(ruleset, metric, contenders, title, prize=6.0, remainder=1.8, at_block=at_block)
    assert all(math.isfinite(share) and share >= 0 for share in result.shares.values())
    assert math.fsum(result.shares.values()) <= 7.8 + 1e-9
    usable = {c.hotkey for c in contenders if c.mean is not None and math.isfinite(c.mean)}
    paid = {hotkey for hotkey, share in result.shares.items() if share > 0}
    allowed = usable | ({title.hotkey} if title and not contenders else set())
    assert paid <= allowed
    if ruleset.must_beat_unprocessed:
        assert paid <= {c.hotkey for c in contenders if c.beats_unprocessed}
        assert all(s <= 0.9 + 1e-9 for h, s in result.shares.items() if h != result.winner)
    assert prize_sentence(ruleset, metric, result).endswith(".")


def test_a_set_that_is_too_small_for_any_prize_says_how_many_clips_are_needed() -> None:
    entry = Contender("a", 1, 0, 2.0, gain=0.5, beats_unprocessed=False, unprocessed_p_value=0.25)
    result = award(SOUNDSRIGHT_V3, "ESTOI", [entry], None, prize=1.0, remainder=0.0, at_block=0)
    few = prize_sentence(SOUNDSRIGHT_V3, "ESTOI", result, clips=2)
    assert few == "Nobody is paid for ESTOI: 2 clips are too few for any prize; at least 5 are needed."
    assert "no entry beats" in prize_sentence(SOUNDSRIGHT_V3, "ESTOI", result, clips=5)


def test_a_challenger_wins_with_the_needed_mean_and_not_with_slightly_less() -> None:
    champion = Contender("champion", 0, 0, 2.0)
    title = Title("champion", 2.0, 0, 0)
    for mean, winner in ((2.007, "challenger"), (2.00699, "champion")):
        rival = Contender("challenger", 1, 0, mean, p_value=0.0)
        result = award(SOUNDSRIGHT_V2, "PESQ", [champion, rival], title, prize=1.0, remainder=0.0, at_block=0)
        assert result.winner == winner
        assert result.needed == {"challenger": pytest.approx(2.007)}


def test_shares_of_huge_and_tiny_parts_stay_finite() -> None:
    assert capped_shares({"a": 1e308, "b": 1e308, "c": 5e-324}, 3.0, cap=1.0) == {"a": 1.5, "b": 1.5, "c": 0.0}


@pytest.mark.parametrize(
    "change",
    [
        {"alpha": 0.0},
        {"alpha": 1.0},
        {"remainder_cap": 1.5},
        {"emission_floor": -0.1},
        {"copy_tightening": -1.0},
        {"copy_tightening_limit": 0.5},
        {"emission_decay_blocks": 0},
    ],
)
def test_rules_out_of_range_cannot_be_built(change: dict[str, Any]) -> None:
    v3 = SOUNDSRIGHT_V3
    with pytest.raises(ValueError, match=r"\S"):
        Ruleset("x", margin=v3.margin, age=v3.age, remainder=v3.remainder, **change)


@pytest.mark.parametrize("numbers", [(0.1, 0.2, 10), (-0.1, -0.2, 10), (0.2, 0.1, 0), (float("nan"), 0.1, 10)])
def test_a_margin_that_does_not_fall_cannot_be_built(numbers: tuple[float, float, int]) -> None:
    with pytest.raises(ValueError, match="margin"):
        Margin(*numbers)


def test_every_number_of_the_rules_is_in_the_digest() -> None:
    import dataclasses

    changes: dict[str, Any] = {
        "margin": Margin(0.004, 0.0015, 50_400),
        "gates": (StandIn("SI_SAR", "SI_SDR", 0.6),),
        "alpha": 0.01,
        "remainder_cap": 0.4,
        "emission_floor": 0.4,
        "copy_tightening": 0.3,
    }
    digests = {dataclasses.replace(SOUNDSRIGHT_V3, **{name: value}).digest for name, value in changes.items()}
    assert len(digests | {SOUNDSRIGHT_V3.digest}) == len(changes) + 1
    assert dataclasses.replace(SOUNDSRIGHT_V3, summary="in other words").digest == SOUNDSRIGHT_V3.digest
