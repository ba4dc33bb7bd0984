"""Signs that an entry was tuned to a metric and not to speech. They are reported, and by default change no rank.

There are three signs:

- One metric rose without the others. An honest system that raises PESQ raises intelligibility and SI-SDR too. A
  linear regression of each metric's improvement on the others, fitted on honest systems, predicts by how much. An
  entry is flagged if one improvement is far above its prediction, compared with the spread of honest systems.
- Speech was deleted, or invented in pauses.
- The output is the input again.

An improvement is the entry's mean score minus the noisy input's, on the same clips.
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
"""An entry is flagged above this number of standard deviations of honest systems from the regression."""
LEAST_CLIPS = 10
"""Means of fewer clips spread more than those that the fit uses, so they are not compared with it."""
MOST_DELETED = 0.10
MOST_HALLUCINATED = 0.10
COPY_DB = 35.0
"""Above this SI-SDR to the input, on the median clip, an output is a copy of it. Mere rounding gives far more."""


class Evidence(Protocol):
    """The measurements of `metrics.evidence` on a clip."""

    @property
    def deleted(self) -> float: ...
    @property
    def hallucinated(self) -> float: ...
    @property
    def likeness_to_input_db(self) -> float: ...


@dataclass(frozen=True)
class Flag:
    """One sign: a code that never changes, a sentence, the value, and the limit that it exceeds."""

    code: str
    sentence: str
    value: float
    limit: float


@dataclass(frozen=True, eq=False)
class HonestSystems:
    """The distribution of the improvements of honest systems: metrics, means and covariance."""

    metrics: tuple[str, ...]
    means: Float64
    covariance: Float64

    @classmethod
    def fitted(cls, improvements: Mapping[str, Sequence[float]]) -> HonestSystems:
        """Fit the distribution to improvements: for each metric one value per system and set, in the same order.

        Raises:
            ValueError: if there are too few systems for the metrics, or a value is not finite.
        """
        table = np.array([list(values) for values in improvements.values()], dtype=np.float64)
        if table.ndim != 2 or table.shape[1] <= len(table) + 1:
            raise ValueError("a fit needs more systems than metrics")
        if not np.isfinite(table).all():
            raise ValueError("an improvement is not finite")
        return cls(tuple(improvements), table.mean(axis=1), np.cov(table))

    def surprise(self, improvements: Mapping[str, float]) -> dict[str, float]:
        """The number of standard deviations by which each metric exceeds the prediction from the others.

        Only metrics in both the fit and `improvements` count. The result is empty if there are fewer than two.
        """
        known = [i for i, name in enumerate(self.metrics) if name in improvements]
        if len(known) < 2:
            return {}
        x = np.array([improvements[self.metrics[i]] for i in known]) - self.means[known]
        # For a normal distribution, the precision matrix contains the regressions of each metric on the others.
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
    """The distribution of honest systems for a task. None if there are too few systems, as for dereverberation."""
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
    """The signs that an entry shows over its clips.

    `scores` and `noisy_scores` have one value per clip for each metric, of the entry and of the unprocessed input.
    The caller leaves failed clips out of both. `evidence` has one item per clip. Without `honest`, or with fewer
    than `LEAST_CLIPS` clips, metrics are not compared with each other.

    Raises:
        ValueError: if a metric has no clips, or different numbers of clips in the two.
    """
    improvements = {
        name: _improvement(name, scores[name], noisy_scores[name]) for name in scores if name in noisy_scores
    }
    enough = min((len(scores[name]) for name in improvements), default=0) >= LEAST_CLIPS
    surprise = honest.surprise(improvements) if honest is not None and enough else {}
    signs = [
        Flag(
            "metric_alone",
            f"{name} changed by {improvements[name]:+.3g}, far more than honest systems reach with the same "
            f"other metrics ({z:.1f} standard deviations)",
            z,
            HIGHEST_Z,
        )
        for name, z in surprise.items()
        if z > HIGHEST_Z and improvements[name] > 0
    ]
    if evidence:
        signs += _signs_of_evidence(evidence)
    return tuple(signs)


def _signs_of_evidence(evidence: Sequence[Evidence]) -> list[Flag]:
    deleted = math.fsum(clip.deleted for clip in evidence) / len(evidence)
    hallucinated = math.fsum(clip.hallucinated for clip in evidence) / len(evidence)
    likeness_db = float(np.median([clip.likeness_to_input_db for clip in evidence]))
    signs = []
    if deleted > MOST_DELETED:
        signs.append(Flag("speech_deleted", f"{deleted:.0%} of the speech was deleted", deleted, MOST_DELETED))
    if hallucinated > MOST_HALLUCINATED:
        signs.append(
            Flag(
                "speech_invented",
                f"{hallucinated:.0%} of the pauses became as loud as speech",
                hallucinated,
                MOST_HALLUCINATED,
            )
        )
    if likeness_db > COPY_DB:
        signs.append(
            Flag(
                "copy_of_input",
                f"The output is nearly the input itself ({likeness_db:.0f} dB SI-SDR)",
                likeness_db,
                COPY_DB,
            )
        )
    return signs


def _improvement(name: str, scores: Sequence[float], noisy_scores: Sequence[float]) -> float:
    if len(scores) != len(noisy_scores) or not scores:
        raise ValueError(f"{name}: the entry has {len(scores)} clips, and the input {len(noisy_scores)}")
    return (math.fsum(scores) - math.fsum(noisy_scores)) / len(scores)
