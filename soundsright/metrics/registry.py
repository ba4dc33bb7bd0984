"""The facts of each metric: unit, direction, range, floor, allowed rates and source.

Scores are floats in the metric's own unit. `low` and `high` bound every score. A clip scores the `floor` if the
metric has no value for it, or if its enhanced audio is missing or rejected. The floor is the worst end of the
range, so a model cannot improve a bad answer by spoiling or withholding it.

Another package adds a metric by an entry point that names a `PluggedMetric`:

    [project.entry-points."soundsright.metrics"]
    squim = "my_package:SQUIM"
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeGuard

from soundsright.core.errors import UsageError
from soundsright.core.plugins import PluginGroup

if TYPE_CHECKING:
    # A miner reads an organiser's file without NumPy.
    from soundsright.core.audio import Audio

SCORE_DECIMALS = 10
"""Scores are rounded to this many decimals, because mathematics libraries differ only in later digits."""

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

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"{self.name}: the range {self.low} to {self.high} is empty or not finite")
        worst = self.low if self.direction is Direction.HIGHER_IS_BETTER else self.high
        if self.floor != worst:
            raise ValueError(f"{self.name}: the floor {self.floor} is not the worst score {worst}")

    def bounded(self, value: float) -> float:
        """The value rounded to `SCORE_DECIMALS` and clipped to the range; the floor for NaN.

        >>> metric("STOI").bounded(1.0000000000000002), metric("STOI").bounded(float("nan"))
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


def _higher(
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
) -> Metric:
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
    )


_BUILT_IN = (
    _higher(
        "PESQ_WB",
        "Perceptual evaluation of speech quality, wide band",
        "MOS-LQO",
        0.999,
        4.65,
        "ITU-T P.862.2 (2007), computed by the pesq package; other rates are resampled to 16 kHz",
        rates=WIDE_BAND_RATES_HZ,
    ),
    _higher(
        "PESQ_NB",
        "Perceptual evaluation of speech quality, narrow band",
        "MOS-LQO",
        0.999,
        4.56,
        "ITU-T P.862 (2001) with P.862.1, computed by the pesq package; other rates than 8 kHz become 16 kHz",
    ),
    _higher(
        "STOI",
        "Short-time objective intelligibility",
        "index",
        -1.0,
        1.0,
        "Taal, Hendriks, Heusdens, Jensen, IEEE Trans. ASLP 19(7), 2011",
    ),
    _higher(
        "ESTOI",
        "Extended short-time objective intelligibility",
        "index",
        -1.0,
        1.0,
        "Jensen, Taal, IEEE/ACM Trans. ASLP 24(11), 2016",
    ),
    _higher(
        "SI_SDR",
        "Scale-invariant signal-to-distortion ratio",
        "dB",
        -60.0,
        100.0,
        "Le Roux, Wisdom, Erdogan, Hershey, ICASSP 2019, eq. 5",
    ),
    _higher(
        "SI_SIR",
        "Scale-invariant signal-to-interference ratio",
        "dB",
        -60.0,
        100.0,
        "Le Roux et al., ICASSP 2019; interference along the noise, Richter et al., IEEE/ACM Trans. ASLP 31, 2023",
        needs_noisy=True,
    ),
    _higher(
        "SI_SAR",
        "Scale-invariant signal-to-artefacts ratio",
        "dB",
        -60.0,
        100.0,
        "Le Roux et al., ICASSP 2019; artefacts beside speech and noise, Richter et al., 2023",
        needs_noisy=True,
    ),
    _higher(
        "SNR",
        "Signal-to-noise ratio",
        "dB",
        -60.0,
        100.0,
        "The difference to the clean signal counts as noise, so level and sign affect it",
    ),
    _higher(
        "SSNR",
        "Segmental signal-to-noise ratio",
        "dB",
        -10.0,
        35.0,
        "Hansen, Pellom, ICSLP 1998; Loizou 2013, section 11.1",
    ),
    Metric(
        "LSD",
        "Log-spectral distance",
        "dB",
        Direction.LOWER_IS_BETTER,
        0.0,
        100.0,
        100.0,
        ANY_RATE_HZ,
        False,
        "Gray, Markel, IEEE Trans. ASSP 24(5), 1976; 32 ms frames, bins within 80 dB of the strongest",
    ),
    *(
        _higher(
            name,
            f"Composite rating of {rated}",
            "rating",
            1.0,
            5.0,
            "Hu, Loizou, IEEE Trans. ASLP 16(1), 2008, with wide-band PESQ; other rates are resampled to 16 kHz",
            rates=WIDE_BAND_RATES_HZ,
        )
        for name, rated in (("CSIG", "the speech"), ("CBAK", "the background"), ("COVL", "overall quality"))
    ),
    *(
        _higher(
            name,
            f"DNSMOS {rating}",
            "rating",
            1.0,
            5.0,
            f"{source}; networks of the speechmos package; other rates are resampled to 16 kHz",
            rates=WIDE_BAND_RATES_HZ,
            needs_reference=False,
        )
        for name, rating, source in (
            ("DNSMOS_SIG", "P.835, speech", "Reddy, Gopal, Cutler, ICASSP 2022"),
            ("DNSMOS_BAK", "P.835, background", "Reddy, Gopal, Cutler, ICASSP 2022"),
            ("DNSMOS_OVRL", "P.835, overall quality", "Reddy, Gopal, Cutler, ICASSP 2022"),
            ("DNSMOS_P808", "P.808, overall quality", "Reddy, Gopal, Cutler, ICASSP 2021"),
        )
    ),
)

