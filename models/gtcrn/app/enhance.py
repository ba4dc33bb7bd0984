"""GTCRN: a grouped temporal convolutional recurrent network of 48 thousand parameters that masks the spectrum.

X. Rong et al., "GTCRN: A Speech Enhancement Model Requiring Ultralow Computational Resources", ICASSP 2024.
16 kHz, frames of 512 samples every 256; the network processes one frame at a time and keeps three states.
"""

from functools import cache
from pathlib import Path

import numpy as np

from .audio import at_native_rate, istft, sqrt_hann, stft
from .runtime import onnx_session

NATIVE_RATE = 16_000
WINDOW = sqrt_hann(512)
HOP = 256
STATES = {"conv_cache": (2, 1, 16, 16, 33), "tra_cache": (2, 3, 1, 1, 16), "inter_cache": (2, 1, 33, 16)}


@cache
def load():
    return onnx_session(Path(__file__).parents[1] / "gtcrn_simple.onnx", gpu=False)


def enhance(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    return at_native_rate(denoise, audio, sample_rate, NATIVE_RATE)


def denoise(audio: np.ndarray) -> np.ndarray:
    network = load()
    spectra = stft(audio, WINDOW, HOP)
    enhanced = np.empty_like(spectra)
    states = {name: np.zeros(shape, np.float32) for name, shape in STATES.items()}
    for index, spectrum in enumerate(spectra):
        frame = np.stack([spectrum.real, spectrum.imag], axis=-1).astype(np.float32)[None, :, None]
        output, *next_states = network.run(None, {"mix": frame, **states})
        states = dict(zip(STATES, next_states, strict=True))
        enhanced[index] = output[0, :, 0, 0] + 1j * output[0, :, 0, 1]
    return istft(enhanced, WINDOW, HOP, len(audio))
