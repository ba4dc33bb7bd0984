"""An entry that breaks the contract: one sample in the middle of each clip is not a number."""

import numpy as np


def enhance(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    spoilt = audio.copy()
    spoilt[len(audio) // 2] = np.nan
    return spoilt
