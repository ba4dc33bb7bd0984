"""What an enhanced clip did to the speech, beside its scores. Signals are float32, shape `(n,)`; levels in dB.

Levels are those of frames of 20 ms. The share of vanished speech decides whether PESQ is defined (`suite`); all
else is evidence for people and for `ranking.gaming`, and enters no score.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from soundsright.core.audio import Audio, Samples
from soundsright.metrics.frames import frames_of, hann_window

_FRAME_S = 0.020
_SPEECH_BAND_HZ = (350.0, 3250.0)  # where PESQ measures and matches levels
_ACTIVE_DB = -25.0  # of the clean signal's loudest frames: speech
_VANISHED_DB = -20.0  # below the clean frame: the speech is gone
_PAUSE_DB = -55.0  # of the loudest frames: a pause
_HALLUCINATED_DB = -20.0  # of the loudest frames, in a pause: as loud as speech
_LOUD_QUANTILE = 0.95
_MOST_DB = 100.0


@dataclass(frozen=True)
class ClipEvidence:
    """`deleted`: the share of vanished speech. `hallucinated`: share of pauses that became as loud as
    speech, and louder than the input was there. `likeness_to_input_db`: SI-SDR against the noisy input, to ±100.
    """

    deleted: float
    hallucinated: float
    likeness_to_input_db: float


def clip_evidence(clean: Audio, enhanced: Audio, noisy: Audio) -> ClipEvidence:
    """The evidence of one clip; all signals of one rate and length.

    A silent output deletes everything. Where the clean signal has no speech or no pause, that share is 0.

    >>> speech = np.repeat([0.1, -0.1, 0.0, 0.0], 4_000).astype(np.float32)
    >>> clean, silence = Audio(speech, 16_000), Audio(0 * speech, 16_000)
    >>> clip_evidence(clean, silence, clean).deleted
    1.0
    """
    from soundsright.metrics.si_sdr import energy_ratios

    length = round(_FRAME_S * clean.sample_rate_hz)
    s, e, y = (_frame_powers(each.samples, length) for each in (clean, enhanced, noisy))
    likeness = energy_ratios(noisy.samples, enhanced.samples, None).si_sdr
    likeness_db = -_MOST_DB if likeness is None else min(max(likeness, -_MOST_DB), _MOST_DB)
    deleted = vanished_speech(clean.samples, enhanced.samples, clean.sample_rate_hz)
    loudest = float(np.quantile(s, _LOUD_QUANTILE)) if len(s) else 0.0
    if loudest <= 0.0:
        return ClipEvidence(deleted, 0.0, likeness_db)
    ratio = e[s >= loudest * _power(_ACTIVE_DB)] / s[s >= loudest * _power(_ACTIVE_DB)]
    # The median over speech frames: what an output adds or drops elsewhere cannot move it.
    gain = float(np.median(ratio[ratio > 0])) if (ratio > 0).any() else 1.0
    pause = s <= loudest * _power(_PAUSE_DB)
    invented = (e > gain * loudest * _power(_HALLUCINATED_DB)) & (e > 2.0 * gain * y)
    return ClipEvidence(deleted, float(np.mean(invented[pause])) if pause.any() else 0.0, likeness_db)


def vanished_speech(clean: Samples, enhanced: Samples, sample_rate_hz: int) -> float:
    """Share of the clean signal's speech frames that lie over 20 dB lower in the enhanced one.

    Speech is what lies within 25 dB of the loudest frames. Levels are those of 350 to 3250 Hz, after both
    signals were brought to one total power there, as PESQ does: a loud burst lowers all the rest. 0 where there
    is no speech, 1 where the enhanced signal is silent.

    >>> speech = np.sin(np.arange(16_000) / 3).astype(np.float32)
    >>> vanished_speech(speech, np.where(np.arange(16_000) < 8_000, speech, 0), 16_000)
    0.5
    """
    s, e = (_band_powers(each, sample_rate_hz) for each in (clean, enhanced))
    loudest = float(np.quantile(s, _LOUD_QUANTILE)) if len(s) else 0.0
    if not 0.0 < loudest < math.inf:  # Resampling may have carried it out of range.
        return 0.0
    total = math.fsum(e)
    if total <= 0.0:
        return 1.0
    active = s >= loudest * _power(_ACTIVE_DB)
    gain = math.fsum(s) / total
    return float(np.mean(e[active] * gain < s[active] * _power(_VANISHED_DB)))


def _power(level_db: float) -> float:
    return float(10.0 ** (level_db / 10.0))


def _band_powers(samples: Samples, sample_rate_hz: int) -> NDArray[np.float64]:
    """The power of each frame of 20 ms within the speech band."""
    from scipy import fft

    length = round(_FRAME_S * sample_rate_hz)
    spectra = fft.rfft(frames_of(samples, length, length) * _window(length), axis=1)
    low, high = (round(edge_hz * length / sample_rate_hz) for edge_hz in _SPEECH_BAND_HZ)
    powers: NDArray[np.float64] = np.sum(spectra.real[:, low:high] ** 2 + spectra.imag[:, low:high] ** 2, axis=1)
    return powers


@cache
def _window(length: int) -> NDArray[np.float64]:
    return hann_window(length)


def _frame_powers(samples: Samples, length: int) -> NDArray[np.float64]:
    whole = samples[: len(samples) // length * length].astype(np.float64).reshape(-1, length)
    powers: NDArray[np.float64] = np.einsum("ij,ij->i", whole, whole) / length
    return powers
