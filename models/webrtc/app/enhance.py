"""The noise suppressor of WebRTC, as it runs in browsers: a Wiener filter on a running estimate of the noise."""

from functools import cache

import numpy as np

from .audio import advanced

LEVEL = 1  # 12 dB, the default of four levels: more harms short clips, where the noise is still being learnt.
FRAME_S = 0.010
DELAY = {16_000: 96, 48_000: 335}  # In samples; splitting 48 kHz into bands costs the most of it.


@cache
def load():
    import pywebrtc_audio

    return pywebrtc_audio.NoiseSuppressor


def enhance(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    suppressor = load()(sample_rate=sample_rate, num_channels=1, level=LEVEL)
    return advanced(suppressor.process, audio, DELAY[sample_rate], round(FRAME_S * sample_rate))
