"""What each measure is: unit, direction, range, floor, allowed rates and source.

Scores are floats in a metric's own unit. `low` and `high` bound every score; `floor` is what a clip scores that
cannot be measured, or whose enhanced audio is missing or rejected. For each metric of this package the floor is
the worst end of the range, so that no answer, however bad, can be improved by spoiling or withholding it.

A further metric is added by an entry point of the group `soundsright.metrics` that names a `PluggedMetric`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import entry_points
from types import MappingProxyType

from soundsright.core.audio import Audio
from soundsright.core.errors import UsageError

ENTRY_POINT_GROUP = "soundsright.metrics"

SCORE_DECIMALS = 10
"""Scores are rounded so before anything is made of them: what mathematics libraries differ by lies far lower."""

ANY_RATE_HZ = (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
WIDE_BAND_RATES_HZ = tuple(rate for rate in ANY_RATE_HZ if rate >= 16_000)


class Direction(StrEnum):
    HIGHER_IS_BETTER = "higher"
    LOWER_IS_BETTER = "lower"


@dataclass(frozen=True)
class Metric:
    """One measure of a clip.

    `needs_reference` is False for a measure of the enhanced signal alone; `needs_noisy` is True where the degraded
    input takes part.

    Raises:
        ValueError: if the range is empty or not finite, or the floor is not its worst end.
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
        """The value inside the range, to `SCORE_DECIMALS`; the floor where it is not a number.

        >>> metric("STOI").bounded(1.0000000000000002), metric("STOI").bounded(float("nan"))
        (1.0, -1.0)
        """
        # Zero has one sign, or reports of equal scores would differ.
        rounded = round(value, SCORE_DECIMALS) + 0.0
        return self.floor if math.isnan(value) else min(max(rounded, self.low), self.high)

    def at_least_as_good(self, value: float, other: float) -> bool:
        """Whether `value` is as good as `other` or better, by the metric's direction."""
        return value >= other if self.direction is Direction.HIGHER_IS_BETTER else value <= other


@dataclass(frozen=True)
class PluggedMetric:
    """A metric from another package: what it is, and `measure(clean, enhanced, noisy) -> float`.

    A value out of range is clipped to it and one that is not a number becomes the floor.
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
        "The difference to the clean signal counts as noise, so level and sign are heard",
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
            f"Composite rating of {what}",
            "rating",
            1.0,
            5.0,
            "Hu, Loizou, IEEE Trans. ASLP 16(1), 2008, with wide-band PESQ; other rates are resampled to 16 kHz",
            rates=WIDE_BAND_RATES_HZ,
        )
        for name, what in (("CSIG", "the speech"), ("CBAK", "the background"), ("COVL", "overall quality"))
    ),
    *(
        _higher(
            name,
            f"DNSMOS {what}",
            "rating",
            1.0,
            5.0,
            f"{source}; networks of the speechmos package; other rates are resampled to 16 kHz",
            rates=WIDE_BAND_RATES_HZ,
            needs_reference=False,
        )
        for name, what, source in (
            ("DNSMOS_SIG", "P.835, speech", "Reddy, Gopal, Cutler, ICASSP 2022"),
            ("DNSMOS_BAK", "P.835, background", "Reddy, Gopal, Cutler, ICASSP 2022"),
            ("DNSMOS_OVRL", "P.835, overall quality", "Reddy, Gopal, Cutler, ICASSP 2022"),
            ("DNSMOS_P808", "P.808, overall quality", "Reddy, Gopal, Cutler, ICASSP 2021"),
        )
    ),
)

METRICS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in _BUILT_IN})
"""The metrics of this package by name."""


def plugged_metrics() -> dict[str, PluggedMetric]:
    """The metrics that other installed packages add, by name.

    Raises:
        UsageError: if an entry point is not a `PluggedMetric`, or takes a name that is in use.
    """
    found: dict[str, PluggedMetric] = {}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        plugged = point.load()
        if not isinstance(plugged, PluggedMetric):
            raise UsageError(
                f"The entry point {point.name!r} of {ENTRY_POINT_GROUP} is a {type(plugged).__name__}",
                "Let it name a PluggedMetric, or remove the package that adds it.",
            )
        name = plugged.metric.name
        if name in METRICS or name in found:
            raise UsageError(f"Two metrics are called {name!r}", f"Remove the package that adds {point.value}.")
        found[name] = plugged
    return found


def known_metrics() -> dict[str, Metric]:
    """Every metric, built in or plugged in, by name."""
    return dict(METRICS) | {name: plugged.metric for name, plugged in plugged_metrics().items()}


def metric(name: str) -> Metric:
    """The metric of that name, upper or lower case, `-` or `_`.

    Raises:
        UsageError: if there is none; it names those there are.

    >>> metric("si-sdr").unit
    'dB'
    """
    wanted = name.strip().upper().replace("-", "_")
    if wanted in METRICS:
        return METRICS[wanted]
    known = known_metrics()
    for candidate in known.values():
        if candidate.name.upper() == wanted:
            return candidate
    raise UsageError(f"Unknown metric {name!r}", f"Choose from {', '.join(known)}.")


def floors(names: Iterable[str]) -> dict[str, float]:
    """What a clip scores that cannot be measured, for each of these metrics.

    >>> floors(["ESTOI", "SI_SDR"])
    {'ESTOI': -1.0, 'SI_SDR': -60.0}
    """
    return {name: metric(name).floor for name in names}
