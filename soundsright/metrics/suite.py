"""All metrics of one clip in one pass. Signals are float32, shape `(n,)`, full scale ±1, of one rate and length.

Each signal is resampled once and framed once per rate, and shared by all metrics that want it.

Rules, for every metric and whatever the audio holds:

- A clip whose enhanced signal holds NaN or infinity, is silent or constant, scores the floor; so does one whose
  clean or noisy signal is that, where the metric needs it.
- A measure that is undefined for a clip (PESQ finds no speech, fewer than 30 voiced frames for STOI, no noise for
  SI-SIR) scores the floor.
- PESQ, and with it the composite ratings, is undefined where over `MOST_VANISHED` of the speech is gone. Given an
  output that is silent but for a syllable, or quiet but for a burst, P.862 aligns levels and times by what is left,
  and can return twice what the unprocessed input scores. `benchmarks/gaming.py` shows what honest models delete.
- Every other value is clipped to the metric's range.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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

__all__ = ["MOST_VANISHED", "floors", "score_clip", "scoring_deadline_s", "warm_up"]

MOST_VANISHED = 0.5
"""See `evidence.vanished_speech`."""


class _SharedClip:
    """One clip's signals and what several metrics want of them, each made once, at the first use."""

    def __init__(self, clean: Audio, enhanced: Audio, noisy: Audio | None) -> None:
        self.clean = clean
        self.enhanced = enhanced
        self.noisy = noisy
        self.sample_rate_hz = clean.sample_rate_hz

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

    Every score is finite and inside its metric's range, by the rules at the head of this module.

    Raises:
        UsageError: an unknown metric, a rate that it does not allow, or no `noisy` where it is needed.
        ValueError: if the signals differ in rate or length; `validate.checked_enhanced` refuses such audio before.

    >>> rng = np.random.default_rng(1)
    >>> clean = Audio(rng.standard_normal(16_000).astype(np.float32) / 10, 16_000)
    >>> enhanced = Audio(np.roll(clean.samples, 1), 16_000)
    >>> sorted(score_clip(clean, enhanced, names=["STOI", "SI_SDR"]))
    ['SI_SDR', 'STOI']
    """
    wanted = [metric(name) for name in names]
    for each in wanted:
        _check(each, clean, noisy)
    for other in (enhanced, noisy):
        if other is not None and (len(other), other.sample_rate_hz) != (len(clean), clean.sample_rate_hz):
            raise ValueError(
                f"{len(other)} samples at {other.sample_rate_hz} Hz beside a reference of "
                f"{len(clean)} at {clean.sample_rate_hz} Hz"
            )
    answered = not _is_blank(enhanced)
    referenced = not _is_blank(clean)
    mixed = noisy is not None and _is_finite(noisy)
    shared = _SharedClip(clean, enhanced, noisy)
    scores: dict[str, float] = {}
    for each in wanted:
        if not answered or (each.needs_reference and not referenced) or (each.needs_noisy and not mixed):
            value = None
        elif each.name in METRICS:
            value = _MEASURES[each.name](shared)
        else:
            value = plugged_metrics()[each.name].measure(clean, enhanced, noisy)
        scores[each.name] = each.floor if value is None else each.bounded(value)
    return scores


def scoring_deadline_s(audio_s: float) -> float:
    """Seconds of processor time after which scoring a clip of that length, all measures of it, has hung.

    Tens of times what a slow processor takes; and enough to load every library before the first clip.
    """
    return 30.0 + 5.0 * audio_s


def warm_up() -> None:
    """Compile, or load from the cache, every inner loop: seconds the first time on a machine, then milliseconds."""
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
    """Whether there is nothing to measure: no samples, one value throughout, or a sample that is not a number."""
    samples = audio.samples
    return len(samples) == 0 or not _is_finite(audio) or bool((samples == samples[0]).all())
