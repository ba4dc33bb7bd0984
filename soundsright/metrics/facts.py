"""The facts of a metric before anything is measured: its range, direction, rates, needs, and definition.

Scores are floats in the metric's own unit. `low` and `high` bound every score. A clip scores the `floor` if the
metric has no value for it, or if its enhanced audio is missing or rejected. The floor is the worst end of the
range, so a model cannot improve a bad answer by spoiling or withholding it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # A miner reads an organiser's file without NumPy.
    from soundsright.core.audio import Audio

SCORE_DECIMALS = 10
"""Measures round to this many decimals. Rounds decide on fewer: see `decided_scores` in `services/rounds`."""

ANY_RATE_HZ = (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
WIDE_BAND_RATES_HZ = tuple(rate for rate in ANY_RATE_HZ if rate >= 16_000)


class Direction(StrEnum):
    """Which scores of a metric are better."""

    HIGHER_IS_BETTER = "higher"
    LOWER_IS_BETTER = "lower"


@dataclass(frozen=True)
class Metric:
    """One metric of a clip.

    `needs_reference` is False for a metric of the enhanced signal alone. `needs_noisy` is True for a metric that
    also uses the degraded input.

    The other texts may be empty. `definition` says which definition this is, where the field uses two, and what
    the other is called. `licence` is that of the code and weights that compute it, if these are not the project's
    own, and the files that prove it. `same_bits` is False if its scores can differ between processors by more than
    the rounding. `cost_ms` is the time of one core for a clip of 4 s at 16 kHz. `good_for` and `fooled_by` say when
    to use the metric and when not to trust it. `packages` are the modules that it imports beyond those of a plain
    install, and `extra` is the extra of this project that installs them. `install` is the command where an extra
    would install more than is needed.

    Raises:
        ValueError: the range is empty or not finite, or the floor is not its worst end.
    """

    name: str
    title: str
    unit: str
    direction: Direction
    low: float
    high: float
    floor: float
    sample_rates_hz: tuple[int, ...]
    needs_noisy: bool
    source: str
    needs_reference: bool = True
    definition: str = ""
    licence: str = ""
    cost_ms: float | None = None
    good_for: str = ""
    fooled_by: str = ""
    packages: tuple[str, ...] = ()
    extra: str = ""
    install: str = ""
    same_bits: bool = True

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"{self.name}: the range {self.low} to {self.high} is empty or not finite")
        worst = self.low if self.direction is Direction.HIGHER_IS_BETTER else self.high
        if self.floor != worst:
            raise ValueError(f"{self.name}: the floor {self.floor} is not the worst score {worst}")
        if self.packages and not (self.extra or self.install):
            raise ValueError(f"{self.name}: no extra or command installs {', '.join(self.packages)}")

    def bounded(self, value: float) -> float:
        """The value rounded to `SCORE_DECIMALS` and clipped to the range; the floor for NaN.

        >>> stoi = higher("STOI", "Short-time objective intelligibility", "index", -1.0, 1.0, "a paper")
        >>> stoi.bounded(1.0000000000000002), stoi.bounded(float("nan"))
        (1.0, -1.0)
        """
        # Adding 0.0 turns -0.0 into 0.0: otherwise reports of equal scores could differ.
        rounded = round(value, SCORE_DECIMALS) + 0.0
        return self.floor if math.isnan(value) else min(max(rounded, self.low), self.high)

    def at_least_as_good(self, value: float, other: float) -> bool:
        """Whether `value` is as good as `other` or better in the metric's direction."""
        return value >= other if self.direction is Direction.HIGHER_IS_BETTER else value <= other


@dataclass(frozen=True)
class PluggedMetric:
    """A metric from another package: its facts, and the function `measure(clean, enhanced, noisy) -> float`.

    A value outside the range is clipped to it. NaN becomes the floor.
    """

    metric: Metric
    measure: Callable[[Audio, Audio, Audio | None], float]


def higher(
    name: str,
    title: str,
    unit: str,
    low: float,
    high: float,
    source: str,
    *,
    rates: tuple[int, ...] = ANY_RATE_HZ,
    needs_noisy: bool = False,
    needs_reference: bool = True,
    definition: str = "",
) -> Metric:
    """A metric of which a higher score is better; its floor is `low`."""
    return Metric(
        name,
        title,
        unit,
        Direction.HIGHER_IS_BETTER,
        low,
        high,
        low,
        rates,
        needs_noisy,
        source,
        needs_reference,
        definition,
    )
