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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from soundsright.core.audio import Audio
from soundsright.core.errors import UsageError
from soundsright.metrics import optional_measures, second_definitions
from soundsright.metrics.core_metrics import CORE_METRICS
from soundsright.metrics.facts import Metric
from soundsright.metrics.registry import METRICS, check_packages, floors, metric, plugged_metrics
from soundsright.metrics.shared_clip import MOST_VANISHED, Measure, NoValue, SharedClip

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


@dataclass(frozen=True)
class Measurement:
    """One metric's score of one clip. If it has no value, `score` is the metric's floor and `no_value` says why."""

    score: float
    no_value: NoValue | None = None


_MEASURES: Mapping[str, Measure] = {
    "PESQ_WB": lambda clip: clip.pesq_wb,
    "PESQ_NB": lambda clip: clip.pesq_nb,
    "STOI": SharedClip.stoi,
    "ESTOI": SharedClip.estoi,
    "SI_SDR": lambda clip: clip.ratios.si_sdr,
    "SI_SIR": lambda clip: clip.ratios.si_sir,
    "SI_SAR": lambda clip: clip.ratios.si_sar,
    "SNR": SharedClip.snr,
    "SSNR": SharedClip.segmental_snr,
    "LSD": SharedClip.log_spectral_distance,
    "CSIG": lambda clip: None if clip.composite is None else clip.composite.csig,
    "CBAK": lambda clip: None if clip.composite is None else clip.composite.cbak,
    "COVL": lambda clip: None if clip.composite is None else clip.composite.covl,
    "DNSMOS_SIG": lambda clip: None if clip.p835 is None else clip.p835.sig,
    "DNSMOS_BAK": lambda clip: None if clip.p835 is None else clip.p835.bak,
    "DNSMOS_OVRL": lambda clip: None if clip.p835 is None else clip.p835.ovrl,
    "DNSMOS_P808": lambda clip: None if clip.p808 is None else clip.p808.p808,
    **second_definitions.MEASURES,
    **optional_measures.MEASURES,
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
    enhanced_blank, clean_blank = is_blank(enhanced), is_blank(clean)
    noisy_finite = noisy is not None and _is_finite(noisy)
    shared = SharedClip(clean, enhanced, noisy)
    measured: dict[str, Measurement] = {}
    for each in metrics:
        if each.needs_reference and clean_blank:
            measured[each.name] = Measurement(each.floor, NoValue.CLEAN_BLANK)
        elif enhanced_blank:
            measured[each.name] = Measurement(each.floor, NoValue.ENHANCED_BLANK)
        elif each.needs_noisy and not noisy_finite:
            measured[each.name] = Measurement(each.floor, NoValue.NOISY_NOT_FINITE)
        else:
            measured[each.name] = _measurement(each, shared)
    return _with_reasons_of_reference(measured, shared)


def _with_reasons_of_reference(measured: Mapping[str, Measurement], clip: SharedClip) -> dict[str, Measurement]:
    """The measurements, with a reason that either signal can cause changed to that of the clean recording where the
    clean recording has no value for itself either."""
    perfect = SharedClip(clip.clean, clip.clean, clip.noisy)
    if np.array_equal(clip.clean.samples, clip.enhanced.samples):
        perfect = clip
    reasons = dict(measured)
    for name, each in measured.items():
        of_reference = None if each.no_value is None else each.no_value.for_reference
        if of_reference is not None and _measurement(metric(name), perfect).no_value is not None:
            reasons[name] = Measurement(each.score, of_reference)
    return reasons


def _measurement(each: Metric, clip: SharedClip) -> Measurement:
    """One metric of a clip whose signals can be measured."""
    value: float | NoValue | None
    if each.name in METRICS:
        value = _MEASURES[each.name](clip)
    else:
        value = plugged_metrics()[each.name].measure(clip.clean, clip.enhanced, clip.noisy)
    if isinstance(value, NoValue):
        return Measurement(each.floor, value)
    if value is None:
        return Measurement(each.floor, _why_undefined(each.name, clip))
    return Measurement(each.bounded(value), NoValue.NOT_A_NUMBER if math.isnan(value) else None)


def _why_undefined(name: str, clip: SharedClip) -> NoValue:
    """Why a metric returned None."""
    if name not in METRICS:
        return NoValue.NOT_A_NUMBER
    if name.startswith("PESQ_") or (name in ("CSIG", "CBAK", "COVL") and clip.pesq_wb is None):
        return clip.why_no_pesq
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
    score_clip(clean, noisy, noisy, [each.name for each in CORE_METRICS if each.needs_reference])


def _check(each: Metric, clean: Audio, noisy: Audio | None) -> None:
    if clean.sample_rate_hz not in each.sample_rates_hz:
        raise UsageError(
            f"{each.name} is not defined at {clean.sample_rate_hz} Hz",
            f"Use clips at {', '.join(str(rate) for rate in each.sample_rates_hz)} Hz, or leave it out.",
        )
    if each.needs_noisy and noisy is None:
        raise UsageError(f"{each.name} needs the noisy signal", "Give it, or leave the metric out.")
    check_packages(each)


def _is_finite(audio: Audio) -> bool:
    return bool(np.isfinite(audio.samples).all())


def is_blank(audio: Audio) -> bool:
    """Whether a signal has nothing to measure: it is empty, has one value throughout, or is not finite."""
    samples = audio.samples
    return len(samples) == 0 or not _is_finite(audio) or bool((samples == samples[0]).all())
