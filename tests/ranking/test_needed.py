"""The mean that an entry needed to win, checked by giving the entry that mean."""

import dataclasses

import numpy as np
import pytest

from soundsright.core.competition import Competition
from soundsright.core.results import ClipResult, Evaluation, Leaderboard
from soundsright.core.rulesets import SOUNDSRIGHT_V2, SOUNDSRIGHT_V3, SOUNDSRIGHT_V4, Ruleset
from soundsright.ranking.champions import Champion
from soundsright.ranking.leaderboard import decide
from soundsright.ranking.needed import holm_levels, least_mean_difference
from soundsright.ranking.scores import superiority_p_values
from tests.ranking.builders import FLOORS, IN_DB, ONE_METRIC, WITH_ARTEFACTS, entry, evaluation, spread


@pytest.mark.parametrize("clips", [5, 12, 13, 40, 300])
def test_the_least_lead_just_passes_the_test(clips: int) -> None:
    rng = np.random.default_rng(clips)
    differences = np.vstack(
        [
            rng.normal(0, 1, clips),
            -rng.lognormal(0, 1, clips),
            rng.lognormal(0, 1, clips),
            rng.uniform(-1, 3, clips),
        ]
    )
    levels = [0.05, 0.05, 0.04, 0.06]
    leads = least_mean_difference(differences, levels)
    centred = differences - differences.mean(axis=1)[:, None]
    slack = 1e-6 * np.ptp(differences, axis=1)
    assert (superiority_p_values(centred + (leads + slack)[:, None]) <= levels).all()
    assert (superiority_p_values(centred + (leads - slack)[:, None]) > levels).all()


def test_no_lead_over_four_clips_is_sure() -> None:
    assert least_mean_difference(np.array([[1.0, 2.0, 3.0, 4.0]]), [0.05]).tolist() == [np.inf]


def test_equal_differences_need_any_lead_at_all() -> None:
    (lead,) = least_mean_difference(np.zeros((1, 20)), [0.05])
    assert 0 < lead < 1e-12


def test_the_correction_counts_only_comparisons_that_have_not_passed() -> None:
    assert holm_levels([0.9, 0.9], alpha=0.05) == [0.025, 0.025]
    assert holm_levels([0.01, 0.9, 0.9], alpha=0.06) == [0.02, 0.03, 0.03]


COMPETITIONS = (ONE_METRIC, IN_DB)


def round_of(
    seed: int, competition: Competition, *, clips: int, champion: bool
) -> tuple[list[Evaluation], Evaluation, dict[str, Champion]]:
    """A round of six entries of several qualities, the champion's hotkey among them or not."""
    rng = np.random.default_rng(seed)
    metric = next(iter(competition.metric_weights))
    means = 2.0 + rng.choice([-0.2, 0.0, 0.002, 0.05, 0.3], 6)
    rows = [
        evaluation(
            entry(uid, competition),
            {metric: spread(means[uid], clips=clips, seed=seed) + rng.normal(0, 0.03, clips)},
        )
        for uid in range(6)
    ]
    unprocessed = dataclasses.replace(entry(99, competition), uid=-1, hotkey="unprocessed")
    noisy = evaluation(unprocessed, {metric: spread(1.95, clips=clips, seed=seed)})
    champions = {metric: Champion(entry(0, competition), 2.0, 9_000)} if champion else {}
    return rows, noisy, champions


def decided(
    rows: list[Evaluation],
    noisy: Evaluation,
    champions: dict[str, Champion],
    ruleset: Ruleset,
    competition: Competition,
) -> Leaderboard:
    return decide(competition, "round", rows, champions, ruleset, noisy, floors=FLOORS, at_block=10_000)


def better_by(row: Evaluation, metric: str, amount: float) -> Evaluation:
    def better(clip: ClipResult) -> ClipResult:
        assert clip.scores is not None
        return ClipResult(clip.clip_id, scores={metric: clip.scores[metric] + amount})

    return dataclasses.replace(row, clips=tuple(better(clip) for clip in row.clips))


