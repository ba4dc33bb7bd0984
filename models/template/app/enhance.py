"""Your model. The server calls `load` once, then `enhance` for each clip.

If your model is faster on many clips at once, as on a GPU, also define
`enhance_batch(clips: list[np.ndarray], sample_rate: int) -> list[np.ndarray]`. The server then calls that instead.
"""

import numpy as np


def load() -> None:
    """Load the weights. Do slow imports here as well, so that the server starts quickly."""


def enhance(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """The enhanced clip, with the length of the degraded one and without delay.

    Signals are float32 of shape `(n,)`, full scale ±1. The sample rate is 16,000 or 48,000 Hz. You can also return
    `(1, n)`, `(n, 1)`, float64 or a tensor. This template returns the clip unchanged. Put your model here.
    """
    return audio
