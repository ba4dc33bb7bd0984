"""The result of a measured image, from its runs and its clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from soundsright.core.competition import PUBLISHED
from soundsright.core.executor_rules import ExecutorRules, executor_rules
from soundsright.core.groups import ClipGroups
from soundsright.core.images import ImageRow, MeasuredImage, ScoringRun, SubmittedImage, image_row
from soundsright.core.profiles import Profile
from soundsright.core.results import ClipResult, Failure
from soundsright.core.rulesets import RULESETS, SOUNDSRIGHT_V5, Ruleset
from soundsright.core.sources import ImageRef
from soundsright.ranking import (
    QualityRules,
    clip_scores,
    copy_leads,
    image_metrics,
    leads_over,
    protected_winner,
    quality_of_means,
    run_time_s,
)

WEIGHTS = PUBLISHED[0].metric_weights
FLOORS = {"PESQ_WB": 1.0, "ESTOI": 0.0}
CLIPS = tuple(f"c{number}" for number in range(10))
TESTED = SOUNDSRIGHT_V5
UNTESTED = next(rules for rules in RULESETS if rules.alpha is None)


def quality_rules(ruleset: Ruleset = TESTED, groups: ClipGroups | None = None) -> QualityRules:
    return QualityRules(WEIGHTS, FLOORS, ruleset, groups)


def clips(pesq: float = 2.6, estoi: float = 0.82, spread: float = 0.01) -> tuple[ClipResult, ...]:
    """Ten clips with these means."""
    shifts = [spread * (number - (len(CLIPS) - 1) / 2) for number in range(len(CLIPS))]
    return tuple(
        ClipResult(clip_id, {"PESQ_WB": pesq + shift, "ESTOI": estoi, "SI_SDR": 3.0})
        for clip_id, shift in zip(CLIPS, shifts, strict=True)
    )


def run(number: int, *, time_s: float = 12.0, audio_s: float = 30.0, gb: float = 5.0) -> ScoringRun:
    half = len(CLIPS) // 2
    return ScoringRun(number, CLIPS[(number - 1) * half : number * half], time_s, audio_s, round(gb * 1e9))


def image(
    results: Sequence[ClipResult], runs: Sequence[ScoringRun] = (), failure: Failure | None = None
) -> MeasuredImage:
    return MeasuredImage(tuple(runs) or (run(1), run(2)), tuple(results), failure)


INPUT = clips(pesq=1.5, estoi=0.5)


def test_the_score_follows_from_the_mean_scores_the_real_time_factor_and_the_memory() -> None:
    metrics = image_metrics(image(clips()), INPUT, ExecutorRules(), quality_rules(), updated_s=7.0)
    assert metrics.quality_score == pytest.approx(0.6022857, abs=1e-7)
    assert metrics.final_score == pytest.approx(0.5328457, abs=1e-7)
    assert metrics.real_time_factor == pytest.approx(0.4)
    assert (metrics.inference_time_sec, metrics.peak_vram_gb, metrics.error) == (12.0, 5.0, None)
    assert not metrics.cap_violation
    row = ImageRow(SubmittedImage(7, "5F", ImageRef("lab/gate", "0" * 64)), metrics)
    assert row.is_winner_candidate
    assert image_row(row.facts()).metrics.final_score == metrics.final_score


def test_anyone_can_compute_the_quality_again_from_the_published_runs() -> None:
    failed = (*clips()[:9], ClipResult("c9", failure=Failure("unscorable", "hangs")))
    metrics = image_metrics(image(failed), INPUT, ExecutorRules(), quality_rules(UNTESTED))
    scores = [score for run in metrics.challenge_metrics for score in run["scores"].values()]
    assert scores[-1] == FLOORS
    means = {metric: sum(score[metric] for score in scores) / len(CLIPS) for metric in WEIGHTS}
    assert quality_of_means(means, WEIGHTS) == pytest.approx(metrics.quality_score, abs=1e-12)
    assert metrics.quality_score < 0.6


def test_the_profile_decides_whether_time_is_that_of_the_run_or_of_its_audio() -> None:
    runs = (run(1, time_s=6.0, audio_s=12.0), run(2, time_s=6.0, audio_s=12.0))
    of_profile = {
        profile: image_metrics(image(clips(), runs), INPUT, executor_rules(profile), quality_rules()).final_score
        for profile in Profile
    }
    assert run_time_s(runs[0], executor_rules(Profile.SOUNDSRIGHT)) == 15.0
    assert of_profile[Profile.DOC] == of_profile[Profile.CODE] > of_profile[Profile.SOUNDSRIGHT] > 0


def test_the_worst_run_above_a_limit_costs_nearly_everything() -> None:
    slow = image(clips(), (run(1, time_s=2.0), run(2, time_s=31.0)))
    metrics = image_metrics(slow, INPUT, executor_rules(Profile.DOC), quality_rules())
    assert metrics.cap_violation
    assert metrics.inference_time_sec_worst == 31.0
    assert metrics.final_score == pytest.approx(0.01 * metrics.quality_score * (metrics.efficiency_factor or 0))


def test_energy_is_given_for_a_second_of_audio_and_only_if_every_run_has_it() -> None:
    first, second = (ScoringRun(n, CLIPS[5 * n - 5 : 5 * n], 2.0, 20.0, 10**9, None, 60.0) for n in (1, 2))
    both = image_metrics(image(clips(), (first, second)), INPUT, ExecutorRules(), quality_rules())
    assert both.energy_j_per_s == 3.0
    one = image_metrics(image(clips(), (first, run(2))), INPUT, ExecutorRules(), quality_rules())
    assert one.energy_j_per_s is None


def test_an_image_that_does_not_surely_beat_the_input_has_no_quality() -> None:
    same = image_metrics(image(INPUT), INPUT, ExecutorRules(), quality_rules())
    assert (same.quality_score, same.final_score, same.error) == (0.0, 0.0, None)
    luck = (*clips(pesq=1.5, estoi=0.5)[:9], ClipResult("c9", {"PESQ_WB": 4.5, "ESTOI": 1.0}))
    assert image_metrics(image(luck), INPUT, ExecutorRules(), quality_rules()).quality_score == 0.0
    assert image_metrics(image(luck), INPUT, ExecutorRules(), quality_rules(UNTESTED)).quality_score > 0.0


def test_a_set_with_few_noises_is_enough_to_beat_the_input() -> None:
    groups = ClipGroups(CLIPS, {"noise": tuple("ab"[number % 2] for number in range(len(CLIPS)))})
    assert image_metrics(image(clips()), INPUT, ExecutorRules(), quality_rules(groups=groups)).quality_score > 0


def test_a_failed_image_has_the_score_0_and_the_code() -> None:
    failure = Failure("timeout", "run 2 took longer than 120 s")
    failed = image([ClipResult(clip_id, failure=failure) for clip_id in CLIPS], (run(1),), failure)
    metrics = image_metrics(failed, INPUT, ExecutorRules(), quality_rules())
    assert (metrics.final_score, metrics.error, metrics.detail) == (0.0, "timeout", failure.detail)
    assert [facts["scores"] for facts in metrics.challenge_metrics] == [{}]
    never = MeasuredImage((), tuple(ClipResult(clip_id, failure=failure) for clip_id in CLIPS), failure)
    assert image_metrics(never, INPUT, ExecutorRules(), quality_rules()).inference_time_sec is None


def test_results_on_other_clips_are_refused() -> None:
    with pytest.raises(ValueError, match="same clips"):
        image_metrics(image(clips()), INPUT[:9], ExecutorRules(), quality_rules())
    with pytest.raises(ValueError, match="no run"):
        image_metrics(MeasuredImage((), clips()), INPUT, ExecutorRules(), quality_rules())


def scores_of(results: Sequence[ClipResult], gb: float = 5.0) -> Mapping[str, float]:
    measured = image(results, (run(1, gb=gb), run(2, gb=gb)))
    metrics = image_metrics(measured, INPUT, ExecutorRules(), quality_rules())
    return clip_scores(measured, ExecutorRules(), quality_rules(), metrics)


def test_the_scores_of_the_clips_have_the_score_as_their_mean() -> None:
    assert sum(scores_of(clips()).values()) / len(CLIPS) == pytest.approx(0.5328457, abs=1e-7)
    capped = scores_of(clips(), gb=10.5)
    assert sum(capped.values()) / len(CLIPS) < 0.006
    assert set(scores_of(INPUT).values()) == {0.0}


def test_the_winner_of_before_stays_until_a_lead_is_certain() -> None:
    holder = scores_of(clips(pesq=2.6))
    better = scores_of(clips(pesq=2.7))
    lucky = {**holder, "c0": holder["c0"] + 0.05}
    leads = leads_over(holder, {"better": better, "lucky": lucky}, quality_rules())
    assert leads["better"].is_certain
    assert not leads["lucky"].is_certain
    assert leads["lucky"].difference == pytest.approx(0.005)
    scores = {"holder": holder, "better": better, "lucky": lucky}
    rules = quality_rules()
    assert protected_winner(["lucky", "holder"], scores, "holder", rules) == "holder"
    assert protected_winner(["lucky", "better", "holder"], scores, "holder", rules) == "better"
    assert protected_winner(["holder", "lucky"], scores, "holder", rules) == "holder"
    assert protected_winner(["lucky", "better"], scores, "holder", rules) == "lucky"
    assert protected_winner(["lucky", "holder"], scores, "holder", quality_rules(UNTESTED)) == "lucky"
    assert protected_winner([], scores, "holder", rules) is None
    assert protected_winner(["lucky", "holder"], scores, None, rules) == "lucky"


def test_no_lead_is_certain_on_a_set_with_too_few_noises() -> None:
    groups = ClipGroups(CLIPS, {"noise": tuple("ab"[number % 2] for number in range(len(CLIPS)))})
    better = {"better": scores_of(clips(pesq=2.7))}
    lead = leads_over(scores_of(clips()), better, quality_rules(groups=groups))["better"]
    assert (lead.p_value, lead.is_certain) == (1.0, False)


def timed(*times_s: float, gb: float = 5.0) -> MeasuredImage:
    return image(clips(), [run(n, time_s=time_s, gb=gb) for n, time_s in enumerate(times_s, start=1)])


@pytest.mark.parametrize(
    ("copy", "is_certain"),
    [
        (timed(12.0, 12.0), False),
        # A machine may be so much faster unnoticed.
        (timed(11.5, 11.5), False),
        (timed(11.3, 11.3), True),
        # It has a higher score, and not in each run.
        (timed(6.0, 11.5), False),
        (timed(12.0, 12.0, gb=4.8), False),
        (timed(12.0, 12.0, gb=2.0), True),
    ],
)
def test_a_suspected_copy_leads_only_by_more_than_chance_in_times(copy: MeasuredImage, is_certain: bool) -> None:
    leads = copy_leads(timed(12.0, 12.0), {"copy": copy}, INPUT, ExecutorRules(), quality_rules())
    assert leads["copy"].is_certain is is_certain


def test_a_suspected_copy_of_better_quality_leads() -> None:
    better = MeasuredImage(timed(12.0, 12.0).runs, clips(pesq=3.2))
    leads = copy_leads(timed(12.0, 12.0), {"copy": better}, INPUT, ExecutorRules(), quality_rules())
    assert leads["copy"].is_certain


def test_runs_with_other_clips_cannot_be_compared() -> None:
    other = MeasuredImage((ScoringRun(1, CLIPS, 6.0, 60.0, 5_000_000_000),), clips())
    leads = copy_leads(timed(12.0, 12.0), {"copy": other}, INPUT, ExecutorRules(), quality_rules())
    assert not leads["copy"].is_certain


def test_a_run_with_a_clip_without_a_result_is_an_error() -> None:
    strange = MeasuredImage((ScoringRun(1, ("strange",), 6.0, 60.0, 5_000_000_000),), clips())
    with pytest.raises(ValueError, match="run 1 has a clip without a result"):
        copy_leads(timed(12.0, 12.0), {"copy": strange}, INPUT, ExecutorRules(), quality_rules())
