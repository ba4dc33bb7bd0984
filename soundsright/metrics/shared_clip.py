"""One clip's signals, and what several metrics derive from them, each computed once.

Signals are float32, shape `(n,)`, full scale ±1, of one rate and length. They are finite and not blank.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from soundsright.core.audio import Audio, Samples

if TYPE_CHECKING:
    from soundsright.metrics.composite import Composite
    from soundsright.metrics.mos import Dnsmos
    from soundsright.metrics.si_sdr import EnergyRatios
    from soundsright.metrics.stoi import BandEnvelopes

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
    PESQ_TOO_SHORT = "pesq_too_short"
    PESQ_TOO_LONG = "pesq_too_long"
    LITTLE_SPEECH = "little_speech"
    TOO_SHORT = "too_short"
    NO_ENERGY = "no_energy"
    NOT_A_NUMBER = "not_a_number"
    PESQ_CLEAN_UNDEFINED = "pesq_clean_undefined"
    PESQ_CLEAN_TOO_LONG = "pesq_clean_too_long"
    CLEAN_TOO_SHORT = "clean_too_short"
    CLEAN_NO_ENERGY = "clean_no_energy"

    @property
    def sentence(self) -> str:
        """The reason in words.

        >>> NoValue.NO_NOISE.sentence
        'The noisy signal equals the clean one.'
        """
        return _SENTENCES[self]

    @property
    def is_of_reference(self) -> bool:
        """Whether the clean or noisy signal is the reason, whatever the answer.

        A reason that an answer could cause is not: `PESQ_UNDEFINED`, for example, can be either's. It becomes
        `PESQ_CLEAN_UNDEFINED` where the clean recording has no value for itself either.

        >>> NoValue.CLEAN_BLANK.is_of_reference, NoValue.PESQ_UNDEFINED.is_of_reference
        (True, False)
        """
        return self in _OF_REFERENCE

    @property
    def for_reference(self) -> NoValue | None:
        """The reason in the clean recording alone, for a reason that either signal can cause. Else None.

        >>> NoValue.PESQ_UNDEFINED.for_reference, NoValue.SPEECH_VANISHED.for_reference
        (<NoValue.PESQ_CLEAN_UNDEFINED: 'pesq_clean_undefined'>, None)
        """
        return _FOR_REFERENCE.get(self)


_SENTENCES = {
    NoValue.ENHANCED_BLANK: "The enhanced recording is silent, constant or not finite.",
    NoValue.CLEAN_BLANK: "The clean recording is silent, constant or not finite.",
    NoValue.NOISY_NOT_FINITE: "The noisy signal is not finite.",
    NoValue.NO_NOISE: "The noisy signal equals the clean one.",
    NoValue.SPEECH_VANISHED: f"More than {MOST_VANISHED:.0%} of the speech is gone from the enhanced signal.",
    NoValue.PESQ_UNDEFINED: "PESQ finds no speech in the clean signal, or the output vanishes beside it.",
    NoValue.PESQ_TOO_SHORT: "PESQ needs clips of at least 0.25 s.",
    NoValue.PESQ_TOO_LONG: "PESQ has room for 50 utterances, and finds more or none; cut the recording into "
    "clips of at most 16 s.",
    NoValue.LITTLE_SPEECH: "The clean signal has fewer than 30 frames (0.4 s) of speech.",
    NoValue.TOO_SHORT: "The clip is shorter than one frame.",
    NoValue.NO_ENERGY: "The clean or the enhanced signal has no energy.",
    NoValue.NOT_A_NUMBER: "The metric returned no number.",
    NoValue.PESQ_CLEAN_UNDEFINED: "PESQ finds no speech in the clean recording.",
    NoValue.PESQ_CLEAN_TOO_LONG: "PESQ has room for 50 utterances, and finds more or none in the clean recording; "
    "cut it into clips of at most 16 s.",
    NoValue.CLEAN_TOO_SHORT: "The clean recording is too short for the metric.",
    NoValue.CLEAN_NO_ENERGY: "The clean recording has no energy.",
}

_FOR_REFERENCE = {
    NoValue.PESQ_UNDEFINED: NoValue.PESQ_CLEAN_UNDEFINED,
    NoValue.PESQ_TOO_LONG: NoValue.PESQ_CLEAN_TOO_LONG,
    NoValue.TOO_SHORT: NoValue.CLEAN_TOO_SHORT,
    NoValue.NO_ENERGY: NoValue.CLEAN_NO_ENERGY,
}

_OF_REFERENCE = frozenset(
    {
        NoValue.CLEAN_BLANK,
        NoValue.NOISY_NOT_FINITE,
        NoValue.NO_NOISE,
        NoValue.PESQ_TOO_SHORT,
        NoValue.LITTLE_SPEECH,
        *_FOR_REFERENCE.values(),
    }
)


class SharedClip:
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
    def pesq_wb_corrected(self) -> float | None:
        return self._pesq(wide_band=True, corrected=True)

    @cached_property
    def pesq_nb(self) -> float | None:
        return self._pesq(wide_band=False)

    @property
    def why_no_pesq(self) -> NoValue:
        """The reason for a PESQ of None."""
        from soundsright.metrics.pesq import LONGEST_IN_PROCESS_S, SHORTEST_S

        if self.clean.duration_s < SHORTEST_S:
            return NoValue.PESQ_TOO_SHORT
        if self.speech_vanished:
            return NoValue.SPEECH_VANISHED
        long = self.clean.duration_s > LONGEST_IN_PROCESS_S
        return NoValue.PESQ_TOO_LONG if long else NoValue.PESQ_UNDEFINED

    def _pesq(self, *, wide_band: bool, corrected: bool = False) -> float | None:
        from soundsright.metrics.evidence import vanished_speech
        from soundsright.metrics.pesq import pesq, pesq_rate_hz

        rate_hz = pesq_rate_hz(self.sample_rate_hz, wide_band=wide_band)
        clean, enhanced = (
            (self.clean.samples, self.enhanced.samples) if rate_hz == self.sample_rate_hz else self.at_16_khz
        )
        if vanished_speech(clean, enhanced, rate_hz) > MOST_VANISHED:
            self.speech_vanished = True
            return None
        return pesq(clean, enhanced, rate_hz, wide_band=wide_band, corrected=corrected)

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


Measure: TypeAlias = Callable[[SharedClip], "float | NoValue | None"]
"""The function of a metric: its value, or the reason why it has none. None is the usual reason of its kind."""
