"""All metrics of one clip in one pass. Signals are float32, shape `(n,)`, full scale ±1, of one rate and length.

Each signal is resampled once and framed once per rate, and all metrics share the result.

Every score is finite and within its metric's range:

- A value outside the range is clipped to it.
- A metric without a value scores its floor. `measured_clip` names the reason, a `NoValue`.
- PESQ, and with it the composite ratings, has no value if more than `MOST_VANISHED` of the speech is gone. P.862
  aligns levels and times by the speech that is left. For an output that is silent except for one syllable it can
  return twice the score of the unprocessed input. `benchmarks/gaming.py` shows how much speech honest models
  delete.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from soundsright.core.audio import Audio, Samples
from soundsright.core.errors import UsageError
from soundsright.metrics.registry import METRICS, Metric, floors, metric, plugged_metrics

if TYPE_CHECKING:
    from soundsright.metrics.composite import Composite
    from soundsright.metrics.mos import Dnsmos
    from soundsright.metrics.si_sdr import EnergyRatios
    from soundsright.metrics.stoi import BandEnvelopes

__all__ = [
    "MOST_VANISHED",
    "Measurement",
    "NoValue",
    "floors",
    "measured_clip",
    "score_clip",
    "scoring_deadline_s",
    "warm_up",
]

MOST_VANISHED = 0.5
"""The largest share of vanished speech for which PESQ has a value; see `evidence.vanished_speech`."""


class NoValue(StrEnum):
    """Why a metric has no value for a clip."""

    ENHANCED_BLANK = "enhanced_blank"
    CLEAN_BLANK = "clean_blank"
    NOISY_NOT_FINITE = "noisy_not_finite"
    NO_NOISE = "no_noise"
    SPEECH_VANISHED = "speech_vanished"
    PESQ_UNDEFINED = "pesq_undefined"
    LITTLE_SPEECH = "little_speech"
    TOO_SHORT = "too_short"
    NO_ENERGY = "no_energy"
    NOT_A_NUMBER = "not_a_number"

    @property
    def sentence(self) -> str:
        """The reason in words.

        >>> NoValue.NO_NOISE.sentence
        'The noisy signal equals the clean one.'
        """
        return _SENTENCES[self]


_SENTENCES = {
    NoValue.ENHANCED_BLANK: "The enhanced recording is silent, constant or not finite.",
    NoValue.CLEAN_BLANK: "The clean recording is silent, constant or not finite.",
    NoValue.NOISY_NOT_FINITE: "The noisy signal is not finite.",
    NoValue.NO_NOISE: "The noisy signal equals the clean one.",
    NoValue.SPEECH_VANISHED: f"More than {MOST_VANISHED:.0%} of the speech is gone from the enhanced signal.",
    NoValue.PESQ_UNDEFINED: "PESQ finds no speech, or the clip is shorter than 0.25 s, or the output vanishes.",
    NoValue.LITTLE_SPEECH: "The clean signal has fewer than 30 frames (0.4 s) of speech.",
    NoValue.TOO_SHORT: "The clip is shorter than one frame.",
    NoValue.NO_ENERGY: "The clean or the enhanced signal has no energy.",
    NoValue.NOT_A_NUMBER: "The metric returned no number.",
}


@dataclass(frozen=True)
class Measurement:
    """One metric's score of one clip. If it has no value, `score` is the metric's floor and `no_value` says why."""

    score: float
    no_value: NoValue | None = None


class _SharedClip:
    """One clip's signals, and what several metrics derive from them. Each part is computed at its first use."""

    def __init__(self, clean: Audio, enhanced: Audio, noisy: Audio | None) -> None:
        self.clean = clean
        self.enhanced = enhanced
        self.noisy = noisy
        self.sample_rate_hz = clean.sample_rate_hz
        self.speech_vanished = False

    @cached_property
    def at_16_khz(self) -> tuple[Samples, Samples]:
        from soundsright.metrics.resample import to_rate

        return (
            to_rate(self.clean.samples, self.sample_rate_hz, 16_000),
            to_rate(self.enhanced.samples, self.sample_rate_hz, 16_000),
        )

    @cached_property
    def envelopes(self) -> BandEnvelopes | None:
        from soundsright.metrics.stoi import band_envelopes

        return band_envelopes(self.clean.samples, self.enhanced.samples, self.sample_rate_hz)

    @cached_property
    def ratios(self) -> EnergyRatios:
        from soundsright.metrics.si_sdr import energy_ratios

        noisy = None if self.noisy is None else self.noisy.samples
        return energy_ratios(self.clean.samples, self.enhanced.samples, noisy)

    @cached_property
    def pesq_wb(self) -> float | None:
        return self._pesq(wide_band=True)

    @cached_property
    def pesq_nb(self) -> float | None:
        return self._pesq(wide_band=False)

    def _pesq(self, *, wide_band: bool) -> float | None:
        from soundsright.metrics.evidence import vanished_speech
        from soundsright.metrics.pesq import pesq, pesq_rate_hz

        rate_hz = pesq_rate_hz(self.sample_rate_hz, wide_band=wide_band)
        clean, enhanced = (
            (self.clean.samples, self.enhanced.samples) if rate_hz == self.sample_rate_hz else self.at_16_khz
        )
        if vanished_speech(clean, enhanced, rate_hz) > MOST_VANISHED:
            self.speech_vanished = True
            return None
        return pesq(clean, enhanced, rate_hz, wide_band=wide_band)

    @cached_property
    def composite(self) -> Composite | None:
        from soundsright.metrics.composite import composite

        return None if self.pesq_wb is None else composite(*self.at_16_khz, self.pesq_wb)

    @cached_property
    def p835(self) -> Dnsmos | None:
        from soundsright.metrics.mos import dnsmos

        return dnsmos(self.at_16_khz[1], p808=False)

    @cached_property
    def p808(self) -> Dnsmos | None:
        from soundsright.metrics.mos import dnsmos

        return dnsmos(self.at_16_khz[1], p835=False)

    def snr(self) -> float | None:
        from soundsright.metrics.snr import snr

        return snr(self.clean.samples, self.enhanced.samples)

    def segmental_snr(self) -> float | None:
        from soundsright.metrics.snr import segmental_snr

        return segmental_snr(self.clean.samples, self.enhanced.samples, self.sample_rate_hz)

    def log_spectral_distance(self) -> float | None:
        from soundsright.metrics.snr import log_spectral_distance

        return log_spectral_distance(self.clean.samples, self.enhanced.samples, self.sample_rate_hz)

    def stoi(self) -> float | None:
        from soundsright.metrics.stoi import stoi

        return None if self.envelopes is None else stoi(self.envelopes)

    def estoi(self) -> float | None:
        from soundsright.metrics.stoi import estoi

        return None if self.envelopes is None else estoi(self.envelopes)


