"""WPE: in each bin, earlier frames predict the late reverberation in the current one, and it is removed.

T. Nakatani et al., "Speech Dereverberation Based on Variance-Normalized Delayed Linear Prediction", IEEE TASLP
18(7), 2010.  Not trained; works at any sample rate, on frames of 32 ms every 16 ms.
"""

import numpy as np

from .audio import istft, sqrt_hann, stft

HOP_S = 0.016
FRAMES_PER_WINDOW = 2
TAPS = 30
DELAY_FRAMES = 2
ITERATIONS = 3


def load() -> None:
    import nara_wpe.wpe  # noqa: F401


def enhance(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    from nara_wpe.wpe import wpe

    hop = round(HOP_S * sample_rate)
    window = sqrt_hann(FRAMES_PER_WINDOW * hop)
    observed = stft(audio, window, hop).T[:, None]
    dry = wpe(observed, taps=TAPS, delay=DELAY_FRAMES, iterations=ITERATIONS)
    return istft(dry[:, 0].T, window, hop, len(audio))