METRICS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in _BUILT_IN})
"""The metrics of this package by name."""


def _is_plugged(loaded: object) -> TypeGuard[PluggedMetric]:
    return isinstance(loaded, PluggedMetric)


PLUGINS = PluginGroup("soundsright.metrics", "metric", "a soundsright PluggedMetric", _is_plugged)


def plugged_metrics() -> dict[str, PluggedMetric]:
    """The metrics that other installed packages add, by the metric's name.

    Raises:
        UsageError: an entry point cannot be imported or is no `PluggedMetric`, or two metrics have one name.
    """
    by_name: dict[str, PluggedMetric] = {}
    for point, plugged in PLUGINS.load_all().items():
        name = plugged.metric.name
        if name in METRICS or name in by_name:
            raise UsageError(
                f"Two metrics are called {name!r}",
                f"Uninstall the package that adds the entry point {point!r} to {PLUGINS.group}.",
            )
        by_name[name] = plugged
    return by_name


def known_metrics() -> dict[str, Metric]:
    """Every metric, built in or plugged in, by name."""
    return dict(METRICS) | {name: plugged.metric for name, plugged in plugged_metrics().items()}


def metric(name: str) -> Metric:
    """The metric of that name. Case does not matter, and `-` counts as `_`.

    Raises:
        UsageError: no metric has that name; the message lists all names.

    >>> metric("si-sdr").unit
    'dB'
    """
    spelled = name.strip().upper().replace("-", "_")
    if spelled in METRICS:
        return METRICS[spelled]
    known = known_metrics()
    for candidate in known.values():
        if candidate.name.upper() == spelled:
            return candidate
    close = get_close_matches(spelled, known, n=1)
    hint = f"Did you mean {close[0]}? " if close else ""
    raise UsageError(f"Unknown metric {name!r}", f"{hint}Choose from {', '.join(known)}.")


def floors(names: Iterable[str]) -> dict[str, float]:
    """The floor of each of these metrics: the score of a clip that the metric has no value for.

    >>> floors(["ESTOI", "SI_SDR"])
    {'ESTOI': -1.0, 'SI_SDR': -60.0}
    """
    return {name: metric(name).floor for name in names}
