"""A competition is one task at one sample rate, with the metrics that pay and what they pay."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from soundsright.core.errors import UsageError

SAMPLE_RATES_HZ = (16_000, 48_000)


def metric_name(metric: str) -> str:
    """A metric's id as papers write it.

    >>> metric_name("SI_SDR"), metric_name("PESQ_WB")
    ('SI-SDR', 'PESQ-WB')
    """
    return metric.replace("_", "-")


class Task(StrEnum):
    DENOISING = "DENOISING"
    DEREVERBERATION = "DEREVERBERATION"


@dataclass(frozen=True)
class Competition:
    """`metric_weights` name the metrics that pay and sum to one.

    The winner of a metric takes `max_score` x its weight; `remainder` x its weight is shared among the others.
    Scores are percent of a round's emission.

    Raises:
        ValueError: if weights do not sum to one or a reward is negative.
    """

    task: Task
    sample_rate_hz: int
    metric_weights: Mapping[str, float]
    max_score: float
    remainder: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "metric_weights", MappingProxyType(dict(self.metric_weights)))
        if self.sample_rate_hz not in SAMPLE_RATES_HZ:
            raise ValueError(f"sample rate {self.sample_rate_hz} Hz is none of {SAMPLE_RATES_HZ}")
        if not self.metric_weights or any(w < 0 for w in self.metric_weights.values()):
            raise ValueError(f"{self.id}: metric weights must be non-negative and not empty")
        if not math.isclose(sum(self.metric_weights.values()), 1.0, abs_tol=1e-9):
            raise ValueError(f"{self.id}: metric weights sum to {sum(self.metric_weights.values()):g}, not 1")
        if self.max_score < 0 or self.remainder < 0:
            raise ValueError(f"{self.id}: rewards must not be negative")

    def __reduce__(self) -> tuple[type[Competition], tuple[object, ...]]:
        # A read-only mapping cannot be pickled; workers get a competition made anew from its fields.
        return Competition, (
            self.task,
            self.sample_rate_hz,
            dict(self.metric_weights),
            self.max_score,
            self.remainder,
        )

    @property
    def id(self) -> str:
        return f"{self.task}_{self.sample_rate_hz}HZ"

    @property
    def title(self) -> str:
        return f"{self.task.value.capitalize()}, {self.sample_rate_hz // 1000} kHz"


PUBLISHED = (
    Competition(Task.DENOISING, 16_000, {"PESQ_WB": 0.6, "ESTOI": 0.4}, 10.0, 3.0),
    Competition(Task.DEREVERBERATION, 16_000, {"PESQ_WB": 0.6, "ESTOI": 0.4}, 10.0, 2.0),
    Competition(Task.DENOISING, 48_000, {"ESTOI": 0.4, "SI_SDR": 0.2, "SI_SIR": 0.2, "SI_SAR": 0.2}, 45.0, 5.0),
    Competition(Task.DEREVERBERATION, 48_000, {"ESTOI": 0.6, "SI_SDR": 0.4}, 20.0, 5.0),
)
"""The four published competitions; their rewards sum to 100 percent."""


def competition_by_id(competition_id: str, competitions: Sequence[Competition] = PUBLISHED) -> Competition:
    """The competition of that name, upper or lower case.

    Raises:
        UsageError: if there is none.

    >>> competition_by_id("denoising_16000hz").title
    'Denoising, 16 kHz'
    """
    for competition in competitions:
        if competition.id == competition_id.upper():
            return competition
    raise UsageError(
        f"Unknown competition {competition_id!r}", f"Choose one of {', '.join(c.id for c in competitions)}."
    )
