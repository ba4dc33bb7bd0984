"""An entry that breaks the rules: one sample in the middle of each clip is NaN."""

import numpy as np


def enhance(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    spoilt = audio.copy()
    spoilt[len(audio) // 2] = np.nan
    return spoilt
