"""An entry that breaks the rules: its process ends at the second clip, like one that runs out of memory."""

import itertools
import os

import numpy as np

clips_so_far = itertools.count(1)


def enhance(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    if next(clips_so_far) > 1:
        os._exit(1)
    return audio
