"""The noise suppressor of WebRTC, as in browsers: a Wiener filter with a running estimate of the noise."""

from functools import cache

import numpy as np

from .audio import advanced

LEVEL = 1  # 12 dB, the default. A higher level harms short clips, in which the noise estimate is not ready yet.
FRAME_S = 0.010
DELAY = {16_000: 96, 48_000: 335}  # In samples. At 48 kHz, most of it comes from splitting the signal into bands.


@cache
def load():
    import pywebrtc_audio

    return pywebrtc_audio.NoiseSuppressor


def enhance(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    suppressor = load()(sample_rate=sample_rate, num_channels=1, level=LEVEL)
    return advanced(suppressor.process, audio, DELAY[sample_rate], round(FRAME_S * sample_rate))
