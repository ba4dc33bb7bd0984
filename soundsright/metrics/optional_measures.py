"""Measures that no published competition pays for, and the flag for hallucinations. Some need packages.

Each has its facts in `OPTIONAL_MEASURES` and its function in `MEASURES`, which imports heavy packages only when it
runs. The function gets a `SharedClip`, and returns its value or the `NoValue` that says why there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from soundsright.metrics.facts import WIDE_BAND_RATES_HZ, Direction, Metric, higher

if TYPE_CHECKING:
    # The facts are read without NumPy.
    from soundsright.metrics.shared_clip import Measure, NoValue, SharedClip


_NO_DEPENDENCIES = "pip install --no-deps"

OPTIONAL_MEASURES: tuple[Metric, ...] = (
    replace(
        higher(
            "SDR",
            "Signal-to-distortion ratio of BSS Eval",
            "dB",
            -60.0,
            100.0,
            "Vincent, Gribonval, Févotte, IEEE Trans. ASLP 14(4), 2006; filters of 512 taps, as BSS Eval 3",
        ),
        definition=(
            "The filter of 512 taps is that of BSS Eval 3. SI_SDR allows a gain only, BSS Eval 4 one filter "
            "for a whole recording."
        ),
        cost_ms=10,
        good_for="Comparing with papers on source separation. A short delay or an equaliser costs nothing.",
        fooled_by="Filtering: without all content above 4 kHz, clean speech still has about 24 dB.",
        same_bits=False,
    ),
    Metric(
        "MCD",
        "Mel-cepstral distortion",
        "dB",
        Direction.LOWER_IS_BETTER,
        0.0,
        50.0,
        50.0,
        WIDE_BAND_RATES_HZ,
        False,
        "Kubichek, IEEE PacRim 1993; cepstra 1 to 24 with a warp of 0.42, frames of speech only, no alignment",
        definition=(
            "Frames are compared one to one. Programs for speech synthesis align them first, and differ in "
            "frames and order, so their numbers are not comparable."
        ),
        cost_ms=12,
        good_for="The timbre of generated speech.",
        fooled_by="Nothing between words counts, so noise that stays in pauses is free. A delay of 20 ms costs 5.3 "
        "dB, and the noise of the input 7.9 dB.",
        same_bits=False,
    ),
    replace(
        higher(
            "SRMR",
            "Speech-to-reverberation modulation energy ratio",
            "ratio",
            0.0,
            100.0,
            "Falk, Zheng, Chan, IEEE Trans. ASLP 18(7), 2010, without normalisation; other rates become 16 kHz",
            rates=WIDE_BAND_RATES_HZ,
            needs_reference=False,
        ),
        definition=(
            "The original of 2010, as in the REVERB challenge. The normalised one of 2014 has other numbers."
        ),
        cost_ms=280,
        good_for="Dereverberation where there is no clean signal, as in real rooms.",
        fooled_by="It differs more between voices than between models. Gating of the tail raises it without limit.",
        same_bits=False,
    ),
    replace(
        higher(
            "VISQOL",
            "ViSQOL 3, speech mode",
            "MOS-LQO",
            1.0,
            5.0,
            "Chinen et al., QoMEX 2020, with the lattice network; visqol-python 3.8.0; other rates become 16 kHz",
            rates=WIDE_BAND_RATES_HZ,
        ),
        definition=(
            "The lattice network of version 3. The older exponential map rates noisy speech higher, by 0.7 to 1.6 "
            "on three clips."
        ),
        licence=(
            "Apache-2.0: visqol-python 3.8.0 (licenses/LICENSE) and ai-edge-litert 2.3.0 (licenses/LICENSE). The "
            "network comes in visqol-python; no file names a licence of its own for it."
        ),
        cost_ms=210,
        good_for="Codecs and generated speech: it forgives small shifts in time that PESQ punishes.",
        fooled_by="Background noise in pauses: only patches of speech are compared.",
        same_bits=False,
        packages=("visqol", "ai_edge_litert"),
        install="pip install ai-edge-litert==2.3.0 && pip install --no-deps visqol-python==3.8.0",
    ),
    replace(
        higher(
            "DISTILLMOS",
            "DistillMOS",
            "rating",
            1.0,
            5.0,
            "Stahl, Gamper, ICASSP 2025; weights of distillmos 0.9.1; other rates become 16 kHz",
            rates=WIDE_BAND_RATES_HZ,
            needs_reference=False,
        ),
        definition=(
            "The network distill_mos_v7 with weights as published. Its scale is that of ratings by listeners (1 to "
            "5), not that of DNSMOS or ViSQOL."
        ),
        licence=(
            "MIT: distillmos 0.9.1 (LICENSE). The model card in its METADATA names MIT as the licence of the model."
        ),
        cost_ms=640,
        good_for="How natural an output sounds, where there is no clean signal.",
        fooled_by="Words do not matter: fluent speech with wrong words rates as well as the right ones.",
        same_bits=False,
        packages=("distillmos",),
        install=f"{_NO_DEPENDENCIES} distillmos==0.9.1",
    ),
    replace(
        higher(
            "SPEAKER_SIM",
            "Speaker similarity",
            "cosine",
            0.0,
            1.0,
            "Wan et al., ICASSP 2018: cosine of the voices that the network of resemblyzer 0.1.4 finds",
            rates=WIDE_BAND_RATES_HZ,
        ),
        definition=(
            "Both signals are cut where the clean one has speech. The package cuts each by a detector of "
            "its own, which differs by up to 0.05."
        ),
        licence=(
            "Apache-2.0: Resemblyzer 0.1.4 (LICENSE). The weights come in the package; no file names a licence of "
            "their own."
        ),
        cost_ms=240,
        good_for="Generative models that change the voice.",
        fooled_by="It reacts to noise and to the channel too: two clean voices can be nearer.",
        same_bits=False,
        packages=("resemblyzer",),
        install=f"{_NO_DEPENDENCIES} resemblyzer==0.1.4",
    ),
    replace(
        higher(
            "PHONE_SIM",
            "Levenshtein phone similarity",
            "share",
            0.0,
            1.0,
            "Pirklbauer et al., ITG 2023, with the recogniser of pocketsphinx 5.1; English only",
            rates=WIDE_BAND_RATES_HZ,
        ),
        definition=(
            "Published tables use a recogniser trained on 53 languages, which hears far more: not comparable."
        ),
        licence=(
            "BSD-2-Clause: pocketsphinx 5.1.0 (licenses/LICENSE) and acoustic model (model/en-us/en-us/README). "
            "No file names a licence of its own for the language model of phones."
        ),
        cost_ms=520,
        good_for="Models that invent, drop or change words, as a mean over many English clips.",
        fooled_by="The recogniser errs often: in one clip, half wrong words can score as an honest output does.",
        same_bits=False,
        packages=("pocketsphinx",),
        extra="measures",
    ),
    Metric(
        "HALLUCINATION",
        "Suspicion of hallucinated speech",
        "index",
        Direction.LOWER_IS_BETTER,
        0.0,
        1.0,
        1.0,
        WIDE_BAND_RATES_HZ,
        True,
        "This project: levels and coherences in bands, weighted by a fit on planted faults; above 0.5 is a flag",
        definition=(
            "The most suspicious stretch of 72 ms counts, after a delay of up to 0.1 s is removed. The field has "
            "no usual measure: papers count changed phones (PHONE_SIM) or words."
        ),
        cost_ms=16,
        good_for="Finding clips in which a model swaps, replaces, deletes or invents speech, to listen to them.",
        fooled_by=(
            "Rooms: an honest output that still reverberates scores about 0.95, and clean speech without content "
            "above 4 kHz 0.52. Noise that masks the place, or a changed sound shorter than 60 ms, hides a fault."
        ),
        same_bits=False,
    ),
)


def _sdr(clip: SharedClip) -> float | NoValue | None:
    from soundsright.metrics.sdr import sdr
    from soundsright.metrics.shared_clip import NoValue

    value = sdr(clip.clean.samples, clip.enhanced.samples)
    return NoValue.NO_ENERGY if value is None else value


def _mcd(clip: SharedClip) -> float | None:
    from soundsright.metrics.mcd import mcd

    return mcd(*clip.at_16_khz)


def _srmr(clip: SharedClip) -> float | None:
    from soundsright.metrics.srmr import srmr

    return srmr(clip.at_16_khz[1])


def _visqol(clip: SharedClip) -> float | NoValue | None:
    from soundsright.metrics.shared_clip import NoValue
    from soundsright.metrics.visqol import visqol

    value = visqol(*clip.at_16_khz)
    return NoValue.LITTLE_SPEECH if value is None else value


def _distillmos(clip: SharedClip) -> float | None:
    from soundsright.metrics.distillmos import distillmos

    return distillmos(clip.at_16_khz[1])


def _speaker_similarity(clip: SharedClip) -> float | NoValue | None:
    from soundsright.metrics.shared_clip import NoValue
    from soundsright.metrics.speaker import speaker_similarity

    value = speaker_similarity(*clip.at_16_khz)
    return NoValue.NO_ENERGY if value is None else value


def _phone_similarity(clip: SharedClip) -> float | NoValue | None:
    from soundsright.metrics.phones import phone_similarity
    from soundsright.metrics.shared_clip import NoValue

    value = phone_similarity(*clip.at_16_khz)
    return NoValue.LITTLE_SPEECH if value is None else value


def _hallucination(clip: SharedClip) -> float | NoValue | None:
    from soundsright.metrics.hallucination import clip_hallucination
    from soundsright.metrics.shared_clip import NoValue

    assert clip.noisy is not None  # The suite checks it, because the metric needs the noisy signal.
    found = clip_hallucination(clip.clean, clip.enhanced, clip.noisy)
    return NoValue.TOO_SHORT if found is None else found.score


MEASURES: Mapping[str, Measure] = {
    "SDR": _sdr,
    "MCD": _mcd,
    "SRMR": _srmr,
    "VISQOL": _visqol,
    "DISTILLMOS": _distillmos,
    "SPEAKER_SIM": _speaker_similarity,
    "PHONE_SIM": _phone_similarity,
    "HALLUCINATION": _hallucination,
}
"""The function of each of these metrics, by name."""
