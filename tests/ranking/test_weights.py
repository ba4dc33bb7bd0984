"""From shares to weights."""

import math

import pytest

from soundsright.core.competition import Competition
from soundsright.core.results import Estimate, Leaderboard, Standing
from soundsright.ranking.weights import weights_of
from tests.ranking.builders import IN_DB, ONE_METRIC, entry


def leaderboard(shares: dict[int, float], competition: Competition = ONE_METRIC) -> Leaderboard:
    metric = next(iter(competition.metric_weights))
    standings = tuple(
        Standing(entry(uid, competition), metric, Estimate(2.0, 2.0, 2.0, 1), share)
        for uid, share in shares.items()
    )
    return Leaderboard(competition, "round", standings, ())


def test_shares_of_all_competitions_add_up_to_one() -> None:
    weights = weights_of([leaderboard({1: 10.0, 2: 4.0}), leaderboard({2: 10.0, 3: 4.0}, IN_DB)])
    assert weights.by_uid == pytest.approx({1: 10 / 28, 2: 14 / 28, 3: 4 / 28})
    assert math.fsum(weights.by_uid.values()) == pytest.approx(1.0, abs=1e-12)


def test_unpaid_shares_are_burned() -> None:
    assert weights_of([leaderboard({1: 7.0})], burn_uid=0).by_uid == pytest.approx({0: 0.5, 1: 0.5})


def test_without_a_burn_uid_the_paid_shares_are_scaled_to_one() -> None:
    assert weights_of([leaderboard({1: 3.0, 2: 1.0})]).by_uid == pytest.approx({1: 0.75, 2: 0.25})


def test_a_fully_paid_round_burns_nothing() -> None:
    assert weights_of([leaderboard({1: 10.0, 2: 4.0})], burn_uid=0).by_uid == pytest.approx({1: 10 / 14, 2: 4 / 14})


def test_nothing_paid_is_never_uniform() -> None:
    unpaid = leaderboard({1: 0.0, 2: 0.0})
    assert weights_of([unpaid]).by_uid == {}
    assert weights_of([]).by_uid == {}
    assert weights_of([], burn_uid=0).by_uid == {}
    assert weights_of([unpaid], burn_uid=0).by_uid == {0: 1.0}


@pytest.mark.parametrize("share", [-1.0, float("nan"), float("inf")])
def test_a_negative_or_infinite_share_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        weights_of([leaderboard({1: share})])
