"""A score of an image term by term, and what less time, less memory or more quality would be worth.

Times are in seconds as the rules count them, memory in GB. A change counts for every scoring run: with a second
less, the mean and the worst time are both a second lower.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from soundsright.core.executor_rules import ExecutorRules
from soundsright.ranking.efficiency import (
    DEFAULT_RULES,
    RankedImage,
    is_over_limit,
    memory_exponent,
    quality_band,
    ranked_images,
    time_exponent,
)

TIME_STEP_S, MEMORY_STEP_GB, QUALITY_STEP = 0.001, 0.001, 0.0001
"""The steps in which a change that is needed is searched."""


@dataclass(frozen=True)
class QualityTerm:
    """The part of one metric in the quality: `weight` times `place`, where `place` is the mean's place in the band.

    A mean at or below `low` has the place 0, at or above `high` the place 1.
    """

    metric: str
    mean: float
    low: float
    high: float
    weight: float

    @property
    def place(self) -> float:
        return min(1.0, max(0.0, (self.mean - self.low) / (self.high - self.low)))

    @property
    def part(self) -> float:
        return self.weight * self.place


def quality_terms(means: Mapping[str, float], weights: Mapping[str, float]) -> tuple[QualityTerm, ...]:
    """The terms of a quality, in the order of `weights`. Their parts sum to `quality_of_means`.

    Raises:
        ValueError: a metric has no band.

    >>> terms = quality_terms({"PESQ_WB": 2.6, "ESTOI": 0.82}, {"PESQ_WB": 0.6, "ESTOI": 0.4})
    >>> [round(term.part, 6) for term in terms]
    [0.274286, 0.328]
    """
    terms = []
    for metric, weight in weights.items():
        low, high = quality_band(metric)
        terms.append(QualityTerm(metric, means.get(metric, low), low, high, weight))
    return tuple(terms)


@dataclass(frozen=True)
class MeasuredCost:
    """The quality of an image (0 to 1) and its time and memory, each as the mean and the worst of its runs."""

    hotkey: str
    quality: float
    time_s: float
    memory_gb: float
    worst_time_s: float
    worst_memory_gb: float
    submitted_s: float = 0.0

    def changed(
        self, *, less_time_s: float = 0.0, less_memory_gb: float = 0.0, quality: float = 0.0
    ) -> MeasuredCost:
        """The image with less time or memory in every run, or with more quality. No value passes its end."""
        return replace(
            self,
            quality=min(1.0, self.quality + quality),
            time_s=max(0.0, self.time_s - less_time_s),
            worst_time_s=max(0.0, self.worst_time_s - less_time_s),
            memory_gb=max(0.0, self.memory_gb - less_memory_gb),
            worst_memory_gb=max(0.0, self.worst_memory_gb - less_memory_gb),
        )


@dataclass(frozen=True)
class ScoreTerms:
    """A score as the product of its terms: quality, factor of time, factor of memory, and the cap's factor.

    A saturated term no longer falls: what lies above the saturation costs nothing more.
    """

    quality: float
    time_factor: float
    memory_factor: float
    cap_factor: float
    time_is_saturated: bool
    memory_is_saturated: bool

    @property
    def score(self) -> float:
        return self.quality * self.time_factor * self.memory_factor * self.cap_factor


def score_terms(image: MeasuredCost, rules: ExecutorRules = DEFAULT_RULES) -> ScoreTerms:
    """The terms of an image's score.

    >>> terms = score_terms(MeasuredCost("A", 0.8, 12.0, 5.0, 12.0, 5.0))
    >>> round(terms.time_factor, 7), round(terms.memory_factor, 7), round(terms.score, 7)
    (0.9417645, 0.9394131, 0.7077647)
    """
    time, memory = image.time_s / rules.time_ref_s, image.memory_gb / rules.memory_ref_gb
    over_limit = is_over_limit(image.worst_time_s, image.worst_memory_gb, rules)
    return ScoreTerms(
        image.quality,
        math.exp(-time_exponent(image.time_s, rules)),
        math.exp(-memory_exponent(image.memory_gb, rules)),
        rules.cap_factor if over_limit else 1.0,
        time >= rules.saturation,
        memory >= rules.saturation,
    )


@dataclass(frozen=True)
class Worth:
    """The score and the rank of an image after a change, and by how much its score is higher."""

    score: float
    gain: float
    rank: int


@dataclass(frozen=True)
class FirstPlace:
    """The least change of one kind that brings an image to rank 1. None: no change of that kind alone does.

    All three are 0 if it has that rank already.
    """

    less_time_s: float | None
    less_memory_gb: float | None
    more_quality: float | None


@dataclass(frozen=True)
class Rivals:
    """An image among the others of a round, each with its published score.

    Ranks follow from scores, time, memory and the time of submission. A rule that protects the winner of the last
    round is not part of them.
    """

    image: MeasuredCost
    others: tuple[RankedImage, ...]
    rules: ExecutorRules = DEFAULT_RULES

    def worth(self, image: MeasuredCost) -> Worth:
        """The worth of changing the image into `image`."""
        score = score_terms(image, self.rules).score
        return Worth(score, score - score_terms(self.image, self.rules).score, self._rank(image, score))

    def rank(self) -> int:
        """The rank of the image as it is."""
        return self.worth(self.image).rank

    def first_place(self) -> FirstPlace:
        """The least change of time, of memory and of quality that brings the image to rank 1."""
        image = self.image
        return FirstPlace(
            self._least(TIME_STEP_S, image.time_s, lambda by: image.changed(less_time_s=by)),
            self._least(MEMORY_STEP_GB, image.memory_gb, lambda by: image.changed(less_memory_gb=by)),
            self._least(QUALITY_STEP, 1.0 - image.quality, lambda by: image.changed(quality=by)),
        )

    def _rank(self, image: MeasuredCost, score: float) -> int:
        # The name in front keeps the image apart from others, also from one with the same hotkey.
        own = RankedImage("", score, image.time_s, image.memory_gb, image.submitted_s)
        return 1 + ranked_images([own, *self.others], self.rules.tie_eps).index("")

    def _least(self, step: float, most: float, changed: Callable[[float], MeasuredCost]) -> float | None:
        """The smallest multiple of `step` that gives rank 1, up to `most`. A larger change never ranks lower."""

        def is_first(steps: int) -> bool:
            image = changed(min(steps * step, most))
            score = score_terms(image, self.rules).score
            return score > 0 and self._rank(image, score) == 1

        low, high = 0, math.ceil(most / step)
        if not is_first(high):
            return None
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if is_first(middle) else (middle + 1, high)
        return min(low * step, most)


def rivals_of(image: MeasuredCost, others: Sequence[RankedImage], rules: ExecutorRules = DEFAULT_RULES) -> Rivals:
    """The image among those others that have a positive score: the rest can win nothing."""
    return Rivals(
        image, tuple(other for other in others if other.score > 0 and other.hotkey != image.hotkey), rules
    )
