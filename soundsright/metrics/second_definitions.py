"""Second definitions: measures that the field calls by one name and computes in two ways.

A metric of `core_metrics` has one definition. Another definition that papers print is here, under a name of its
own. Its `definition` says how it differs, and whose tables have it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from soundsright.metrics.facts import ANY_RATE_HZ, WIDE_BAND_RATES_HZ, Direction, Metric, higher

if TYPE_CHECKING:
    # The facts are read without NumPy.
    from soundsright.metrics.composite import Composite
    from soundsright.metrics.shared_clip import Measure, NoValue, SharedClip
    from soundsright.metrics.si_sdr import EnergyRatios

SLOPE_GAIN_OF_CMGAN = 1 / 32768
"""The published script divides by 32768 although its samples already lie within ±1."""

_PESQ_WB_C2 = replace(
    higher(
        "PESQ_WB_C2",
        "Perceptual evaluation of speech quality, wide band, corrected in 2018",
        "MOS-LQO",
        0.999,
        4.65,
        "ITU-T P.862.2 (2007) with P.862 Corrigendum 2 (03/2018), computed by the library of the pesq package",
        rates=WIDE_BAND_RATES_HZ,
    ),
    definition="The wide-band mode in force since 2018: its input filter is 12 dB lower, so most scores rise, by "
    "up to about 0.8. Nearly all published tables have the old mode, which is PESQ_WB. Never compare the two.",
    good_for="Tables of papers that name Corrigendum 2 or the package pesqc2, whose values it equals.",
    fooled_by="The same outputs as PESQ_WB.",
)
_SI_SNR = replace(
    higher(
        "SI_SNR",
        "Scale-invariant signal-to-noise ratio",
        "dB",
        -60.0,
        100.0,
        "Luo, Mesgarani, TaSNet, ICASSP 2018",
    ),
    definition="SI_SDR after the mean of both signals is removed. The two differ where a recording or an output "
    "has a constant offset. torchmetrics, Asteroid and ESPnet offer both; VERSA's si_snr removes no mean, so it "
    "is SI_SDR.",
    good_for="Tables of separation papers.",
)
_SPAN_SOURCE = "Le Roux, Wisdom, Erdogan, Hershey, ICASSP 2019, section 2"
_SI_SIR_SPAN = replace(
    higher(
        "SI_SIR_SPAN",
        "Scale-invariant signal-to-interference ratio, in the span of speech and noise",
        "dB",
        -60.0,
        100.0,
        _SPAN_SOURCE,
        needs_noisy=True,
    ),
    definition="Interference is what the span of speech and noise adds to the speech. SI_SIR projects onto the "
    "noise alone. The two agree where noise and speech do not correlate.",
    good_for="Tables of papers that cite Le Roux et al. for SI-SIR.",
)
_SI_SAR_SPAN = replace(
    _SI_SIR_SPAN,
    name="SI_SAR_SPAN",
    title="Scale-invariant signal-to-artefacts ratio, beside the span of speech and noise",
    definition="Artefacts are what lies outside the span of speech and noise, so that with SI_SIR_SPAN the "
    "energies add up to that of SI_SDR. SI_SAR subtracts two separate projections.",
    good_for="Tables of papers that cite Le Roux et al. for SI-SAR.",
)
_LSD_URGENT = Metric(
    "LSD_URGENT",
    "Log-spectral distance of the URGENT challenges",
    "neper",
    Direction.LOWER_IS_BETTER,
    0.0,
    100.0,
    100.0,
    ANY_RATE_HZ,
    False,
    "Zhang et al., URGENT Challenge, Interspeech 2024, and its evaluation script",
    definition="Natural logarithms of power after the output is scaled to the clean signal, frames of 32 ms at a "
    "hop of 16 ms, no floor. LSD is in dB, level counts, and bins 80 dB below the strongest are raised to that "
    "level. The two are not comparable, not even by a factor.",
    good_for="Tables of the URGENT challenges.",
    fooled_by="Digital silence in either signal: one silent bin weighs as much as a gross error.",
)
_CMGAN_SOURCE = "the evaluation script of CMGAN (Cao, Abdulatif, Yang, Interspeech 2022), after Hu, Loizou, 2008"
_COMPOSITES = tuple(
    replace(
        higher(
            f"{name}_CMGAN",
            f"Composite rating of {rated}, with the scale of a widely copied script",
            "rating",
            1.0,
            5.0,
            f"As printed by {_CMGAN_SOURCE}",
            rates=WIDE_BAND_RATES_HZ,
        ),
        definition=f"{name} with a fault of scale: a script that many papers copied divides samples within ±1 by "
        "32768 before it compares spectral slopes. Quiet bands then fall under an absolute floor, so the distance "
        f"shrinks and the rating rises. {name} has the scale of Loizou's listing.",
        good_for="Tables on VoiceBank-DEMAND by authors who copied that script.",
        fooled_by="Level: an output that is quieter than the clean signal has fewer bands above the floor.",
    )
    for name, rated in (("CSIG", "the speech"), ("CBAK", "the background"), ("COVL", "overall quality"))
)
SECOND_DEFINITIONS: tuple[Metric, ...] = (
    _PESQ_WB_C2,
    _SI_SNR,
    _SI_SIR_SPAN,
    _SI_SAR_SPAN,
    _LSD_URGENT,
    *_COMPOSITES,
)


def _si_snr(clip: SharedClip) -> float | NoValue:
    from soundsright.metrics.shared_clip import NoValue
    from soundsright.metrics.si_sdr import si_snr

    ratio = si_snr(clip.clean.samples, clip.enhanced.samples)
    return NoValue.NO_ENERGY if ratio is None else ratio


def _span_ratios(clip: SharedClip) -> EnergyRatios | NoValue:
    from soundsright.metrics.shared_clip import NoValue
    from soundsright.metrics.si_sdr import span_ratios

    if clip.noisy is None:
        return NoValue.NO_NOISE
    ratios = span_ratios(clip.clean.samples, clip.enhanced.samples, clip.noisy.samples)
    if ratios.si_sdr is None:
        return NoValue.NO_ENERGY
    return NoValue.NO_NOISE if ratios.si_sir is None else ratios


def _si_sir_span(clip: SharedClip) -> float | NoValue | None:
    ratios = _span_ratios(clip)
    return ratios if isinstance(ratios, str) else ratios.si_sir


def _si_sar_span(clip: SharedClip) -> float | NoValue | None:
    ratios = _span_ratios(clip)
    return ratios if isinstance(ratios, str) else ratios.si_sar


def _lsd_urgent(clip: SharedClip) -> float | None:
    from soundsright.metrics.urgent import urgent_log_spectral_distance

    return urgent_log_spectral_distance(clip.clean.samples, clip.enhanced.samples, clip.sample_rate_hz)


def _composite(clip: SharedClip) -> Composite | NoValue:
    from soundsright.metrics.composite import composite
    from soundsright.metrics.shared_clip import NoValue

    if clip.pesq_wb is None:
        return clip.why_no_pesq
    rated = composite(*clip.at_16_khz, clip.pesq_wb, slope_gain=SLOPE_GAIN_OF_CMGAN)
    return NoValue.TOO_SHORT if rated is None else rated


def _csig(clip: SharedClip) -> float | NoValue:
    rated = _composite(clip)
    return rated if isinstance(rated, str) else rated.csig


def _cbak(clip: SharedClip) -> float | NoValue:
    rated = _composite(clip)
    return rated if isinstance(rated, str) else rated.cbak


def _covl(clip: SharedClip) -> float | NoValue:
    rated = _composite(clip)
    return rated if isinstance(rated, str) else rated.covl


MEASURES: Mapping[str, Measure] = {
    "PESQ_WB_C2": lambda clip: clip.pesq_wb_corrected,
    "SI_SNR": _si_snr,
    "SI_SIR_SPAN": _si_sir_span,
    "SI_SAR_SPAN": _si_sar_span,
    "LSD_URGENT": _lsd_urgent,
    "CSIG_CMGAN": _csig,
    "CBAK_CMGAN": _cbak,
    "COVL_CMGAN": _covl,
}
"""The function of each of these metrics, by name."""
