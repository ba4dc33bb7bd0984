"""An entry that breaks the rules: a spectral gate that returns each clip half a second too short.

Truncation must not raise a score, otherwise a model could leave out the hardest part of a clip.
"""

import numpy as np

from . import spectral_gate


def enhance(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    return spectral_gate.enhance(audio, sample_rate)[: -sample_rate // 2]
