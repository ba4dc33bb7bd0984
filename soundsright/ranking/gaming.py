"""Signs that an entry was tuned to a measure and not to speech. They are shown, and by default change no rank.

Three signs:

- One measure rose without the others. Honest systems that raise PESQ raise intelligibility and SI-SDR too; the
  means and covariances of the improvements of honest systems say by how much, and an entry whose improvement
  under one metric lies far above what its other improvements predict is flagged (a linear regression of each
  metric on the others, with the spread of honest systems around it).
- Speech was deleted, or invented in pauses.
- The output is the input again.

An improvement is an entry's mean score less the noisy input's on the same clips.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from soundsright.core.tasks import AnyTask, Task

Float64 = NDArray[np.float64]

HIGHEST_Z = 5.0
"""Flagged above so many deviations of honest systems around the regression."""
LEAST_CLIPS = 10
"""The fit is of means over so many clips: means of fewer spread more, and are not held against it."""
MOST_DELETED = 0.10
MOST_HALLUCINATED = 0.10
COPY_DB = 35.0
"""An output this like the input, by SI-SDR and on the median clip, is a copy: 16-bit rounding lies far above."""


class Evidence(Protocol):
    """What `metrics.evidence` tells of a clip."""

    @property
    def deleted(self) -> float: ...
    @property
    def hallucinated(self) -> float: ...
    @property
    def likeness_to_input_db(self) -> float: ...


@dataclass(frozen=True)
class Flag:
    """One sign: a stable code, a sentence, the value and the limit that it passed."""

    code: str
    sentence: str
    value: float
    limit: float


@dataclass(frozen=True, eq=False)
class HonestSystems:
    """How the improvements of honest systems lie: metric names, their means, and their covariance."""

    metrics: tuple[str, ...]
    means: Float64
    covariance: Float64

    @classmethod
    def fitted(cls, improvements: Mapping[str, Sequence[float]]) -> HonestSystems:
        """From one improvement per honest system and set, for each metric, in one order.

        Raises:
            ValueError: if there are not more systems than metrics, or a value is not finite.
        """
        table = np.array([list(values) for values in improvements.values()], dtype=np.float64)
        if table.ndim != 2 or table.shape[1] <= len(table) + 1:
            raise ValueError("a fit needs more systems than metrics")
        if not np.isfinite(table).all():
            raise ValueError("an improvement is not finite")
        return cls(tuple(improvements), table.mean(axis=1), np.cov(table))

    def surprise(self, improvements: Mapping[str, float]) -> dict[str, float]:
        """How many deviations each metric lies above what the others predict, over the metrics known and given.

        Empty where fewer than two of them are.
        """
        known = [i for i, name in enumerate(self.metrics) if name in improvements]
        if len(known) < 2:
            return {}
        x = np.array([improvements[self.metrics[i]] for i in known]) - self.means[known]
        # For a normal law the precision matrix holds every regression of one on the others at once.
        precision = np.linalg.inv(self.covariance[np.ix_(known, known)])
        z = precision @ x / np.sqrt(np.diag(precision))
        return {self.metrics[i]: float(value) for i, value in zip(known, z, strict=True)}

    def to_json(self) -> str:
        fields = {
            "metrics": list(self.metrics),
            "means": [round(float(v), 9) for v in self.means],
            "covariance": [[round(float(v), 12) for v in row] for row in self.covariance],
        }
        return json.dumps(fields, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> HonestSystems:
        fields = json.loads(text)
        return cls(tuple(fields["metrics"]), np.array(fields["means"]), np.array(fields["covariance"]))


def shipped_honest_systems(task: AnyTask) -> HonestSystems | None:
    """How honest systems lie in a task; None for dereverberation, where too few are at hand to tell."""
    return _denoisers() if task is Task.DENOISING else None


@cache
def _denoisers() -> HonestSystems:
    """Fitted by `benchmarks/gaming.py` on the models of this project and the shipped recordings at 16 kHz."""
    return HonestSystems.from_json((files(__package__) / "honest_systems.json").read_text(encoding="utf-8"))


def flags(
    scores: Mapping[str, Sequence[float]],
    noisy_scores: Mapping[str, Sequence[float]],
    evidence: Sequence[Evidence] = (),
    *,
    honest: HonestSystems | None,
) -> tuple[Flag, ...]:
    """Every sign that an entry shows, over its clips.

    `scores` and `noisy_scores` hold one value per clip for each metric, of the entry and of the unprocessed input;
    clips that failed are left out of both by the caller. `evidence` has one item per clip. Without `honest`, or
    with fewer than `LEAST_CLIPS`, no metric is held against the others.

    Raises:
        ValueError: if a metric has no clips, or not the same number in both.
    """
    improvements = {
        name: _improvement(name, scores[name], noisy_scores[name]) for name in scores if name in noisy_scores
    }
    enough = min((len(scores[name]) for name in improvements), default=0) >= LEAST_CLIPS
    surprise = honest.surprise(improvements) if honest is not None and enough else {}
    found = [
        Flag(
            "metric_alone",
            f"{name} rose by {improvements[name]:+.3g}, far more than the other metrics of honest systems "
            f"would let expect ({z:.1f} deviations)",
            z,
            HIGHEST_Z,
        )
        for name, z in surprise.items()
        if z > HIGHEST_Z and improvements[name] > 0
    ]
    if evidence:
        found += _signs_of_evidence(evidence)
    return tuple(found)


def _signs_of_evidence(evidence: Sequence[Evidence]) -> list[Flag]:
    deleted = math.fsum(clip.deleted for clip in evidence) / len(evidence)
    hallucinated = math.fsum(clip.hallucinated for clip in evidence) / len(evidence)
    likeness_db = float(np.median([clip.likeness_to_input_db for clip in evidence]))
    found = []
    if deleted > MOST_DELETED:
        found.append(Flag("speech_deleted", f"{deleted:.0%} of the speech is gone", deleted, MOST_DELETED))
    if hallucinated > MOST_HALLUCINATED:
        found.append(
            Flag(
                "speech_invented",
                f"{hallucinated:.0%} of the pauses became as loud as speech",
                hallucinated,
                MOST_HALLUCINATED,
            )
        )
    if likeness_db > COPY_DB:
        found.append(
            Flag(
                "copy_of_input", f"The output is the input again ({likeness_db:.0f} dB alike)", likeness_db, COPY_DB
            )
        )
    return found


def _improvement(name: str, scores: Sequence[float], noisy_scores: Sequence[float]) -> float:
    if len(scores) != len(noisy_scores) or not scores:
        raise ValueError(f"{name}: {len(scores)} clips against {len(noisy_scores)} of the input")
    return (math.fsum(scores) - math.fsum(noisy_scores)) / len(scores)