_MEASURES: Mapping[str, Callable[[_SharedClip], float | None]] = {
    "PESQ_WB": lambda clip: clip.pesq_wb,
    "PESQ_NB": lambda clip: clip.pesq_nb,
    "STOI": _SharedClip.stoi,
    "ESTOI": _SharedClip.estoi,
    "SI_SDR": lambda clip: clip.ratios.si_sdr,
    "SI_SIR": lambda clip: clip.ratios.si_sir,
    "SI_SAR": lambda clip: clip.ratios.si_sar,
    "SNR": _SharedClip.snr,
    "SSNR": _SharedClip.segmental_snr,
    "LSD": _SharedClip.log_spectral_distance,
    "CSIG": lambda clip: None if clip.composite is None else clip.composite.csig,
    "CBAK": lambda clip: None if clip.composite is None else clip.composite.cbak,
    "COVL": lambda clip: None if clip.composite is None else clip.composite.covl,
    "DNSMOS_SIG": lambda clip: None if clip.p835 is None else clip.p835.sig,
    "DNSMOS_BAK": lambda clip: None if clip.p835 is None else clip.p835.bak,
    "DNSMOS_OVRL": lambda clip: None if clip.p835 is None else clip.p835.ovrl,
    "DNSMOS_P808": lambda clip: None if clip.p808 is None else clip.p808.p808,
}


def score_clip(
    clean: Audio, enhanced: Audio, noisy: Audio | None = None, names: Sequence[str] = ()
) -> dict[str, float]:
    """The clip's score under each of the named metrics, in the order of the names.

    Every score is finite and within its metric's range. A metric without a value scores its floor.

    Raises:
        UsageError: a metric is unknown, is not defined at the clip's rate, or needs `noisy`.
        ValueError: the signals differ in rate or length; `checked_enhanced` rejects such audio earlier.

    >>> rng = np.random.default_rng(1)
    >>> clean = Audio(rng.standard_normal(16_000).astype(np.float32) / 10, 16_000)
    >>> enhanced = Audio(np.roll(clean.samples, 1), 16_000)
    >>> sorted(score_clip(clean, enhanced, names=["STOI", "SI_SDR"]))
    ['SI_SDR', 'STOI']
    """
    return {name: measured.score for name, measured in measured_clip(clean, enhanced, noisy, names).items()}


