"""Every move and every result has a sentence, and a move's names the numbers that decided."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundsright.core.profiles import Profile
from soundsright.core.tiers import AttemptResult
from soundsright.core.tiers_rules import TIER_NAMES, tiers_rules
from soundsright.ranking import AttemptCounts, move_sentence, result_sentence, tier_move

RULES = tiers_rules()


@pytest.mark.parametrize(
    ("tier", "counts", "total", "peak", "sentence"),
    [
        (
            "Bronze",
            (20, 1),
            1,
            None,
            "Stays in Bronze, the lowest tier: 1 of 20 answers passed, and Bronze needs 70 %.",
        ),
        (
            "Gold",
            (19, 19),
            19,
            None,
            "Stays in Gold: it was asked 19 times since its last move, and moves from 20 on.",
        ),
        (
            "Master",
            (1_000, 930),
            9_000,
            None,
            "Stays in Master: 930 of 1000 answers passed, which shows at least 91.6 %, and Grandmaster needs 92 %.",
        ),
        ("Bronze", (40, 40), 40, None, "Stays in Bronze: Silver needs 250 successes in all."),
        (
            "Bronze",
            (260, 260),
            260,
            None,
            "Up to Silver: 260 of 260 answers passed, which shows at least 99 %, and Silver needs 72 %.",
        ),
        (
            "Gold",
            (20, 20),
            900,
            "Challenger",
            "Back to Challenger, its peak: 20 of 20 answers passed, and Challenger needs 98 %.",
        ),
        ("Challenger", (20, 20), 9_000, None, "Stays in Challenger, the highest tier: 20 of 20 answers passed."),
    ],
)
def test_a_moves_sentence_has_the_numbers_that_decided(
    tier: str, counts: tuple[int, int], total: int, peak: str | None, sentence: str
) -> None:
    move = tier_move(RULES, tier, AttemptCounts(*counts), total_successes=total, peak=peak)
    assert move_sentence(RULES, tier, move.tier, move.reason, move.counts) == sentence


@given(
    st.sampled_from(list(Profile)),
    st.sampled_from(TIER_NAMES),
    st.integers(0, 200).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))),
    st.integers(0, 9_000),
    st.none() | st.sampled_from(TIER_NAMES),
)
def test_no_move_is_without_a_sentence_and_none_contradicts_it(
    profile: Profile, tier: str, counts: tuple[int, int], total: int, peak: str | None
) -> None:
    rules = tiers_rules(profile)
    move = tier_move(rules, tier, AttemptCounts(*counts), total_successes=total, peak=peak)
    sentence = move_sentence(rules, tier, move.tier, move.reason, move.counts)
    assert sentence.endswith(".")
    assert sentence.startswith(f"Stays in {tier}") == (move.tier == tier)


def test_every_result_has_a_sentence() -> None:
    assert len({result_sentence(result) for result in AttemptResult}) == len(AttemptResult)
