"""Compares the answer of a model with the recorded one if they differ in bits.

Processors differ in the last bits, so the errors of both answers are compared, as copies are found. They must agree
to `LEAST_AGREEMENT_DB`, which independent models never reach (`copies/behaviour.py`). That holds for each clip: a
median over the clips would let a signer falsify up to half of an entry's answers.

Levels are in dB. Signals are float32, shape `(n,)`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from soundsright.copies import NEAR_COPY_DB, agreement_db
from soundsright.core.audio import Samples

LEAST_AGREEMENT_DB = NEAR_COPY_DB
"""Independently made models stay below this, and a model that runs elsewhere is far above it."""
LEAST_CLOSENESS_DB = 30.0
"""The level of the recorded answer above that of the difference, if the answers have no errors to compare."""


@dataclass(frozen=True)
class Match:
    """The agreement of two answers to one clip. `unit` is the name of the level, and `least_db` its limit."""

    level_db: float
    least_db: float
    unit: str

    @property
    def agrees(self) -> bool:
        return self.level_db >= self.least_db

    @property
    def least(self) -> str:
        return f"at least {self.least_db:g} dB of {self.unit}"


def match_of(clean: Samples, degraded: Samples, own: Samples, recorded: Samples, sample_rate_hz: int) -> Match:
    """Compare the errors of two answers. If one is silent or only filters the input, compare the answers."""
    if own.shape != recorded.shape:
        return Match(-math.inf, LEAST_CLOSENESS_DB, "closeness")
    agreement = agreement_db(clean, degraded, own, recorded, sample_rate_hz=sample_rate_hz)
    if agreement is not None:
        return Match(agreement, LEAST_AGREEMENT_DB, "agreement")
    energy, difference = (float(np.sum(np.square(each, dtype=np.float64))) for each in (recorded, own - recorded))
    closeness_db = 10 * math.log10(energy / difference) if energy and difference else -math.inf
    return Match(closeness_db, LEAST_CLOSENESS_DB, "closeness")
