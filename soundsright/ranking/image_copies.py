"""The lead of a suspected copy over the earlier image: is it better by more than chance in its times can give?

Two images around one model answer alike, so on every clip the faster one has the higher score, by however little.
The paired test over clips alone would call luck in the times certain. So a copy's times count a little longer
here than they were measured, and it must lead in every scoring run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from soundsright.core.executor_rules import ExecutorRules
from soundsright.core.images import MeasuredImage, ScoringRun
from soundsright.core.results import ClipResult
from soundsright.ranking.efficiency import efficiency_score
from soundsright.ranking.images import (
    ImageLead,
    QualityRules,
    clip_scores,
    image_metrics,
    leads_over,
    run_time_s,
)

UNNOTICED_DRIFT = 0.05
"""The part by which a machine's speed may change without a measurement being repeated."""


def copy_leads(
    original: MeasuredImage,
    copies: Mapping[str, MeasuredImage],
    unprocessed: Sequence[ClipResult],
    rules: ExecutorRules,
    quality_rules: QualityRules,
) -> dict[str, ImageLead]:
    """The lead of each suspected copy, by name, over the image that it is suspected to copy.

    The times of a copy count longer by `UNNOTICED_DRIFT`. Its lead is certain if the ruleset's paired test says
    so for the scores of the clips, if it leads in each scoring run by itself, and if the machine was steady for
    both. The images need the same clips in the same runs. `unprocessed` has the results of the degraded input.

    Raises:
        ValueError: the images were measured on different clips, or a run has a clip without a result.
    """

    def scores(measured: MeasuredImage) -> dict[str, float]:
        metrics = image_metrics(measured, unprocessed, rules, quality_rules)
        return clip_scores(measured, rules, quality_rules, metrics)

    slowed = {name: _slowed(measured) for name, measured in copies.items()}
    leads = leads_over(scores(original), {name: scores(own) for name, own in slowed.items()}, quality_rules)
    own_runs = _run_scores(original, rules, quality_rules)
    return {
        name: replace(
            lead,
            is_certain=lead.is_certain
            and not (original.unsteady or copies[name].unsteady)
            and _leads_in_each(_run_scores(slowed[name], rules, quality_rules), own_runs),
        )
        for name, lead in leads.items()
    }


def _run_scores(
    measured: MeasuredImage, rules: ExecutorRules, quality_rules: QualityRules
) -> dict[frozenset[str], float]:
    """The score of each scoring run by itself, by its clips: their quality, with the run's own time and memory."""
    clips = {clip.clip_id: clip for clip in measured.clips}
    scores = {}
    for run in measured.runs:
        quality = quality_rules.quality(_of_run(run, clips))
        one = efficiency_score(quality, [run_time_s(run, rules)], [run.peak_gb], rules)
        scores[frozenset(run.clip_ids)] = one.score
    return scores


def _of_run(run: ScoringRun, clips: Mapping[str, ClipResult]) -> list[ClipResult]:
    if not clips.keys() >= set(run.clip_ids):
        raise ValueError(f"run {run.number} has a clip without a result")
    return [clips[clip_id] for clip_id in run.clip_ids]


def _leads_in_each(copy: Mapping[frozenset[str], float], original: Mapping[frozenset[str], float]) -> bool:
    """Whether the copy is better in every run. Runs with other clips cannot be compared, so it is not."""
    return bool(copy) and copy.keys() == original.keys() and all(copy[each] > original[each] for each in copy)


def _slowed(measured: MeasuredImage) -> MeasuredImage:
    """The image with longer runs than were measured."""
    runs = tuple(replace(run, time_s=run.time_s * (1.0 + UNNOTICED_DRIFT)) for run in measured.runs)
    return replace(measured, runs=runs)
