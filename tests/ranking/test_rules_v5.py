"""The rules of soundsright-v5: a title changes hands only for a lead that new material would show too."""

import dataclasses
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from soundsright.core.groups import ClipGroups
from soundsright.core.results import Evaluation, Leaderboard, PrizeReason
from soundsright.core.rulesets import SOUNDSRIGHT_V4, SOUNDSRIGHT_V5, Ruleset
from soundsright.ranking.challengers import adjusted_p_values, counted_challengers, joining_level, needed_levels
from soundsright.ranking.champions import Champion
from soundsright.ranking.leads import LeadTest
from tests.ranking import builders
from tests.ranking.builders import entry, evaluation, spread
from tests.ranking.test_rules_v4 import AVERAGED, GOOD, NOISY, STUDIO, SUBTRACTED

board = partial(builders.board, ruleset=SOUNDSRIGHT_V5)
CHAMPION = {"PESQ_WB": Champion(entry(0), 2.0, 9_000)}


def grouped(clips: int, noises: int) -> ClipGroups:
    ids = tuple(f"clip{i:04d}" for i in range(clips))
    return ClipGroups(ids, {"noise": tuple(f"noise{i % noises}" for i in range(clips))})


def own(values: NDArray[np.float64]) -> Evaluation:
    return evaluation(entry(0), {"PESQ_WB": values})


def challenger(values: NDArray[np.float64], uid: int = 1, failing: tuple[int, ...] = ()) -> Evaluation:
    return evaluation(entry(uid), {"PESQ_WB": values}, failing=failing)


def duel(
    difference: NDArray[np.float64], groups: ClipGroups | None, ruleset: Ruleset = SOUNDSRIGHT_V5
) -> Leaderboard:
    """A champion with a mean of 2 meets a challenger with these differences."""
    clips = len(difference)
    base = spread(2.0, clips=clips)
    noisy = evaluation(
        dataclasses.replace(entry(999), uid=-1), {"PESQ_WB": base - 0.5 - 0.01 * np.arange(clips) % 2}
    )
    return builders.board(
        [own(base), challenger(base + difference)], CHAMPION, ruleset=ruleset, baseline=noisy, groups=groups
    )


def one_noise_better(clips: int = 100, noises: int = 10) -> NDArray[np.float64]:
    """Clearly better on two noises, equal on the others."""
    rng = np.random.default_rng(1)
    return np.where(np.arange(clips) % noises < 2, 0.5, 0.0) + rng.normal(0.0, 0.05, clips)


def reason(leaderboard: Leaderboard) -> PrizeReason:
    (decision,) = leaderboard.decisions
    return decision.reason


def test_a_lead_on_two_noises_of_ten_takes_no_title() -> None:
    lead = one_noise_better()
    assert reason(duel(lead, grouped(100, 10), SOUNDSRIGHT_V4)) is PrizeReason.TAKEN
    by_noise = duel(lead, grouped(100, 10))
    assert reason(by_noise) is PrizeReason.TEST_FAILED
    evidence = by_noise.decisions[0].evidence
    assert evidence["material"] == "new"
    assert evidence["noise_groups"] == 10
    assert 5 < float(evidence["effective_clips"]) < 20
    assert by_noise.standings[0].estimate.effective_n is not None


def test_a_lead_on_every_noise_takes_the_title() -> None:
    lead = spread(0.1, clips=100, sd=0.05)
    assert reason(duel(lead, grouped(100, 10))) is PrizeReason.TAKEN


def test_unknown_groups_leave_the_test_over_clips_and_the_evidence_says_so() -> None:
    result = duel(one_noise_better(), None)
    assert reason(result) is PrizeReason.TAKEN
    assert result.decisions[0].evidence["material"] == "these clips: groups unknown"


def test_on_two_noises_the_champion_keeps_the_title_and_everybody_learns_why() -> None:
    result = duel(spread(0.5, clips=100, sd=0.01), grouped(100, 2))
    assert reason(result) is PrizeReason.TEST_IMPOSSIBLE
    assert "the clips form 2 groups by noise, and a test for new material needs 5" in result.decisions[0].sentence
    loser = next(s for s in result.standings if s.submission.uid == 1)
    assert loser.needed is None
    assert "needs 5" in loser.reason
    assert loser.share > 0


def test_on_two_noises_an_open_title_goes_to_the_best_mean() -> None:
    entries = [own(spread(2.0)), challenger(spread(2.3))]
    result = board(entries, groups=grouped(40, 2))
    assert reason(result) is PrizeReason.OPEN_TITLE
    assert result.decisions[0].winner == entry(1)


