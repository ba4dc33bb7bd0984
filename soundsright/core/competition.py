"""A competition: a task at a sample rate, with its name, the metrics that pay, and the rewards."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType

from soundsright.core.errors import UsageError
from soundsright.core.stopping import Stopping
from soundsright.core.tasks import AnyTask
from soundsright.core.tasks import Task as Task

SAMPLE_RATES_HZ = (16_000, 48_000)
MAX_COMPETITIONS = 64
"""The most competitions that one organiser may have; the results of a round have room for no more."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")  # also the name of a folder, and an argument of commands


def metric_name(metric: str) -> str:
    """A metric's name as papers write it.

    >>> metric_name("SI_SDR"), metric_name("PESQ_WB")
    ('SI-SDR', 'PESQ-WB')
    """
    return metric.replace("_", "-")


def is_competition_name(text: str) -> bool:
    """Whether a competition can have that name: 1 to 64 letters, digits, `-` and `_`, with a letter or digit first.

    >>> is_competition_name("summer-2030"), is_competition_name("summer 2030")
    (True, False)
    """
    return _NAME.fullmatch(text) is not None


@dataclass(frozen=True)
class Competition:
    """One competition. `metric_weights` lists the metrics that pay; the weights sum to 1.

    The winner of a metric gets `max_score` x its weight. The other entries share `remainder` x its weight. Both are
    percent of a round's emission. `name` tells competitions apart, even two with the same task and rate. It has up
    to 64 letters, digits, `-` and `_`, and begins with a letter or digit. By default it consists of the task and
    the rate. `stopping` says whether entries that can no longer win stop before the end of the set.

    Raises:
        ValueError: if the rate is not supported, the weights do not sum to 1, a reward is negative, or the name has
            another form.

    >>> Competition(Task.DENOISING, 16_000, {"ESTOI": 1.0}, 10.0, 3.0).name
    'DENOISING_16000HZ'
    """

    task: AnyTask
    sample_rate_hz: int
    metric_weights: Mapping[str, float]
    max_score: float
    remainder: float
    name: str = ""
    stopping: Stopping = Stopping.FULL

    def __post_init__(self) -> None:
        object.__setattr__(self, "metric_weights", MappingProxyType(dict(self.metric_weights)))
        object.__setattr__(self, "name", self.name or self._default_name)
        if self.sample_rate_hz not in SAMPLE_RATES_HZ:
            rates = " or ".join(map(str, SAMPLE_RATES_HZ))
            raise ValueError(f"the sample rate {self.sample_rate_hz} Hz is not {rates} Hz")
        if not is_competition_name(self.name):
            raise ValueError(
                f"the name {self.name[:80]!r} is not 1 to 64 letters, digits, `-` and `_`, with a letter or digit"
                " first; for example summer-2030"
            )
        if not self.metric_weights or any(w < 0 for w in self.metric_weights.values()):
            raise ValueError(f"{self.id}: there must be metric weights, and none can be negative")
        if not math.isclose(sum(self.metric_weights.values()), 1.0, abs_tol=1e-9):
            raise ValueError(f"{self.id}: the metric weights sum to {sum(self.metric_weights.values()):g}, not 1")
        if self.max_score < 0 or self.remainder < 0:
            raise ValueError(f"{self.id}: a reward is negative")

    def __reduce__(self) -> tuple[type[Competition], tuple[object, ...]]:
        # A read-only mapping cannot be pickled. A worker builds the competition again from its fields.
        values = (getattr(self, field.name) for field in fields(self))
        return Competition, tuple(dict(value) if isinstance(value, Mapping) else value for value in values)

    @property
    def id(self) -> str:
        """The name. Commitments, sets, results and states use it to identify the competition."""
        return self.name

    @property
    def has_default_name(self) -> bool:
        """Whether the name consists of the task and the rate, as it does by default."""
        return self.name == self._default_name

    @property
    def title(self) -> str:
        """The competition in words: its task and rate, and its name if that is not the default."""
        title = f"{self.task.value.replace('_', ' ').capitalize()}, {self.sample_rate_hz // 1000} kHz"
        return title if self.has_default_name else f"{title} ({self.name})"

    @property
    def _default_name(self) -> str:
        return f"{self.task}_{self.sample_rate_hz}HZ"


PUBLISHED = (
    Competition(Task.DENOISING, 16_000, {"PESQ_WB": 0.6, "ESTOI": 0.4}, 10.0, 3.0),
    Competition(Task.DEREVERBERATION, 16_000, {"PESQ_WB": 0.6, "ESTOI": 0.4}, 10.0, 2.0),
    Competition(Task.DENOISING, 48_000, {"ESTOI": 0.4, "SI_SDR": 0.2, "SI_SIR": 0.2, "SI_SAR": 0.2}, 45.0, 5.0),
    Competition(Task.DEREVERBERATION, 48_000, {"ESTOI": 0.6, "SI_SDR": 0.4}, 20.0, 5.0),
)
"""The four published competitions. Their rewards sum to 100 percent."""


def competition_by_id(competition_id: str, competitions: Sequence[Competition] = PUBLISHED) -> Competition:
    """The competition of that name, in upper or lower case.

    Raises:
        UsageError: if there is none.

    >>> competition_by_id("denoising_16000hz").title
    'Denoising, 16 kHz'
    """
    for competition in competitions:
        if competition.id.casefold() == competition_id.casefold():
            return competition
    raise UsageError(
        f"Unknown competition {competition_id!r}", f"Choose one of {', '.join(c.id for c in competitions)}."
    )
