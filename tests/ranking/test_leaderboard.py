"""The winner of each prize, and the reason."""

import math
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from soundsright.core.competition import Competition
from soundsright.core.groups import ClipGroups
from soundsright.core.results import Evaluation, Leaderboard
from soundsright.core.rulesets import SOUNDSRIGHT_V2, SOUNDSRIGHT_V3
from soundsright.ranking.champions import Champion, champions_after
from soundsright.ranking.leaderboard import decide
from tests.ranking import builders
from tests.ranking.builders import (
    FLOORS,
    IN_DB,
    ONE_METRIC,
    WITH_ARTEFACTS,
    WITH_INTERFERENCE,
    entry,
    evaluation,
    spread,
)

board = partial(builders.board, ruleset=SOUNDSRIGHT_V3)


def shares(leaderboard: Leaderboard) -> dict[int, float]:
    return {s.submission.uid: s.share for s in leaderboard.standings}


def winner_uid(leaderboard: Leaderboard) -> int | None:
    """The uid of the entry that takes the first metric's prize."""
    winner = leaderboard.decisions[0].winner
    return winner.uid if winner else None


def winner_uids(leaderboard: Leaderboard) -> dict[str, int | None]:
    """The uid of the winner by metric."""
    return {d.metric: d.winner.uid if d.winner else None for d in leaderboard.decisions}


def pesq(uid: int, mean: float, *, block: int | None = None, name: str | None = None) -> Evaluation:
    return evaluation(entry(uid, block=block, name=name), {"PESQ_WB": spread(mean)})


def noisy_pesq(uid: int, mean: float) -> Evaluation:
    """A given mean, but with other clips hard and easy than for the other entries."""
    return evaluation(entry(uid), {"PESQ_WB": spread(mean, seed=uid)})


def champion(uid: int, mean: float, *, since_block: int = 9_000, competition: Competition = ONE_METRIC) -> Champion:
    return Champion(entry(uid, competition), mean, since_block)


def test_the_best_mean_takes_an_open_title() -> None:
    result = board([pesq(1, 2.0), pesq(2, 2.4), pesq(3, 1.8)])
    assert result.decisions[0].winner == entry(2)
    assert shares(result)[2] == 10.0
    assert [s.submission.uid for s in result.standings] == [2, 1, 3]
    assert [s.rank for s in result.standings] == [1, 2, 3]


def test_equal_means_are_decided_by_the_earlier_commitment_then_the_lower_uid() -> None:
    assert winner_uid(board([pesq(1, 2.0, block=300), pesq(2, 2.0, block=200)])) == 2
    assert winner_uid(board([pesq(5, 2.0, block=200), pesq(4, 2.0, block=200)])) == 4


def test_a_failed_clip_scores_the_floor_and_is_not_skipped() -> None:
    scores = spread(2.0)
    whole = board([evaluation(entry(1), {"PESQ_WB": scores})]).standings[0].estimate
    hard = int(np.argmin(scores))
    failing = board([evaluation(entry(1), {"PESQ_WB": scores}, failing={hard})]).standings[0].estimate
    assert failing.n == whole.n == 40
    assert failing.mean == pytest.approx((scores.sum() - scores[hard] + 1.0) / 40)
    assert failing.mean < whole.mean


def test_failing_every_clip_earns_nothing() -> None:
    dead = evaluation(entry(1), {"PESQ_WB": spread(2.0)}, failing=set(range(40)))
    assert shares(board([dead, pesq(2, 2.0)])) == {1: 0.0, 2: 10.0}


