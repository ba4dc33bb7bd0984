"""The score of an image: its quality, lowered for the time and the memory that it needs.

    score = quality * exp(-time_weight * min(saturation, time / time_ref_s) - memory_weight * min(saturation, ...))

Time and memory are means over the scoring runs. A run above a limit costs nearly everything. Images whose scores
are equal within a tolerance are ranked by time, then memory, then the time of submission.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from soundsright.core.executor_rules import ExecutorRules

QUALITY_BANDS: Mapping[str, tuple[float, float]] = {"PESQ_WB": (1.0, 4.5), "STOI": (0.0, 1.0), "ESTOI": (0.0, 1.0)}
"""The values of a metric that count as quality 0 and 1."""
DECIBEL_BAND = (-10.0, 30.0)
"""The same for every metric in dB."""
DECIBEL_METRICS = frozenset({"SI_SDR", "SI_SIR", "SI_SAR"})

DEFAULT_RULES = ExecutorRules()
SCORE_TOLERANCE = 1e-6
"""The largest difference between a published score or quality and the one computed again."""
_TIE_ROUNDING = 1e-12


@dataclass(frozen=True)
class EfficiencyScore:
    """A score and its factors: `score` is quality times `factor`, and times the cap's factor if `over_limit`."""

    score: float
    quality: float
    factor: float
    over_limit: bool
    time_s: float
    memory_gb: float


def quality_of_means(means: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """The quality of an image, from 0 to 1: the weighted mean of its metrics' places in their bands.

    `means` gives each metric's mean over all clips, `weights` each metric's part; their sum is 1. A metric that has
    no mean counts as 0.

    Raises:
        ValueError: if a mean or weight is not finite, the weights do not sum to 1, or a metric has no band.

    >>> round(quality_of_means({"PESQ_WB": 2.6, "ESTOI": 0.82}, {"PESQ_WB": 0.6, "ESTOI": 0.4}), 7)
    0.6022857
    """
    if not math.isclose(math.fsum(weights.values()), 1.0, abs_tol=1e-9):
        raise ValueError(f"The weights of the metrics sum to {math.fsum(weights.values()):.6g}; they must sum to 1")
    parts = []
    for metric, weight in weights.items():
        low, high = quality_band(metric)
        mean = means.get(metric, low)
        if not (math.isfinite(mean) and math.isfinite(weight) and weight >= 0):
            raise ValueError(f"{metric} has the mean {mean!r} and the weight {weight!r}")
        parts.append(weight * min(1.0, max(0.0, (mean - low) / (high - low))))
    return math.fsum(parts)


def quality_band(metric: str) -> tuple[float, float]:
    """The means of a metric that count as quality 0 and 1.

    Raises:
        ValueError: the metric has no band.

    >>> quality_band("PESQ_WB"), quality_band("SI_SDR")
    ((1.0, 4.5), (-10.0, 30.0))
    """
    if metric in QUALITY_BANDS:
        return QUALITY_BANDS[metric]
    if metric in DECIBEL_METRICS:
        return DECIBEL_BAND
    raise ValueError(f"{metric} has no band of quality; the metrics with one are {_known_metrics()}")


def efficiency_score(
    quality: float, times_s: Sequence[float], memory_gb: Sequence[float], rules: ExecutorRules = DEFAULT_RULES
) -> EfficiencyScore:
    """The score of an image from its quality (0 to 1) and each scoring run's time and peak memory.

    In the profile `soundsright`, the time of a run is its real-time factor times `REAL_TIME_S`.

    Raises:
        ValueError: if there is no run, the numbers of times and memories differ, or a value is negative or not
            finite.

    >>> round(efficiency_score(0.8, [12.0], [5.0]).score, 7)
    0.7077647
    """
    if not times_s or len(times_s) != len(memory_gb):
        raise ValueError(f"{len(times_s)} times and {len(memory_gb)} peaks of memory: each run has one of each")
    for value in (quality, *times_s, *memory_gb):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{value!r} is not a quality, time or memory")
    time_s, memory = math.fsum(times_s) / len(times_s), math.fsum(memory_gb) / len(memory_gb)
    factor = math.exp(-time_exponent(time_s, rules) - memory_exponent(memory, rules))
    over_limit = is_over_limit(max(times_s), max(memory_gb), rules)
    score = quality * factor * (rules.cap_factor if over_limit else 1.0)
    return EfficiencyScore(score, quality, factor, over_limit, time_s, memory)


def time_exponent(time_s: float, rules: ExecutorRules) -> float:
    """The exponent by which the mean time of a run lowers a score: exp(-exponent) is its factor."""
    return rules.time_weight * min(rules.saturation, time_s / rules.time_ref_s)


def memory_exponent(memory_gb: float, rules: ExecutorRules) -> float:
    """The exponent by which the mean peak of memory lowers a score."""
    return rules.memory_weight * min(rules.saturation, memory_gb / rules.memory_ref_gb)


def is_over_limit(worst_time_s: float, worst_memory_gb: float, rules: ExecutorRules) -> bool:
    """Whether the slowest or the largest run of an image is above a limit."""
    return worst_time_s > rules.max_time_s or worst_memory_gb > rules.max_memory_gb


@dataclass(frozen=True)
class RankedImage:
    """An image with everything that its place depends on. `submitted_s` is the time of submission in seconds."""

    hotkey: str
    score: float
    time: float
    memory_gb: float
    submitted_s: float


def ranked_images(images: Sequence[RankedImage], tie_eps: float = DEFAULT_RULES.tie_eps) -> tuple[str, ...]:
    """The hotkeys from the best image to the last.

    Again and again, the best score that is left and all scores within `tie_eps` of it form a group. A group is
    ordered by least time, then least memory, then earliest submission, then hotkey. Scores are compared with the
    best of the group alone, so a chain of small steps cannot carry an image up.

    >>> a, b, c = (
    ...     RankedImage(name, score, time, 1.0, 0.0)
    ...     for name, score, time in [("A", 0.700000, 5.0), ("B", 0.699995, 4.0), ("C", 0.699988, 3.0)]
    ... )
    >>> ranked_images([a, b, c])
    ('B', 'A', 'C')
    """
    left = sorted(images, key=lambda image: -image.score)
    order: list[RankedImage] = []
    while len(order) < len(left):
        start = end = len(order)
        lowest = left[start].score - tie_eps - _TIE_ROUNDING
        while end < len(left) and left[end].score >= lowest:
            end += 1
        order += sorted(
            left[start:end], key=lambda image: (image.time, image.memory_gb, image.submitted_s, image.hotkey)
        )
    return tuple(image.hotkey for image in order)


def pareto_front(images: Sequence[tuple[float, float, float]]) -> tuple[int, ...]:
    """The places of the images that no other image beats in all of quality, time and memory.

    Each image is (quality, time, memory). Another beats it if it is as good in all three and better in one.

    >>> pareto_front([(0.8, 2.0, 1.0), (0.7, 1.0, 1.0), (0.7, 2.0, 1.0)])
    (0, 1)
    """

    def beaten(mine: tuple[float, float, float]) -> bool:
        return any(
            other[0] >= mine[0] and other[1] <= mine[1] and other[2] <= mine[2] and other != mine
            for other in images
        )

    return tuple(place for place, image in enumerate(images) if not beaten(image))


def _known_metrics() -> str:
    return ", ".join(sorted(QUALITY_BANDS.keys() | DECIBEL_METRICS))