@pytest.mark.parametrize("noises", [None, 10])
@pytest.mark.parametrize("clips", [12, 60])
def test_the_needed_mean_is_exact(clips: int, noises: int | None) -> None:
    rng = np.random.default_rng([clips, noises or 0])
    groups = grouped(clips, noises) if noises else None
    base, better = spread(2.0, clips=clips), rng.normal(0.02, 0.1, (3, clips))
    rows = [own(base), *(challenger(base + row, uid) for uid, row in enumerate(better, start=1))]
    result = board(rows, CHAMPION, groups=groups)
    for standing in result.standings:
        uid = standing.submission.uid
        if standing.needed is None:
            continue
        for more, wins in ((1e-6, True), (-1e-6, False)):
            shift = standing.needed - standing.estimate.mean + more
            changed = [*rows]
            changed[uid] = challenger(base + better[uid - 1] + shift, uid)
            (decision,) = board(changed, CHAMPION, groups=groups).decisions
            if uid == 0 and not wins:
                continue  # What a champion needs leaves out the test, which can keep its title with less.
            assert (decision.winner == entry(uid)) is wins, (uid, more)


def test_challengers_that_are_clearly_worse_do_not_protect_the_champion() -> None:
    p_values = [0.0027, *[0.9999] * 63]
    assert adjusted_p_values(SOUNDSRIGHT_V4, p_values)[0] > 0.05
    assert adjusted_p_values(SOUNDSRIGHT_V5, p_values)[0] == pytest.approx(0.0027 / 0.999)
    base = spread(2.0, clips=60)
    crowd = [challenger(base - 0.3 + spread(0.0, seed=uid, sd=0.1, clips=60), uid) for uid in range(2, 60)]
    better = challenger(base + 0.05 + spread(0.0, seed=1, sd=0.15, clips=60))
    old = board([own(base), better, *crowd], CHAMPION, ruleset=SOUNDSRIGHT_V4)
    assert reason(old) is PrizeReason.TEST_FAILED
    result = board([own(base), better, *crowd], CHAMPION)
    assert reason(result) is PrizeReason.TAKEN
    assert result.decisions[0].evidence["challengers_counted"] == 1
    assert result.decisions[0].evidence["challengers_tested"] == 59


@pytest.mark.parametrize("count", [2, 5, 16])
def test_many_equal_challengers_win_no_more_often_than_one(count: int) -> None:
    rng = np.random.default_rng(count)
    for correlation in (0.0, 0.5):
        z = np.sqrt(1 - correlation) * rng.standard_normal((3_000, count))
        z += np.sqrt(correlation) * rng.standard_normal((3_000, 1))
        from scipy.special import ndtr

        won = [min(adjusted_p_values(SOUNDSRIGHT_V5, row)) <= 0.05 for row in ndtr(-z).tolist()]
        assert np.mean(won) < 0.062


def test_levels_are_those_at_which_a_challenger_just_wins() -> None:
    for p_values in ([0.2], [0.2, 0.01], [0.3, 0.004, 0.02, 0.7], [0.4, 0.9999, 0.6, 0.003, 0.001]):
        for number, level in enumerate(needed_levels(SOUNDSRIGHT_V5, p_values, 0.05)):
            for factor, wins in ((0.999, True), (1.001, False)):
                tried = [*p_values[:number], level * factor, *p_values[number + 1 :]]
                assert (adjusted_p_values(SOUNDSRIGHT_V5, tried)[number] <= 0.05) is wins
        joining = joining_level(SOUNDSRIGHT_V5, p_values, 0.05)
        assert adjusted_p_values(SOUNDSRIGHT_V5, [*p_values, joining * 0.999])[-1] <= 0.05
    assert counted_challengers(SOUNDSRIGHT_V5, []).numbers == ()


def test_on_few_clips_a_long_left_tail_is_not_mistaken_for_a_lead() -> None:
    rows = np.exp(0.5) - np.random.default_rng(1).lognormal(0.0, 1.0, (4_000, 10))
    exact, both = ((LeadTest({}, corrected).p_values(rows) <= 0.05).mean() for corrected in (False, True))
    assert both < 0.75 * exact


def test_a_challenger_that_owes_its_lead_to_rare_failures_seldom_wins() -> None:
    """A failure costs 20 standard deviations of a difference, as for SI-SDR of real models."""
    clips, rate = 30, 0.02
    rng = np.random.default_rng(3)
    won, rounds, cost = {SOUNDSRIGHT_V4: 0, SOUNDSRIGHT_V5: 0}, 60, 1.0
    for number in range(rounds):
        base = spread(2.0, clips=clips, seed=number)
        rise = rate * cost / (1 - rate) + rng.normal(0.0, cost / 20, clips)
        failing = tuple(np.flatnonzero(rng.random(clips) < rate).tolist())
        rows = [own(base), challenger(base + rise, failing=failing)]
        for ruleset in won:
            won[ruleset] += reason(board(rows, CHAMPION, ruleset=ruleset)) is PrizeReason.TAKEN
    assert won[SOUNDSRIGHT_V5] <= 0.1 * rounds < won[SOUNDSRIGHT_V4] + 3