class TestChampion:
    def test_keeps_the_title_within_the_margin(self) -> None:
        result = board([pesq(1, 2.0), pesq(2, 2.005)], {"PESQ_WB": champion(1, 2.0)})
        assert result.decisions[0].winner == entry(1)
        assert "needed" in result.decisions[0].sentence
        rival = next(s for s in result.standings if s.submission.uid == 2)
        assert rival.needed is not None
        assert 2.005 < rival.needed < 2.008
        assert "more than it reached" in rival.reason

    def test_loses_it_to_a_clear_and_certain_lead(self) -> None:
        result = board([pesq(1, 2.0), pesq(2, 2.02)], {"PESQ_WB": champion(1, 2.0)})
        decision = result.decisions[0]
        assert decision.winner == entry(2)
        assert decision.evidence["dethroned"] is True
        assert decision.evidence["difference"] == pytest.approx(0.02)
        p_value = decision.evidence["p_value_holm"]
        assert isinstance(p_value, float)
        assert SOUNDSRIGHT_V3.alpha is not None
        assert p_value <= SOUNDSRIGHT_V3.alpha

    def test_keeps_it_if_the_lead_could_be_chance(self) -> None:
        result = board([pesq(1, 2.0), noisy_pesq(2, 2.02)], {"PESQ_WB": champion(1, 2.0)})
        assert result.decisions[0].winner == entry(1)
        assert "paired test" in result.decisions[0].sentence
        rival = next(s for s in result.standings if s.submission.uid == 2)
        assert "chance" in rival.reason
        # The published rules hold no test: there the same lead wins.
        published = board(
            [pesq(1, 2.0), noisy_pesq(2, 2.02)], {"PESQ_WB": champion(1, 2.0)}, ruleset=SOUNDSRIGHT_V2
        )
        assert published.decisions[0].winner == entry(2)

    def test_the_second_challenger_can_win_if_the_best_ones_lead_could_be_chance(self) -> None:
        result = board([pesq(1, 2.0), noisy_pesq(2, 2.05), pesq(3, 2.04)], {"PESQ_WB": champion(1, 2.0)})
        assert result.decisions[0].winner == entry(3)
        (unsure,) = [s for s in result.standings if s.submission.uid == 2]
        assert unsure.reason.startswith(
            "Shares in the remainder: it reached the margin over the champion, hk001 with 2.0000, but over these"
            " clips the lead could be chance (p = 0.21, needed at most 0.05); hk003 took the prize with 2.0400. The"
            " prize needed a mean of 2."
        )

    def test_that_cannot_defend_sets_no_margin(self) -> None:
        """The earlier of equal means wins. The later one's reason mentions no test against the absent champion."""
        unsure = spread(2.0, seed=7, sd=3.0)
        equal = [evaluation(entry(uid), {"PESQ_WB": unsure + 1}) for uid in (2, 3)]
        fallen = evaluation(entry(1), {"PESQ_WB": spread(1.9, seed=9, sd=30.0)})
        unprocessed = evaluation(entry(900), {"PESQ_WB": unsure})
        result = board([fallen, *equal], {"PESQ_WB": champion(1, 2.0)}, baseline=unprocessed)
        (later,) = [s for s in result.standings if s.submission.uid == 3]
        assert later.reason == "Shares in the remainder: another entry reached as much, and committed earlier."

    def test_keeps_it_if_no_other_entry_gains_enough(self) -> None:
        title = {"PESQ_WB": champion(1, 2.0)}
        kept = "hk001 keeps PESQ-WB with 2.0000: "
        alone = board([pesq(1, 2.0)], title).decisions[0].sentence
        assert alone == f"{kept}nobody challenges."
        above = evaluation(entry(2), {"PESQ_WB": spread(2.1, seed=2, sd=9.0)})
        assert board([pesq(1, 2.0), above], title).decisions[0].sentence == (
            f"{kept}no other entry gains enough over the unprocessed input."
        )

    def test_defends_with_todays_mean(self) -> None:
        result = board([pesq(1, 1.9), pesq(2, 2.0)], {"PESQ_WB": champion(1, 2.5)})
        assert result.decisions[0].winner == entry(2)

    def test_that_did_not_take_part_leaves_the_title_open(self) -> None:
        result = board([pesq(2, 1.5)], {"PESQ_WB": champion(1, 2.5)})
        assert result.decisions[0].winner == entry(2)

    def test_with_a_new_model_has_no_title_to_defend_under_v3(self) -> None:
        swapped = evaluation(entry(1, name="other"), {"PESQ_WB": spread(2.0)})
        contest = [swapped, pesq(2, 2.001)]
        assert winner_uid(board(contest, {"PESQ_WB": champion(1, 2.0)})) == 2
        assert winner_uid(board(contest, {"PESQ_WB": champion(1, 2.0)}, ruleset=SOUNDSRIGHT_V2)) == 1

    def test_that_wins_its_title_back_with_a_new_model_is_paid_by_the_age_of_the_title(self) -> None:
        """Otherwise a changed README would make a title young again, without a lead over anybody."""
        old = {"PESQ_WB": champion(1, 2.0, since_block=0)}
        regained = board([pesq(1, 2.0, name="new"), pesq(2, 1.9)], old, at_block=201_600)
        assert shares(regained)[1] == 5.0
        assert "keeps its age" in regained.decisions[0].sentence
        assert champions_after(regained, old, at_block=201_600)["PESQ_WB"].since_block == 0
        # Another hotkey's title is a new one.
        taken = board([pesq(1, 1.9, name="new"), pesq(2, 2.0)], old, at_block=201_600)
        assert shares(taken)[2] == 10.0
        assert champions_after(taken, old, at_block=201_600)["PESQ_WB"].since_block == 201_600

    def test_that_falls_to_the_unprocessed_input_loses_title_and_pay(self) -> None:
        result = board([pesq(1, 1.1), pesq(2, 1.5)], {"PESQ_WB": champion(1, 2.0)}, baseline=1.2)
        assert result.decisions[0].winner == entry(2)
        assert shares(result)[1] == 0.0

    def test_defence_relaxes_with_the_age_of_the_title(self) -> None:
        contest = [pesq(1, 2.0), pesq(2, 2.005)]
        old = {"PESQ_WB": champion(1, 2.0, since_block=0)}
        assert winner_uid(board(contest, old, at_block=100)) == 1
        assert winner_uid(board(contest, old, at_block=60_000)) == 2

    def test_defence_tightens_with_copies(self) -> None:
        contest = [pesq(1, 2.0), pesq(2, 2.01)]
        title = {"PESQ_WB": champion(1, 2.0)}
        assert winner_uid(board(contest, title)) == 2
        assert winner_uid(board(contest, title, copies={"hk001": 4})) == 1

    def test_pay_decays_to_the_floor_and_the_rest_is_not_paid(self) -> None:
        title = {"PESQ_WB": champion(1, 2.0, since_block=0)}
        young = board([pesq(1, 2.0)], title, at_block=50_400)
        old = board([pesq(1, 2.0)], title, at_block=10**7)
        assert shares(young)[1] == 10.0
        assert shares(old)[1] == 5.0
        assert "50%" in old.standings[0].reason


