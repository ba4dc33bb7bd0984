"""Your model. The server calls `load` once, then `enhance` for each clip, and makes a `Stream` for live audio.

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


LOOKAHEAD_MS = 0
"""By how much the output of `Stream` lags."""


class Stream:
    """Live audio through the model. Delete this class if your model needs the whole clip at once.

    The output must be that of `enhance`, later by LOOKAHEAD_MS in whole frames of 20 ms. `soundsright verify`
    compares the two. `models/gtcrn` in SoundsRight's repository shows a network that streams.
    """

    def __init__(self, sample_rate: int) -> None:
        """Begin with silence. Several streams can be there at the same time."""

    def process(self, frame: np.ndarray) -> np.ndarray:
        """The next 20 ms of output for the next 20 ms of input: float32 of the same shape `(n,)`."""
        return frame
