"""The baseline: a network over bands and time estimates a complex filter over a few frames for each bin.

It was trained by `examples/finetune/` of SoundsRight and needs the whole clip at once. Frames are 32 ms long, every
16 ms, at the sample rate of the network.
"""

from functools import cache
from pathlib import Path

import numpy as np

from .audio import at_native_rate, istft, sqrt_hann, stft
from .runtime import onnx_session

FRAMES_PER_SECOND = 1000 / 32


@cache
def load():
    return onnx_session(Path(__file__).absolute().parents[1] / "network.onnx")


def native_rate() -> int:
    """The sample rate of the network in Hz: 16,000 if its input has 257 bins, 48,000 if it has 769."""
    bins = load().get_inputs()[0].shape[2]
    return round((bins - 1) * 2 * FRAMES_PER_SECOND)


def enhance(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    return at_native_rate(filtered, audio, sample_rate, native_rate())


def filtered(audio: np.ndarray) -> np.ndarray:
    frame = round(native_rate() / FRAMES_PER_SECOND)
    window, hop = sqrt_hann(frame), frame // 2
    spectra = stft(audio, window, hop)
    parts = np.stack([spectra.real, spectra.imag], axis=-1).astype(np.float32)[None]
    (enhanced,) = load().run(None, {"degraded": parts})
    return istft(enhanced[0, ..., 0] + 1j * enhanced[0, ..., 1], window, hop, len(audio))