class TestUnprocessedInput:
    def test_must_be_beaten_to_be_paid(self) -> None:
        result = board([pesq(1, 1.15), pesq(2, 1.5)], baseline=1.2)
        assert shares(result) == {1: 0.0, 2: 10.0}
        assert "unprocessed" in next(s.reason for s in result.standings if s.submission.uid == 1)

    def test_nobody_is_paid_if_nobody_beats_it(self) -> None:
        result = board([pesq(1, 1.1), pesq(2, 1.15)], baseline=1.2)
        assert result.decisions[0].winner is None
        assert set(shares(result).values()) == {0.0}

    def test_entered_as_a_model_it_earns_nothing(self) -> None:
        copy = evaluation(entry(7), {"PESQ_WB": spread(1.2)})
        assert shares(board([copy], baseline=1.2)) == {7: 0.0}

    def test_has_its_own_row_and_no_share(self) -> None:
        (row,) = board([pesq(1, 2.0)], baseline=1.2).unprocessed
        assert row.estimate.mean == pytest.approx(1.2)
        assert row.share == 0.0

    def test_maximises_the_artefact_ratio_so_that_another_metric_stands_in(self) -> None:
        def both(uid: int, si_sdr: float, si_sar: float) -> Evaluation:
            return evaluation(
                entry(uid, WITH_ARTEFACTS), {"SI_SDR": spread(si_sdr), "SI_SAR": spread(si_sar, seed=1)}
            )

        unprocessed = both(900, 5.0, 60.0)
        idle, enhancer = both(1, 5.2, 50.0), both(2, 12.0, 14.0)
        result = board([idle, enhancer], baseline=unprocessed)
        assert winner_uids(result) == {"SI_SDR": 2, "SI_SAR": 2}
        reasons = {(s.submission.uid, s.metric): s.reason for s in result.standings}
        assert reasons[1, "SI_SAR"] == (
            "Is not paid: it gains 0.2000 over the unprocessed input on SI-SDR, which stands in for SI-SAR, but"
            " needs at least 50% of the best gain there."
        )
        assert result.decisions[1].sentence == (
            "hk002 takes SI-SAR with 14.0000, the best mean of those that gain enough over the unprocessed input on"
            " SI-SDR, which stands in for SI-SAR; no champion defends."
        )

    def test_beaten_by_taking_the_noise_band_away_with_the_speech_earns_nothing(self) -> None:
        def both(uid: int, si_sdr: float, si_sir: float) -> Evaluation:
            return evaluation(
                entry(uid, WITH_INTERFERENCE), {"SI_SDR": spread(si_sdr), "SI_SIR": spread(si_sir, seed=1)}
            )

        unprocessed = both(900, 5.0, 5.0)
        high_pass, enhancer = both(1, 4.8, 30.0), both(2, 12.0, 20.0)
        result = board([high_pass, enhancer], baseline=unprocessed)
        assert winner_uids(result) == {"SI_SDR": 2, "SI_SIR": 2}
        assert shares(result)[1] == 0.0

    def test_a_gain_by_chance_has_another_reason_than_no_gain(self) -> None:
        few = [1.9, 2.1, 2.0, 2.2]
        unprocessed = evaluation(entry(900), {"PESQ_WB": [1.5, 1.6, 1.5, 1.7]})
        result = board([evaluation(entry(1), {"PESQ_WB": few})], baseline=unprocessed)
        assert shares(result) == {1: 0.0}
        assert "could be chance (p = 0.062, needed at most 0.05)" in result.standings[0].reason

    def test_is_named_if_the_champion_does_not_beat_it(self) -> None:
        result = board([pesq(1, 1.1), pesq(2, 1.5)], {"PESQ_WB": champion(1, 2.0)}, baseline=1.2)
        assert result.decisions[0].sentence == (
            "hk002 takes PESQ-WB with 1.5000, the best mean; hk001, the champion, cannot defend: it does not beat"
            " the unprocessed input (mean gain -0.1000)."
        )

    def test_the_reason_names_the_metric_that_stands_in_and_the_failed_test(self) -> None:
        def both(uid: int, si_sdr: NDArray[np.float64], si_sir: float) -> Evaluation:
            return evaluation(entry(uid, WITH_INTERFERENCE), {"SI_SDR": si_sdr, "SI_SIR": spread(si_sir, seed=1)})

        by_chance = spread(5.0) + spread(1.8, seed=5, sd=9.0)
        contest = [both(1, by_chance, 22.8), both(2, spread(12.0), 28.8)]
        titles = {metric: champion(1, 0.0) for metric in ("SI_SDR", "SI_SIR")}
        unprocessed = both(900, spread(5.0), 5.0)
        result = board(contest, titles, baseline=unprocessed)
        chance = "but over these clips that could be chance (p = 0.069, needed at most 0.05)."
        on = {"SI_SDR": "", "SI_SIR": " on SI-SDR, which stands in for SI-SIR"}
        for decision in result.decisions:
            gains = f"gains 1.8000 over the unprocessed input{on[decision.metric]}, {chance}"
            assert decision.sentence.endswith(f"the best mean; hk001, the champion, cannot defend: it {gains}")
            (own,) = [s for s in result.standings if (s.submission.uid, s.metric) == (1, decision.metric)]
            assert own.reason.startswith(f"Is not paid: it {gains}")

    def test_is_beaten_by_nobody_on_the_mean_or_by_the_test(self) -> None:
        nobody = "Nobody is paid for PESQ-WB: no entry beats the unprocessed input"
        assert board([pesq(1, 1.1)], baseline=1.2).decisions[0].sentence == f"{nobody}."
        by_chance = evaluation(entry(1), {"PESQ_WB": spread(1.2) + spread(0.05, seed=5)})
        assert board([by_chance], baseline=1.2).decisions[0].sentence == (
            f"{nobody}, by the paired test over these clips."
        )