@pytest.mark.parametrize("competition", COMPETITIONS, ids=lambda c: c.id)
@pytest.mark.parametrize("ruleset", [SOUNDSRIGHT_V4, SOUNDSRIGHT_V3, SOUNDSRIGHT_V2], ids=lambda r: r.name)
@pytest.mark.parametrize(("clips", "champion"), [(10, True), (40, True), (40, False)])
def test_an_entry_with_the_needed_mean_would_have_won_and_with_less_would_not(
    ruleset: Ruleset, competition: Competition, clips: int, champion: bool
) -> None:
    metric = next(iter(competition.metric_weights))
    tried = 0
    for seed in range(4):
        rows, noisy, champions = round_of(seed, competition, clips=clips, champion=champion)
        board = decided(rows, noisy, champions, ruleset, competition)
        for standing in board.standings:
            if standing.needed is None:
                assert standing.submission == board.decisions[0].winner
                continue
            at = standing.submission.uid
            # A champion that lost is shown the mean that would have kept the title by the margin alone. A lower
            # mean can be enough, because the test protects the champion too.
            lost = champion and at == 0
            for slack, wins in ((1e-6, True),) if lost else ((1e-6, True), (-1e-6, False)):
                changed = list(rows)
                changed[at] = better_by(rows[at], metric, standing.needed - standing.estimate.mean + slack)
                winner = decided(changed, noisy, champions, ruleset, competition).decisions[0].winner
                assert (winner == standing.submission) is wins, (seed, at, slack, standing)
            tried += 1
    assert tried >= 15


def test_if_nobody_is_paid_each_entry_is_shown_the_mean_that_it_needed() -> None:
    rows, noisy, _ = round_of(0, ONE_METRIC, clips=40, champion=False)
    worse = [better_by(row, "PESQ_WB", -0.9) for row in rows]
    board = decided(worse, noisy, {}, SOUNDSRIGHT_V3, ONE_METRIC)
    assert board.decisions[0].winner is None
    assert board.decisions[0].evidence["mean_to_win"] == pytest.approx(1.95)
    for standing in board.standings:
        assert standing.needed is not None
        assert standing.needed > 1.95
        assert "does not beat the unprocessed input" in standing.reason
        assert f"The prize needed a mean of {standing.needed:.4f}" in standing.reason


def test_a_failed_entry_is_shown_the_mean_that_it_needed() -> None:
    rows, noisy, champions = round_of(1, ONE_METRIC, clips=40, champion=True)
    rows[3] = evaluation(entry(3), {"PESQ_WB": spread(2.0)}, failing=set(range(40)))
    board = decided(rows, noisy, champions, SOUNDSRIGHT_V3, ONE_METRIC)
    (failed,) = [s for s in board.standings if s.submission.uid == 3]
    mean_to_win = board.decisions[0].evidence["mean_to_win"]
    assert isinstance(mean_to_win, float)
    assert failed.needed is not None
    assert failed.needed >= mean_to_win > 1.95
    assert "40 of its clips failed" in failed.reason
    assert "The prize needed" in failed.reason


def test_no_mean_helps_an_entry_that_fails_on_the_metric_that_stands_in() -> None:
    scores = {"SI_SDR": spread(5.0, seed=1), "SI_SAR": spread(9.0, seed=2)}
    idle = evaluation(entry(1, WITH_ARTEFACTS), scores)
    good = evaluation(entry(2, WITH_ARTEFACTS), {"SI_SDR": scores["SI_SDR"] + 4, "SI_SAR": scores["SI_SAR"] - 2})
    unprocessed = dataclasses.replace(entry(99, WITH_ARTEFACTS), uid=-1, hotkey="unprocessed")
    board = decided([idle, good], evaluation(unprocessed, scores), {}, SOUNDSRIGHT_V3, WITH_ARTEFACTS)
    needed = {s.metric: s.needed for s in board.standings if s.submission.uid == 1}
    assert needed["SI_SAR"] is None
    assert needed["SI_SDR"] == pytest.approx(9.0)


def test_with_too_few_clips_for_any_lead_no_needed_mean_is_shown() -> None:
    rows, noisy, champions = round_of(2, ONE_METRIC, clips=5, champion=True)
    board = decided(rows, noisy, champions, SOUNDSRIGHT_V3, ONE_METRIC)
    assert board.decisions[0].winner == entry(0)
    rivals = [s for s in board.standings if s.submission.uid != 0]
    assert all(standing.needed is None for standing in rivals)
    assert all("Over so few clips no lead is sure enough" in standing.reason for standing in rivals)