def measured_clip(
    clean: Audio, enhanced: Audio, noisy: Audio | None = None, names: Sequence[str] = ()
) -> dict[str, Measurement]:
    """As `score_clip`, with the reason for each metric that has no value.

    >>> clean = Audio(np.sin(np.arange(16_000) / 3).astype(np.float32), 16_000)
    >>> measured_clip(clean, Audio(0 * clean.samples, 16_000), names=["SI_SDR"])["SI_SDR"]
    Measurement(score=-60.0, no_value=<NoValue.ENHANCED_BLANK: 'enhanced_blank'>)
    """
    metrics = [metric(name) for name in names]
    for each in metrics:
        _check(each, clean, noisy)
    for other in (enhanced, noisy):
        if other is not None and (len(other), other.sample_rate_hz) != (len(clean), clean.sample_rate_hz):
            raise ValueError(
                f"{len(other)} samples at {other.sample_rate_hz} Hz beside a reference of "
                f"{len(clean)} at {clean.sample_rate_hz} Hz"
            )
    enhanced_blank, clean_blank = _is_blank(enhanced), _is_blank(clean)
    noisy_finite = noisy is not None and _is_finite(noisy)
    shared = _SharedClip(clean, enhanced, noisy)
    measured: dict[str, Measurement] = {}
    for each in metrics:
        if enhanced_blank:
            measured[each.name] = Measurement(each.floor, NoValue.ENHANCED_BLANK)
        elif each.needs_reference and clean_blank:
            measured[each.name] = Measurement(each.floor, NoValue.CLEAN_BLANK)
        elif each.needs_noisy and not noisy_finite:
            measured[each.name] = Measurement(each.floor, NoValue.NOISY_NOT_FINITE)
        else:
            measured[each.name] = _measurement(each, shared)
    return measured


def _measurement(each: Metric, clip: _SharedClip) -> Measurement:
    """One metric of a clip whose signals can be measured."""
    if each.name in METRICS:
        value = _MEASURES[each.name](clip)
    else:
        value = plugged_metrics()[each.name].measure(clip.clean, clip.enhanced, clip.noisy)
    if value is None:
        return Measurement(each.floor, _why_undefined(each.name, clip))
    return Measurement(each.bounded(value), NoValue.NOT_A_NUMBER if math.isnan(value) else None)


def _why_undefined(name: str, clip: _SharedClip) -> NoValue:
    """Why a metric returned None."""
    if name not in METRICS:
        return NoValue.NOT_A_NUMBER
    if name.startswith("PESQ_") or (name in ("CSIG", "CBAK", "COVL") and clip.pesq_wb is None):
        return NoValue.SPEECH_VANISHED if clip.speech_vanished else NoValue.PESQ_UNDEFINED
    if name in ("STOI", "ESTOI"):
        return NoValue.LITTLE_SPEECH
    if name in ("SI_SIR", "SI_SAR") and clip.ratios.si_sdr is not None:
        return NoValue.NO_NOISE
    return NoValue.NO_ENERGY if name in ("SNR", "SI_SDR", "SI_SIR", "SI_SAR") else NoValue.TOO_SHORT


def scoring_deadline_s(audio_s: float) -> float:
    """Seconds of processor time after which scoring a clip of `audio_s` seconds with all metrics has hung.

    This is tens of times what a slow processor needs, and enough to load every library before the first clip.
    """
    return 30.0 + 5.0 * audio_s


def warm_up() -> None:
    """Compile every inner loop or load it from the cache.

    This takes seconds the first time on a machine, and milliseconds later.
    """
    rng = np.random.default_rng(0)
    clean, noisy = (Audio(rng.standard_normal(16_000).astype(np.float32), 16_000) for _ in range(2))
    score_clip(clean, noisy, noisy, [name for name in _MEASURES if METRICS[name].needs_reference])


def _check(each: Metric, clean: Audio, noisy: Audio | None) -> None:
    if clean.sample_rate_hz not in each.sample_rates_hz:
        raise UsageError(
            f"{each.name} is not defined at {clean.sample_rate_hz} Hz",
            f"Use clips at {', '.join(str(rate) for rate in each.sample_rates_hz)} Hz, or leave it out.",
        )
    if each.needs_noisy and noisy is None:
        raise UsageError(f"{each.name} needs the noisy signal", "Give it, or leave the metric out.")


def _is_finite(audio: Audio) -> bool:
    return bool(np.isfinite(audio.samples).all())


def _is_blank(audio: Audio) -> bool:
    """Whether a signal has nothing to measure: it is empty, has one value throughout, or is not finite."""
    samples = audio.samples
    return len(samples) == 0 or not _is_finite(audio) or bool((samples == samples[0]).all())