def test_the_lead_for_failures_is_told_in_the_sentence_and_the_evidence() -> None:
    base = spread(2.0, clips=30)
    result = board([own(base), challenger(base + 0.02)], CHAMPION)
    (decision,) = result.decisions
    lead = (2.0 - 1.0) / 30
    assert decision.reason is PrizeReason.MARGIN_MISSED
    assert f"needed {2 + lead:.4f}, so that its lead would survive one more failed clip" in decision.sentence
    assert decision.evidence["lead_for_failures"] == pytest.approx(lead)
    assert decision.evidence["failed_clips"] == 0
    assert reason(board([own(base), challenger(base + lead + 0.001)], CHAMPION)) is PrizeReason.TAKEN


@pytest.mark.parametrize("clips", [30, 100])
def test_a_lead_that_survives_one_more_failed_clip_is_enough(clips: int) -> None:
    """On one more clip the challenger scores the floor, which is 1 here, and the champion its mean."""
    base = spread(2.0, clips=clips)
    champion_mean = float(base.mean())
    for more, wins in ((1e-4, True), (-1e-4, False)):
        lead = (champion_mean - 1.0) / clips + more
        with_failure = np.append(base + lead, 1.0)
        assert (float(with_failure.mean()) >= champion_mean) is wins
        result = reason(board([own(base), challenger(base + lead)], CHAMPION))
        assert result is (PrizeReason.TAKEN if wins else PrizeReason.MARGIN_MISSED)


def test_the_mean_that_would_have_kept_the_title_counts_one_more_failed_clip() -> None:
    base = spread(2.0, clips=30)
    better = challenger(base + 0.3)
    needed = board([own(base), better], CHAMPION).standings[-1].needed
    assert needed is not None
    assert needed == pytest.approx((float(base.mean()) + 0.3 + 1.0 / 30) / (1 + 1 / 30))
    for more, reached in ((1e-6, PrizeReason.MARGIN_MISSED), (-1e-6, PrizeReason.TAKEN)):
        assert reason(board([own(base + needed - float(base.mean()) + more), better], CHAMPION)) is reached


def test_a_failed_clip_of_the_set_does_not_raise_the_lead_again() -> None:
    base = spread(2.0, clips=200)
    result = board([own(base), challenger(base + 0.05, failing=(3,))], CHAMPION)
    assert reason(result) is PrizeReason.TAKEN
    assert result.decisions[0].evidence["failed_clips"] == 1
    assert result.decisions[0].evidence["lead_for_failures"] == pytest.approx((float(base.mean()) - 1.0) / 200)


def test_a_small_honest_lead_on_200_clips_takes_a_title() -> None:
    base = spread(0.75, clips=200, sd=0.1)
    better = base + spread(0.012, clips=200, seed=1, sd=0.04)
    competition = dataclasses.replace(builders.ONE_METRIC, metric_weights={"ESTOI": 1.0})
    entries = [entry(uid, competition) for uid in (0, 1)]
    rows = [evaluation(each, {"ESTOI": values}) for each, values in zip(entries, (base, better), strict=True)]
    titles = {"ESTOI": Champion(entries[0], 0.75, 9_000)}
    assert reason(board(rows, titles, baseline=0.6)) is PrizeReason.TAKEN


def cut(row: Evaluation, clips: int) -> Evaluation:
    return dataclasses.replace(row, clips=row.clips[:clips])


@pytest.mark.parametrize("champion", [True, False])
def test_on_few_clips_nobody_new_is_paid_for_a_ratio_that_hides_a_loss(champion: bool) -> None:
    titles = dict.fromkeys(STUDIO.metric_weights, Champion(entry(1, STUDIO), 2.0, 9_000)) if champion else {}
    rows = [cut(row, 19) for row in (GOOD, SUBTRACTED, AVERAGED)]
    result = board(rows, titles, baseline=cut(NOISY, 19))
    for decision in result.decisions:
        if decision.metric in ("SI_SIR", "SI_SAR"):
            assert decision.winner == (entry(1, STUDIO) if champion else None)
            assert "too small" in decision.sentence
    reasons = {(s.submission.uid, s.metric): s.reason for s in result.standings}
    assert "only on sets of at least 20 clips" in reasons[2, "SI_SIR"]


def test_the_canonical_rules_of_older_versions_name_no_field_of_version_5() -> None:
    assert "least_clips" not in SOUNDSRIGHT_V4.canonical_json
    assert "failures_unseen" not in SOUNDSRIGHT_V4.canonical_json
    assert '"least_clips":20' in SOUNDSRIGHT_V5.canonical_json


@pytest.mark.parametrize(
    "wrong", [{"serious_p": 0.01}, {"serious_p": 1.5}, {"hopeless_p": 0.4}, {"failures_unseen": -1}]
)
def test_limits_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        dataclasses.replace(SOUNDSRIGHT_V5, **wrong)  # type: ignore[arg-type]
