"""Facts about an enhanced clip beside its scores. Signals are float32, shape `(n,)`; levels in dB.

Levels are those of frames of 20 ms. The share of vanished speech decides whether PESQ has a value (`suite`). The
other facts are evidence for people and for `ranking.gaming`, and do not affect a score.
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
_SPEECH_BAND_HZ = (350.0, 3250.0)  # the band in which PESQ matches levels
_ACTIVE_DB = -25.0  # relative to the loudest clean frames: louder frames are speech
_VANISHED_DB = -20.0  # relative to the clean frame: below, the speech is gone
_PAUSE_DB = -55.0  # relative to the loudest frames: quieter frames are pauses
_HALLUCINATED_DB = -20.0  # relative to the loudest frames: a louder pause has hallucinated speech
_LOUD_QUANTILE = 0.95
_MOST_DB = 100.0


@dataclass(frozen=True)
class ClipEvidence:
    """Facts about one enhanced clip.

    Attributes:
        deleted: share of speech frames that vanished, 0 to 1.
        hallucinated: share of pause frames that became as loud as speech and louder than the input, 0 to 1.
        likeness_to_input_db: SI-SDR of the output against the noisy input, limited to ±100 dB.
    """

    deleted: float
    hallucinated: float
    likeness_to_input_db: float


def clip_evidence(clean: Audio, enhanced: Audio, noisy: Audio) -> ClipEvidence:
    """The evidence of one clip, whose signals have one rate and length.

    A silent output deletes everything. If the clean signal has no speech or no pauses, the corresponding share is
    0.

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
    # The median over speech frames does not depend on sound that the output adds or drops elsewhere.
    gain = float(np.median(ratio[ratio > 0])) if (ratio > 0).any() else 1.0
    pause = s <= loudest * _power(_PAUSE_DB)
    invented = (e > gain * loudest * _power(_HALLUCINATED_DB)) & (e > 2.0 * gain * y)
    return ClipEvidence(deleted, float(np.mean(invented[pause])) if pause.any() else 0.0, likeness_db)


def vanished_speech(clean: Samples, enhanced: Samples, sample_rate_hz: int) -> float:
    """The share of clean speech frames, 0 to 1, that are over 20 dB quieter in the enhanced signal.

    Speech frames are those within 25 dB of the loudest ones. Levels cover 350 to 3250 Hz, after both signals are
    scaled to the same total power in this band, as in PESQ; so a loud burst lowers all other frames. The share is 0
    without speech, and 1 for a silent enhanced signal.

    >>> speech = np.sin(np.arange(16_000) / 3).astype(np.float32)
    >>> vanished_speech(speech, np.where(np.arange(16_000) < 8_000, speech, 0), 16_000)
    0.5
    """
    s, e = (_band_powers(each, sample_rate_hz) for each in (clean, enhanced))
    loudest = float(np.quantile(s, _LOUD_QUANTILE)) if len(s) else 0.0
    if not 0.0 < loudest < math.inf:  # Resampling can overflow extreme values.
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
    """The power of each frame of 20 ms in the speech band, shape `(frames,)`."""
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
