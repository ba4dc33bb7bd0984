"""Less than a third of the validators decide nothing, also if they lie together for the same miner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from soundsright.core.federation import JudgedRow, Verdict
from soundsright.ranking import FederationReason
from soundsright.ranking.outvoting import counting_validators
from tests.ranking.test_one_liar import BEST, LIES, QUALITY, WORST, Lie, decide, left_out, lies, said, world

most = pytest.mark.parametrize(("validators", "liars"), [(5, 1), (7, 2), (9, 2), (10, 3)])


def lied(verdicts: list[Verdict], lie: Lie, validators: int, liars: int) -> list[Verdict]:
    """The verdicts after the last `liars` validators have changed the rows of theirs."""
    changed = []
    for each in verdicts:
        rows: list[JudgedRow] = [*each.rows]
        if each.task % validators >= validators - liars:
            rows = [row for old in rows if (row := lie(old)) is not None]
        changed.append(replace(each, rows=tuple(rows)))
    return changed


def collusion(
    validators: int, liars: int, lie: Lie, quality: Mapping[str, float] = QUALITY, *, seed: int = 0
) -> list[Verdict]:
    return lied(world(validators, None, quality, seed=seed), lie, validators, liars)


@most
@lies
@pytest.mark.parametrize("seed", range(3))
def test_colluding_liars_do_not_take_the_place_from_the_incumbent(
    validators: int, liars: int, lie: Lie, seed: int
) -> None:
    decision = decide(collusion(validators, liars, lie, seed=seed))
    assert (decision.winner, decision.reason) == ("holder", FederationReason.DEFENDED)


@most
@lies
def test_colluding_liars_do_not_crown_a_model_that_is_worse_than_the_input(
    validators: int, liars: int, lie: Lie
) -> None:
    decision = decide(collusion(validators, liars, lie, {"holder": 0.5, "evil": -0.2}), "")
    assert (decision.winner, decision.reason) == ("holder", FederationReason.OPEN)


@most
@pytest.mark.parametrize(
    "lie",
    [said("rival", WORST, passed=False), left_out("rival"), left_out("holder"), said("holder", BEST, passed=True)],
    ids=["runs down", "leaves out", "leaves out the holder", "praises the holder"],
)
def test_colluding_liars_do_not_keep_a_better_challenger_out(validators: int, liars: int, lie: Lie) -> None:
    decision = decide(collusion(validators, liars, lie, {"holder": 0.5, "rival": 0.6}))
    assert (decision.winner, decision.reason) == ("rival", FederationReason.TAKEN)


@most
def test_an_open_place_goes_to_the_best_rate_without_the_liars(validators: int, liars: int) -> None:
    """Rates are 1 for the good model and 0.5 for the other one, where the validator does not lie."""
    verdicts = [
        replace(each, rows=tuple(replace(r, passed=r.hotkey == "good" or turn % 2 == 0) for r in each.rows))
        for each in world(validators, None, {"evil": 0.5, "good": 0.5}, tasks=20 * validators)
        for turn in (each.task // validators,)
    ]
    praising: Lie = lambda r: replace(r, passed=r.hotkey == "evil")  # noqa: E731 - the lies are functions
    decision = decide(lied(verdicts, praising, validators, liars), "")
    assert (decision.winner, decision.reason) == ("good", FederationReason.OPEN)


def test_liars_with_others_away_do_not_decide() -> None:
    """Ten validators judge, and three honest ones lack the miner that the three liars praise."""
    verdicts = collusion(10, 3, LIES["praises"])
    partly = [
        replace(each, rows=tuple(r for r in each.rows if r.hotkey != "evil" or each.task % 10 > 2))
        for each in verdicts
    ]
    assert decide(partly).winner == "holder"


def test_with_one_liar_more_than_are_outvoted_the_mean_follows_them() -> None:
    """The limit is known: with three of seven, the miner that they praise can take the place."""
    winners = {decide(collusion(7, 3, LIES["praises"], seed=seed)).winner for seed in range(5)}
    assert "evil" in winners


def test_means_of_many_validators_leave_out_the_same_number_at_each_end() -> None:
    rng = np.random.default_rng(0)
    sums, counts = rng.integers(-50, 50, (40, 10)), rng.integers(1, 9, (40, 10))
    for row, own, tasks in zip(counting_validators(sums, counts, 3), sums, counts, strict=True):
        ordered = sorted(range(10), key=lambda v: (own[v] / tasks[v], v))
        assert sorted(np.flatnonzero(row)) == sorted(ordered[3:7])