class TestRemainder:
    def test_is_shared_by_gain_and_no_entry_takes_more_than_half(self) -> None:
        paid = shares(board([pesq(1, 3.0), pesq(2, 2.2), pesq(3, 1.7)], baseline=1.2))
        assert paid[1] == 10.0
        assert paid[2] == 2.0
        assert paid[3] == pytest.approx(2.0)
        assert shares(board([pesq(1, 3.0), pesq(2, 2.2)], baseline=1.2))[2] == 2.0

    def test_cannot_go_negative_in_db(self) -> None:
        def si_sdr(uid: int, mean: float) -> Evaluation:
            return evaluation(entry(uid, IN_DB), {"SI_SDR": spread(mean)})

        contest = [si_sdr(1, 0.5), si_sdr(2, 0.01), si_sdr(3, -8.0)]
        for ruleset in (SOUNDSRIGHT_V2, SOUNDSRIGHT_V3):
            paid = shares(board(contest, baseline=-5.0, ruleset=ruleset))
            assert all(math.isfinite(share) and share >= 0 for share in paid.values())
            assert sum(paid.values()) <= 14.0 + 1e-9
            assert paid[1] == 10.0


def test_margins_in_db_are_added() -> None:
    def si_sdr(uid: int, mean: float) -> Evaluation:
        return evaluation(entry(uid, IN_DB), {"SI_SDR": spread(mean)})

    title = {"SI_SDR": champion(1, 0.0)}
    close = board([si_sdr(1, 0.0), si_sdr(2, 0.05)], title, baseline=-5.0)
    clear = board([si_sdr(1, 0.0), si_sdr(2, 0.15)], title, baseline=-5.0)
    assert (winner_uid(close), winner_uid(clear)) == (1, 2)


