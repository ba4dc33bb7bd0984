"""Why an image has its score: the product term by term, and what less time or memory would be worth.

Times are in seconds as the rules count them: in the profile `soundsright` for 30 s of audio. Memory is in GB.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from soundsright.core.errors import UsageError
from soundsright.core.executor_rules import REAL_TIME_S, ExecutorRules
from soundsright.core.images import NO_SCORE, ImageRow
from soundsright.core.profiles import Profile
from soundsright.ranking import (
    SCORE_TOLERANCE,
    FirstPlace,
    MeasuredCost,
    QualityTerm,
    RankedImage,
    ScoreTerms,
    Worth,
    quality_terms,
    rivals_of,
    score_terms,
)
from soundsright.services.records.executor_results import ExecutorRound

SMALL_SHARE = 0.1
"""A step is a second and a gigabyte, or this share of what the image needs if it needs less than that."""


@dataclass(frozen=True)
class Step:
    """A change and its worth: `amount` seconds or GB less in every run."""

    amount: float
    worth: Worth


@dataclass(frozen=True)
class Explanation:
    """Why a row has its score.

    `quality_terms` is empty if the weights or the clips' scores are unknown. `agrees` says whether the terms
    multiply to the published score, `quality_agrees` the same for quality. If quality does not agree and is 0, the
    image does not beat its unprocessed input. `first` is the image that the round gave the first place. If the
    image `is_held_back`, that one has a lower score: it was first before, and no certain lead was found over it.
    """

    rank: int | None
    row: ImageRow
    cost: MeasuredCost
    terms: ScoreTerms
    quality_terms: tuple[QualityTerm, ...]
    time_step: Step
    memory_step: Step
    first_place: FirstPlace
    first: ImageRow | None
    is_held_back: bool
    agrees: bool
    quality_agrees: bool


def scored_time_s(row: ImageRow, rules: ExecutorRules) -> float | None:
    """The time that an image's score counts; None if it was not measured."""
    if rules.profile is Profile.SOUNDSRIGHT and row.metrics.real_time_factor is not None:
        return row.metrics.real_time_factor * REAL_TIME_S
    return row.metrics.inference_time_sec


def image_state(row: ImageRow) -> str:
    """A word for what became of an image: `ranked`, or the reason why it is not."""
    metrics = row.metrics
    if metrics.error is not None:
        return "failed"
    if metrics.final_score == NO_SCORE:
        return "waiting"
    if metrics.cap_violation:
        return "over a limit"
    if metrics.quality_score <= 0:
        return "no better than the input"
    return "unsteady" if metrics.unsteady else "ranked"


def image_label(row: ImageRow) -> str:
    """The image's name without the host of its registry.

    >>> from soundsright.core.images import SubmittedImage
    >>> from soundsright.core.sources import ImageRef
    >>> image_label(ImageRow(SubmittedImage(7, "5F", ImageRef("reg.example:5000/lab/gate", "0" * 64))))
    'lab/gate'
    """
    host, slash, rest = row.submission.image.repository.partition("/")
    has_host = slash and ("." in host or ":" in host or host == "localhost")
    return rest if has_host else row.submission.image.repository


def metric_means(row: ImageRow) -> dict[str, float]:
    """The mean of each metric over an image's scored clips. A metric without a finite score has none."""
    values: dict[str, list[float]] = {}
    for run in row.metrics.challenge_metrics:
        scores = run.get("scores")
        for by_metric in scores.values() if isinstance(scores, Mapping) else ():
            for name, value in by_metric.items() if isinstance(by_metric, Mapping) else ():
                if type(value) in (int, float) and math.isfinite(value):
                    values.setdefault(str(name), []).append(float(value))
    return {name: math.fsum(each) / len(each) for name, each in values.items()}


def explained_image(table: ExecutorRound, hotkey: str) -> Explanation:
    """The explanation of a hotkey's score. `hotkey` may be the start of one.

    Raises:
        UsageError: the table has no such hotkey or several, or its image has no score.
    """
    row = table.row_of(hotkey)
    if row is None:
        raise UsageError(
            f"The table of round {table.round_id or '-'} has not exactly one hotkey {hotkey[:64]!r}",
            "Copy the hotkey from `soundsright executor scores --json`.",
        )
    cost = _cost(row, table.rules)
    others = (_ranked(each, table.rules) for each in table.rows)
    rivals = rivals_of(cost, [other for other in others if other is not None], table.rules)
    terms = score_terms(cost, table.rules)
    means = metric_means(row)
    parts = quality_terms(means, table.metric_weights) if means and table.metric_weights else ()
    first = next((each for rank, each in table.ranked if rank == 1), None)
    return Explanation(
        rank=next(rank for rank, each in table.ranked if each is row),
        row=row,
        cost=cost,
        terms=terms,
        quality_terms=parts,
        time_step=_step(cost.time_s, lambda by: rivals.worth(cost.changed(less_time_s=by))),
        memory_step=_step(cost.memory_gb, lambda by: rivals.worth(cost.changed(less_memory_gb=by))),
        first_place=rivals.first_place(),
        first=first,
        is_held_back=first is not None and _is_held_back(row, first, table.rules),
        agrees=abs(terms.score - row.metrics.final_score) <= SCORE_TOLERANCE,
        quality_agrees=not parts or abs(math.fsum(term.part for term in parts) - cost.quality) <= SCORE_TOLERANCE,
    )


def _is_held_back(row: ImageRow, first: ImageRow, rules: ExecutorRules) -> bool:
    """Whether the first image is first although the other one's score is higher by more than a tie."""
    lead = row.metrics.final_score - first.metrics.final_score
    return rules.profile is Profile.SOUNDSRIGHT and row.is_winner_candidate and lead > rules.tie_eps


def _cost(row: ImageRow, rules: ExecutorRules) -> MeasuredCost:
    metrics = row.metrics
    time_s, memory = scored_time_s(row, rules), metrics.peak_vram_gb
    if metrics.error is not None:
        raise UsageError(
            f"The image of {row.submission.hotkey} failed, so its score is 0: {metrics.detail or metrics.error}",
            "Repair it and submit a new image.",
        )
    if metrics.quality_score == NO_SCORE or time_s is None or memory is None:
        raise UsageError(
            f"The image of {row.submission.hotkey} has no score yet", "Wait until its round is published."
        )
    slowest = (metrics.inference_time_sec_worst or 0.0) / (metrics.inference_time_sec or math.inf)
    worst_time_s = time_s * max(1.0, slowest)
    worst_memory = max(memory, metrics.peak_vram_gb_worst or 0.0)
    if not metrics.cap_violation:
        # The executor saw each run, so its word on the limits counts.
        worst_time_s, worst_memory = min(worst_time_s, rules.max_time_s), min(worst_memory, rules.max_memory_gb)
    return MeasuredCost(
        row.submission.hotkey,
        metrics.quality_score,
        time_s,
        memory,
        worst_time_s,
        worst_memory,
        row.submission.submitted_s,
    )


def _ranked(row: ImageRow, rules: ExecutorRules) -> RankedImage | None:
    time_s, memory = scored_time_s(row, rules), row.metrics.peak_vram_gb
    if not row.is_winner_candidate or time_s is None or memory is None:
        return None
    return RankedImage(row.submission.hotkey, row.metrics.final_score, time_s, memory, row.submission.submitted_s)


def _step(needed: float, worth: Callable[[float], Worth]) -> Step:
    amount = 1.0 if needed >= 1.0 else SMALL_SHARE * needed
    return Step(amount, worth(amount))
