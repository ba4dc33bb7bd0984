"""Looks before the end of a set: who can no longer win, who has won, and what the last test still needs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from soundsright.core.results import Evaluation, Leaderboard, PrizeReason
from soundsright.core.rulesets import SOUNDSRIGHT_V2, SOUNDSRIGHT_V4
from soundsright.core.stopping import EARLY_PART, EarlyStop, RuledOut, Stops
from soundsright.ranking.champions import Champion
from soundsright.ranking.cut import cut
from soundsright.ranking.looks import Look, WholeSet, chance_of_lead, look_at, look_ends
from soundsright.ranking.stopped import final_ruleset
from tests.ranking import builders
from tests.ranking.builders import FLOORS, ONE_METRIC, entry, evaluation

NOISES, PER_NOISE = 20, 3
CLIPS = NOISES * PER_NOISE
ORDER = tuple(f"clip{number:04d}" for number in range(CLIPS))
CLUSTERS = [f"noise-{number // PER_NOISE}" for number in range(CLIPS)]
HARD = np.random.default_rng(0).normal(2.0, 0.3, CLIPS)


def row(uid: int, lead: float, *, by_noise: float = 0.05) -> Evaluation:
    rng = np.random.default_rng([uid, 7])
    own = np.repeat(rng.normal(0.0, by_noise, NOISES), PER_NOISE) + rng.normal(0.0, 0.02, CLIPS)
    return evaluation(entry(uid), {"PESQ_WB": list(HARD + lead + own)})


UNPROCESSED = row(9, -0.8)


def seen(rows: list[Evaluation], *, champion: Evaluation | None = None, clips: int = CLIPS) -> Look:
    champions = {} if champion is None else {"PESQ_WB": Champion(champion.submission, 2.0, 0)}
    order = ORDER[:clips]
    return look_at(
        ONE_METRIC,
        [cut(each, frozenset(order)) for each in rows],
        champions,
        SOUNDSRIGHT_V4,
        UNPROCESSED,
        order,
        CLUSTERS[:clips],
        floors=FLOORS,
        at_block=1_000,
        challengers=len(rows),
        whole=WholeSet(CLIPS, NOISES),
    )


def test_an_entry_far_behind_is_ruled_out_and_by_whom() -> None:
    best, worse = row(1, 0.3), row(2, 0.0)
    look = seen([best, worse], champion=best, clips=36)
    assert set(look.ruled_out) == {worse.submission.hotkey}
    found = look.ruled_out[worse.submission.hotkey]["PESQ_WB"]
    assert (found.by, found.chance < 0.001, found.needed > 0) == (best.submission.hotkey, True, True)
    assert look.is_decided


def test_one_noise_rules_nobody_out_however_many_clips_it_has() -> None:
    best, worse = row(1, 0.3), row(2, 0.0)
    assert not seen([best, worse], champion=best, clips=PER_NOISE).ruled_out


def test_a_lead_that_the_rest_of_the_set_can_bring_is_not_ruled_out() -> None:
    """The same lead so far: with half of the set to come it can be reached, with one noise to come it cannot."""
    leads = np.tile([-0.4, 0.2], 9)
    sizes = np.full(18, 3)
    half, one_left = WholeSet(108, 36), WholeSet(57, 19)
    assert chance_of_lead(leads, sizes, half, 0.0) > 0.001 > chance_of_lead(leads, sizes, one_left, 0.0)


def test_the_chance_of_a_lead_is_right_for_normal_noises() -> None:
    rng = np.random.default_rng(2)
    drawn = rng.normal(0.0, 1.0, (4000, 24))
    sizes, whole = np.full(10, 2), WholeSet(48, 24)
    chances = np.array([chance_of_lead(row[:10], sizes, whole, float(row.mean())) for row in drawn])
    for level in (0.01, 0.1, 0.5):
        assert np.mean(chances <= level) == pytest.approx(level, abs=0.02)


def test_a_challenger_that_may_fail_the_test_keeps_no_other_from_the_title() -> None:
    """Its mean is the largest, but it is far better on a few noises only. The steady one may win."""
    champion = row(1, 0.0)
    unsteady, steady = row(2, 0.3, by_noise=0.6), row(3, 0.1)
    look = seen([champion, unsteady, steady], champion=champion, clips=48)
    assert not look.ruled_out
    assert not look.is_decided


def test_a_stopped_challenger_still_counts_in_the_correction() -> None:
    champion, better, close = row(1, 0.0), row(2, 0.06), row(3, 0.0)
    hotkeys = [each.submission.hotkey for each in (champion, better, close)]
    out = RuledOut(hotkeys[1], 0.0001, -0.02, 0.0)
    stops = Stops(CLIPS, NOISES, CLIPS, NOISES, (EarlyStop(hotkeys[2], 36, CLIPS, 12, {"PESQ_WB": out}),))

    def p_value(*entries: Evaluation, stops: Stops | None) -> float:
        champions = {"PESQ_WB": Champion(champion.submission, 2.0, 0)}
        board = builders.board(
            [*entries],
            champions,
            ruleset=SOUNDSRIGHT_V4,
            baseline=UNPROCESSED,
            at_block=1_000,
            stops=stops,
        )
        return float(board.decisions[0].evidence["p_value_holm"])

    alone = p_value(champion, better, stops=None)
    assert p_value(champion, better, close, stops=None) == pytest.approx(2 * alone)
    assert p_value(champion, better, cut(close, frozenset(ORDER[:36])), stops=stops) == pytest.approx(2 * alone)


def test_the_champion_never_stops() -> None:
    champion, better = row(1, 0.0), row(2, 0.5)
    look = seen([champion, better], champion=champion)
    assert champion.submission.hotkey not in look.ruled_out
    assert look.is_decided
    assert look.evidence["PESQ_WB"] >= 1 / (0.05 * EARLY_PART / 2)


def test_two_close_entries_go_on() -> None:
    first, second, worse = row(1, 0.3), row(2, 0.3), row(3, 0.0)
    look = seen([first, second, worse], champion=first, clips=36)
    assert not look.is_decided
    assert set(look.ruled_out) == {worse.submission.hotkey}


def test_the_round_ends_when_the_best_of_several_better_challengers_is_sure() -> None:
    champion, better, best = row(1, 0.0), row(2, 0.3), row(3, 0.5)
    look = seen([champion, better, best], champion=champion, clips=54)
    assert not look.ruled_out, "a rival stops nobody"
    assert look.is_decided
    assert look.evidence["PESQ_WB"] >= 1 / (0.05 * EARLY_PART / 3)


def test_two_close_challengers_that_are_better_go_on() -> None:
    champion, first, second = row(1, 0.0), row(2, 0.5), row(3, 0.5)
    assert not seen([champion, first, second], champion=champion, clips=54).is_decided


def test_many_rivals_need_a_clearer_winner_than_one() -> None:
    """Each of the rivals may be the best with a small chance, and the chances add up."""
    champion, best = row(1, 0.0), row(2, 0.5)
    close = {"PESQ_WB": [(clip.scores or {})["PESQ_WB"] for clip in row(3, 0.48).clips]}
    rivals = [evaluation(entry(uid), close) for uid in range(3, 9)]
    assert seen([champion, best, rivals[0]], champion=champion, clips=54).is_decided
    assert not seen([champion, best, *rivals], champion=champion, clips=54).is_decided


def test_equal_challengers_rarely_win_early_although_noises_differ() -> None:
    won = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        gains: NDArray[np.float64] = np.repeat(rng.normal(0.0, 0.2, NOISES), PER_NOISE)
        champion = evaluation(entry(1), {"PESQ_WB": list(HARD)})
        challenger = evaluation(entry(2), {"PESQ_WB": list(HARD + gains)})
        won += bool(seen([champion, challenger], champion=champion).evidence)
    assert won == 0


def test_looks_come_after_about_every_sixteenth_of_the_noises() -> None:
    assert look_ends(100) == (*range(9, 100, 7), 100)
    assert look_ends(11) == (11,)


def test_the_last_test_has_what_the_looks_have_left() -> None:
    assert final_ruleset(SOUNDSRIGHT_V4).alpha == 0.049
    with pytest.raises(ValueError, match="has no test"):
        final_ruleset(SOUNDSRIGHT_V2)


def stopped_board(leader: Evaluation, worse: Evaluation, *others: Evaluation) -> Leaderboard:
    """The board of a round in which `worse` stopped after 36 clips, because `leader` was ahead."""
    out = RuledOut(leader.submission.hotkey, 0.0001, -0.3, 0.007)
    early = EarlyStop(worse.submission.hotkey, 36, CLIPS, 12, {"PESQ_WB": out})
    return builders.board(
        [leader, cut(worse, frozenset(ORDER[:36])), *others],
        {"PESQ_WB": Champion(leader.submission, 2.0, 0)},
        ruleset=SOUNDSRIGHT_V4,
        baseline=UNPROCESSED,
        at_block=1_000,
        stops=Stops(CLIPS, NOISES, CLIPS, NOISES, (early,)),
    )


def test_a_stopped_entry_has_its_share_by_its_gain_on_the_clips_that_it_ran() -> None:
    leader, worse, third = row(1, 0.3), row(2, 0.0), row(3, -0.1)
    board = stopped_board(leader, worse, third, row(4, -0.2))
    by_hotkey = {s.submission.hotkey: s for s in board.standings}
    stopped, other = by_hotkey[worse.submission.hotkey], by_hotkey[third.submission.hotkey]
    assert stopped.estimate.n == 36
    assert stopped.rank == 2
    assert stopped.share > other.share > 0
    assert stopped.reason == (
        f"Shares in the remainder: stopped after 36 of {CLIPS} clips: the lead over {leader.submission.hotkey} that"
        " it still needs, 0.0070, is ruled out at 1% (lead so far -0.3000)."
    )


def test_a_champion_whose_only_challenger_stopped_keeps_the_title_for_that_reason() -> None:
    leader, worse = row(1, 0.3), row(2, 0.0)
    assert stopped_board(leader, worse).decisions[0].reason is PrizeReason.CHALLENGERS_STOPPED


def test_a_stop_does_not_count_if_the_entry_that_caused_it_is_not_ranked() -> None:
    leader, worse, third = row(1, 0.3), row(2, 0.0), row(3, -0.1)
    stops = stopped_board(leader, worse, third).stops
    assert stops is not None
    board = builders.board(
        [cut(worse, frozenset(ORDER[:36])), third],
        {},
        ruleset=SOUNDSRIGHT_V4,
        baseline=UNPROCESSED,
        at_block=1_000,
        stops=stops,
    )
    assert {s.estimate.n for s in board.standings} == {36}
    assert board.decisions[0].winner == worse.submission
    assert board.stops == replace(stops, stopped=(), clips=36, witnesses=12, without=leader.submission.hotkey)