def test_the_order_of_evaluations_changes_nothing() -> None:
    contest = [pesq(1, 2.0), pesq(2, 2.4), noisy_pesq(3, 2.41), pesq(4, 1.8)]
    title = {"PESQ_WB": champion(1, 2.0)}
    assert board(contest, title) == board(contest[::-1], title)


def test_titles_carry_over_from_round_to_round() -> None:
    first = board([pesq(1, 2.0)], at_block=500)
    titles = champions_after(first, {}, at_block=500)
    assert titles["PESQ_WB"].since_block == 500
    second = champions_after(board([pesq(1, 2.1), pesq(2, 2.1)], titles, at_block=900), titles, at_block=900)
    assert second["PESQ_WB"].since_block == 500
    assert second["PESQ_WB"].mean == pytest.approx(2.1)
    third = champions_after(board([pesq(1, 2.0), pesq(2, 2.2)], second, at_block=950), second, at_block=950)
    assert (third["PESQ_WB"].submission, third["PESQ_WB"].since_block) == (entry(2), 950)
    assert third["PESQ_WB"].mean == pytest.approx(2.2)


def test_a_title_nobody_took_stays_with_its_absent_holder() -> None:
    titles = {"PESQ_WB": champion(1, 2.0)}
    nobody = board([pesq(2, 1.1)], titles, baseline=1.2)
    assert champions_after(nobody, titles, at_block=1) == titles


def test_published_rules_pay_the_champion_if_nobody_enters() -> None:
    result = board([], {"PESQ_WB": champion(1, 2.0)}, ruleset=SOUNDSRIGHT_V2, baseline=None)
    assert shares(result) == {1: 10.0}
    assert board([], {"PESQ_WB": champion(1, 2.0)}, baseline=None).standings == ()


@pytest.mark.parametrize(
    ("evaluations", "message"),
    [
        ([pesq(1, 2.0), pesq(1, 2.0)], "more than one"),
        ([pesq(1, 2.0), evaluation(entry(2), {"PESQ_WB": spread(2.0, clips=39)})], "39 clips"),
    ],
)
def test_evaluations_that_do_not_fit_are_refused(evaluations: list[Evaluation], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        board(evaluations, baseline=None)


def test_groups_that_lack_a_clip_are_an_error() -> None:
    one = evaluation(entry(1), {"PESQ_WB": [2.0, 3.0]})
    groups = ClipGroups(("clip0000",), {"noise": ("rain",)})
    with pytest.raises(ValueError, match="lack the clip clip0001"):
        decide(ONE_METRIC, "round", [one], {}, SOUNDSRIGHT_V2, None, floors=FLOORS, at_block=1, groups=groups)
