"""The result of a measured image: its quality, its score, and whether its lead over the last winner is certain.

Scores are by clip id and metric; a failed clip has every metric's floor and stays in the mean. The quality of a
clip is that of its own scores, from 0 to 1. Differences are paired by clip.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from soundsright.core.executor_rules import REAL_TIME_S, ExecutorRules
from soundsright.core.groups import ClipGroups
from soundsright.core.images import ImageMetrics, MeasuredImage, ScoringRun
from soundsright.core.profiles import Profile
from soundsright.core.results import ClipResult
from soundsright.core.rulesets import Ruleset
from soundsright.ranking.challengers import adjusted_p_values
from soundsright.ranking.efficiency import EfficiencyScore, efficiency_score, quality_of_means
from soundsright.ranking.leads import labels_by_factor, lead_test, scarce_factor, without_groups


@dataclass(frozen=True)
class QualityRules:
    """The rules of an image's quality: the competition's `weights` and the `floors` of its metrics, the ruleset.

    `groups` says which clips share a recording; None if it is unknown.
    """

    weights: Mapping[str, float]
    floors: Mapping[str, float]
    ruleset: Ruleset
    groups: ClipGroups | None = field(default=None, repr=False)

    def scores(self, clip: ClipResult) -> dict[str, float]:
        """The scores of a clip by metric that has a weight: its own, or the floors if it failed."""
        scores = clip.scores or {}
        return {metric: scores.get(metric, self.floors[metric]) for metric in self.weights}

    def quality(self, clips: Sequence[ClipResult]) -> float:
        """The quality of the means over all clips.

        Raises:
            ValueError: if there is no clip, or a metric has no band.
        """
        if not clips:
            raise ValueError("there is no clip")
        scores = [self.scores(clip) for clip in clips]
        means = {metric: math.fsum(s[metric] for s in scores) / len(scores) for metric in self.weights}
        return quality_of_means(means, self.weights)

    def clip_qualities(self, clips: Sequence[ClipResult]) -> dict[str, float]:
        """The quality of each clip, by clip id."""
        return {clip.clip_id: quality_of_means(self.scores(clip), self.weights) for clip in clips}


@dataclass(frozen=True)
class ImageLead:
    """The lead of one image over another: the mean difference, its p-value (None without a test), the decision."""

    difference: float
    p_value: float | None
    is_certain: bool


def run_time_s(run: ScoringRun, rules: ExecutorRules) -> float:
    """The time of a run under the rules: in seconds, or in the profile `soundsright` for 30 s of audio.

    >>> run = ScoringRun(1, ("a",), time_s=6.0, audio_s=12.0, memory_bytes=0)
    >>> run_time_s(run, ExecutorRules()), run_time_s(run, ExecutorRules(Profile.DOC))
    (15.0, 6.0)
    """
    return run.real_time_factor * REAL_TIME_S if rules.profile is Profile.SOUNDSRIGHT else run.time_s


def image_metrics(
    measured: MeasuredImage,
    unprocessed: Sequence[ClipResult],
    rules: ExecutorRules,
    quality_rules: QualityRules,
    *,
    updated_s: float | None = None,
) -> ImageMetrics:
    """The metrics of a row. `unprocessed` has the results of the degraded input on the same clips.

    An image with a failure has the score 0 and its code. One that does not beat the unprocessed input has the
    quality 0.

    Raises:
        ValueError: if the two do not have the same clips, or an image without a failure has no run.
    """
    scored = () if measured.failure is not None else measured.clips
    quality = 0.0
    if measured.failure is None and _beats_unprocessed(measured.clips, unprocessed, quality_rules):
        quality = quality_rules.quality(measured.clips)
    efficiency = _efficiency(quality, measured.runs, rules) if measured.runs else None
    if measured.failure is None and efficiency is None:
        raise ValueError("an image without a failure has no run")
    energies = [run.energy_j for run in measured.runs if run.energy_j is not None]
    audio_s = math.fsum(run.audio_s for run in measured.runs)
    is_measured = len(energies) == len(measured.runs) > 0
    return ImageMetrics(
        final_score=efficiency.score if efficiency is not None and measured.failure is None else 0.0,
        quality_score=quality,
        efficiency_factor=None if efficiency is None else efficiency.factor,
        inference_time_sec=_mean([run.time_s for run in measured.runs]),
        inference_time_sec_worst=max((run.time_s for run in measured.runs), default=None),
        real_time_factor=_mean([run.real_time_factor for run in measured.runs]),
        peak_vram_gb=_mean([run.peak_gb for run in measured.runs]),
        peak_vram_gb_worst=max((run.peak_gb for run in measured.runs), default=None),
        energy_j_per_s=math.fsum(energies) / audio_s if is_measured else None,
        cap_violation=efficiency is not None and efficiency.over_limit,
        unsteady=measured.unsteady,
        challenge_metrics=tuple(_run_facts(run, scored, quality_rules) for run in measured.runs),
        error=None if measured.failure is None else measured.failure.code,
        detail="" if measured.failure is None else measured.failure.detail,
        updated_s=updated_s,
    )


def clip_scores(
    measured: MeasuredImage, rules: ExecutorRules, quality_rules: QualityRules, metrics: ImageMetrics
) -> dict[str, float]:
    """The score of each clip: its quality times the image's factor, and times the cap's factor if it is capped.

    All are 0 if the image's quality is 0 or it failed.
    """
    if measured.failure is not None or metrics.quality_score <= 0 or metrics.efficiency_factor is None:
        return {clip.clip_id: 0.0 for clip in measured.clips}
    factor = metrics.efficiency_factor * (rules.cap_factor if metrics.cap_violation else 1.0)
    return {clip_id: factor * q for clip_id, q in quality_rules.clip_qualities(measured.clips).items()}


def leads_over(
    holder: Mapping[str, float], challengers: Mapping[str, Mapping[str, float]], quality_rules: QualityRules
) -> dict[str, ImageLead]:
    """The lead of each challenger, by hotkey, over the winner of before. Both have their `clip_scores`.

    The ruleset's paired test decides, corrected for the number of challengers. Without a test in the ruleset, any
    lead is certain. On a set with too few noises, prompts or rooms for the test, none is.

    Raises:
        ValueError: if a challenger has other clips.
    """
    if not challengers:
        return {}
    ruleset, clip_ids = quality_rules.ruleset, tuple(sorted(holder))
    rows = [_values(scores, clip_ids) for scores in challengers.values()]
    differences = np.array(rows) - np.array(_values(holder, clip_ids))
    means = [math.fsum(row) / len(row) for row in differences.tolist()]
    if ruleset.alpha is None:
        leads = [ImageLead(mean, None, mean > 0) for mean in means]
    else:
        test = lead_test(ruleset, labels_by_factor(quality_rules.groups, clip_ids))
        p_values = [1.0] * len(means)
        if scarce_factor(test, ruleset.alpha) is None:
            p_values = adjusted_p_values(ruleset, [float(p) for p in test.p_values(differences)])
        leads = [ImageLead(m, p, m > 0 and p <= ruleset.alpha) for m, p in zip(means, p_values, strict=True)]
    return dict(zip(challengers, leads, strict=True))


def protected_winner(
    ranked: Sequence[str],
    scores: Mapping[str, Mapping[str, float]],
    holder: str | None,
    quality_rules: QualityRules,
) -> str | None:
    """The hotkey that wins: the first of `ranked`, unless its lead over the winner of before is uncertain.

    `ranked` are the hotkeys that can be paid, best first. The winner of before, `holder`, is protected only while
    it is one of them. Then the best one whose lead over it is certain replaces it.
    """
    if holder is None or holder not in ranked:
        return ranked[0] if ranked else None
    before = ranked[: ranked.index(holder)]
    leads = leads_over(scores[holder], {hotkey: scores[hotkey] for hotkey in before}, quality_rules)
    return next((hotkey for hotkey in before if leads[hotkey].is_certain), holder)


def _beats_unprocessed(
    clips: Sequence[ClipResult], unprocessed: Sequence[ClipResult], quality_rules: QualityRules
) -> bool:
    """Whether the image's clips have a certain gain over the input. On few groups, the clips alone are tested."""
    own, other = quality_rules.clip_qualities(clips), quality_rules.clip_qualities(unprocessed)
    clip_ids, ruleset = tuple(sorted(own)), quality_rules.ruleset
    differences = np.array([_values(own, clip_ids)]) - np.array([_values(other, clip_ids)])
    gain = math.fsum(differences[0].tolist())
    if gain <= 0 or ruleset.alpha is None:
        return gain > 0
    test = lead_test(ruleset, labels_by_factor(quality_rules.groups, clip_ids))
    if scarce_factor(test, ruleset.alpha) is not None:
        test = without_groups(test)
    return float(test.p_values(differences)[0]) <= ruleset.alpha


def _efficiency(quality: float, runs: Sequence[ScoringRun], rules: ExecutorRules) -> EfficiencyScore:
    times_s = [run_time_s(run, rules) for run in runs]
    return efficiency_score(quality, times_s, [run.peak_gb for run in runs], rules)


def _values(scores: Mapping[str, float], clip_ids: Sequence[str]) -> list[float]:
    if scores.keys() != set(clip_ids):
        raise ValueError("the images were not scored on the same clips")
    return [scores[clip_id] for clip_id in clip_ids]


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _run_facts(run: ScoringRun, scored: Sequence[ClipResult], quality_rules: QualityRules) -> dict[str, object]:
    """A run as JSON values, with everything from which anyone can compute quality and score again."""
    by_id = {clip.clip_id: clip for clip in scored}
    return {
        "run": run.number,
        "clip_ids": list(run.clip_ids),
        "time_sec": run.time_s,
        "audio_sec": run.audio_s,
        "peak_gb": run.peak_gb,
        "energy_j": run.energy_j,
        "scores": {clip_id: quality_rules.scores(by_id[clip_id]) for clip_id in run.clip_ids if clip_id in by_id},
    }
