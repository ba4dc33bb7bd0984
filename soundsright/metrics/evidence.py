"""What an enhanced clip did to the speech, beside its scores. Signals are float32, shape `(n,)`; levels in dB.

Levels are those of frames of 20 ms, after the enhanced signal was brought to the clean one's level. Evidence for
people and for `ranking.gaming`; it enters no score.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soundsright.core.audio import Audio, Samples

_FRAME_S = 0.020
_ACTIVE_DB = -30.0  # of the clean signal's loudest frames: speech
_PAUSE_DB = -55.0  # of them: a pause
_DELETED_DB = -25.0  # below the clean frame: the speech is gone
_HALLUCINATED_DB = -20.0  # of the loudest frames, in a pause: as loud as speech
_MOST_DB = 100.0


@dataclass(frozen=True)
class ClipEvidence:
    """`deleted`: share of speech frames that vanished. `hallucinated`: share of pauses that became as loud as
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
    loudest = float(np.quantile(s, 0.95)) if len(s) else 0.0
    if loudest <= 0.0:
        return ClipEvidence(0.0, 0.0, likeness_db)
    active = s >= loudest * 10 ** (_ACTIVE_DB / 10)
    pause = s <= loudest * 10 ** (_PAUSE_DB / 10)
    # The median over speech frames: what an output adds or drops elsewhere cannot move it.
    ratio = e[active] / s[active]
    gain = float(np.median(ratio[ratio > 0])) if (ratio > 0).any() else 0.0
    matched = e / gain if gain > 0 else e
    deleted = float(np.mean(matched[active] < s[active] * 10 ** (_DELETED_DB / 10)))
    invented = (matched > loudest * 10 ** (_HALLUCINATED_DB / 10)) & (matched > 2.0 * y)
    hallucinated = float(np.mean(invented[pause])) if pause.any() else 0.0
    return ClipEvidence(deleted, hallucinated, likeness_db)


def _frame_powers(samples: Samples, length: int) -> NDArray[np.float64]:
    whole = samples[: len(samples) // length * length].astype(np.float64).reshape(-1, length)
    powers: NDArray[np.float64] = np.einsum("ij,ij->i", whole, whole) / length
    return powers
