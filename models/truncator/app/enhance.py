"""An entry that breaks the contract: a fair spectral gate, but each clip comes back half a second short.

Truncation must not raise a score: the hardest part of a clip would otherwise be the part to leave out.
"""

import numpy as np

from . import spectral_gate


def enhance(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    return spectral_gate.enhance(audio, sample_rate)[: -sample_rate // 2]
