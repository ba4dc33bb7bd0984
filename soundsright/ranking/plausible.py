"""Finds scores that no enhancer reaches. Levels are in dB; scores are in the metric's unit, higher is better.

`plausible_scores.json` has a ceiling for each metric, by the SI-SDR of the unprocessed input on the same clip. It
comes from the best scores of honest systems and of an oracle mask, which knows the clean speech, with a wide margin
above: `benchmarks/gates.py --write` makes it. An entry above a ceiling on several clips is not accused of anything.
It is held until the organiser has looked at it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from soundsright.core.competition import Competition

Float64 = NDArray[np.float64]

LEAST_CLIPS = 2
LEAST_SHARE = 0.02
"""An entry is held if at least this many clips, and this share of all clips, are above a ceiling."""
OUTSIDE_DB = 10.0
"""Clips whose input is this far below the lowest calibrated level are not judged."""


@dataclass(frozen=True)
class Ceilings:
    """The highest plausible scores by metric, at the levels `input_db`. For SI-SDR, they are gains over the input.

    Levels are the SI-SDR of the unprocessed input.
    """

    input_db: tuple[float, ...]
    by_metric: Mapping[str, tuple[float, ...]]

    def of(self, metric: str, input_db: Float64) -> Float64:
        """The ceiling of a metric for clips with that input, interpolated. It is infinite where none is known."""
        ceiling = np.interp(input_db, self.input_db, self.by_metric[metric])
        if metric == "SI_SDR":
            ceiling = ceiling + input_db
        return np.where(input_db < self.input_db[0] - OUTSIDE_DB, np.inf, ceiling)


@dataclass(frozen=True)
class Impossible:
    """The clips of an entry that are above a ceiling, and the one that is furthest above."""

    clips: int
    metric: str
    score: float
    ceiling: float
    input_db: float


def shipped_ceilings(competition: Competition) -> Ceilings | None:
    """The ceilings for a competition's task and rate; None if there is no calibration."""
    return _shipped().get(f"{competition.task.value}_{competition.sample_rate_hz}HZ")


@cache
def _shipped() -> dict[str, Ceilings]:
    text = (files(__package__) / "plausible_scores.json").read_text(encoding="utf-8")
    return {
        name: Ceilings(tuple(facts["input_db"]), {m: tuple(v) for m, v in facts["ceilings"].items()})
        for name, facts in json.loads(text).items()
    }


def impossible(scores: Mapping[str, Float64], input_db: Float64, ceilings: Ceilings) -> Impossible | None:
    """What is impossible in the scores of one entry; None if they are plausible.

    `scores` are by metric and `input_db` is the SI-SDR of the unprocessed input, one value per clip.
    """
    metrics = [metric for metric in ceilings.by_metric if metric in scores]
    if not metrics:
        return None
    limits = np.array([ceilings.of(metric, input_db) for metric in metrics])
    above = np.array([scores[metric] for metric in metrics]) - limits
    clips = int(np.count_nonzero((above > 0).any(axis=0)))
    if clips < max(LEAST_CLIPS, math.ceil(LEAST_SHARE * len(input_db))):
        return None
    # Ceilings have different units, so compare how far each is exceeded relative to its own size.
    finite = np.where(np.isfinite(limits), limits, 0.0)
    furthest = np.where(np.isfinite(limits), above, -np.inf) / (1.0 + np.abs(finite))
    at, clip = np.unravel_index(int(np.argmax(furthest)), above.shape)
    metric = metrics[int(at)]
    return Impossible(
        clips, metric, float(scores[metric][clip]), float(limits[at, clip]), float(input_db[int(clip)])
    )
