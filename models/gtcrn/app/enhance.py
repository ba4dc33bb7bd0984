"""GTCRN: a grouped temporal convolutional recurrent network of 48 thousand parameters that masks the spectrum.

X. Rong et al., "GTCRN: A Speech Enhancement Model Requiring Ultralow Computational Resources", ICASSP 2024.
16 kHz, frames of 512 samples every 256; the network processes one frame at a time and keeps three states.
"""

from functools import cache
from pathlib import Path

import numpy as np

from .audio import BlockStream, at_native_rate, istft, sqrt_hann, stft
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
    mask = Mask()
    spectra = stft(audio, WINDOW, HOP)
    enhanced = np.empty_like(spectra)
    for index, spectrum in enumerate(spectra):
        enhanced[index] = mask(spectrum)
    return istft(enhanced, WINDOW, HOP, len(audio))


class Mask:
    """The network with its states: it maps one spectrum after the other."""

    def __init__(self) -> None:
        self.states = {name: np.zeros(shape, np.float32) for name, shape in STATES.items()}

    def __call__(self, spectrum: np.ndarray) -> np.ndarray:
        frame = np.stack([spectrum.real, spectrum.imag], axis=-1).astype(np.float32)[None, :, None]
        output, *states = load().run(None, {"mix": frame, **self.states})
        self.states = dict(zip(STATES, states, strict=True))
        return output[0, :, 0, 0] + 1j * output[0, :, 0, 1]


LOOKAHEAD_MS = 40


class Stream:
    """Live audio at the rate of the network."""

    def __init__(self, sample_rate: int) -> None:
        if sample_rate != NATIVE_RATE:
            raise ValueError(f"GTCRN streams at {NATIVE_RATE} Hz, not at {sample_rate} Hz")
        mask = Mask()

        def process_block(block: np.ndarray) -> np.ndarray:
            spectrum = mask(np.fft.rfft(block * WINDOW, len(WINDOW)))
            return np.fft.irfft(spectrum, len(WINDOW)) * WINDOW

        weight = WINDOW[HOP:] ** 2 + WINDOW[:HOP] ** 2
        delay = LOOKAHEAD_MS * NATIVE_RATE // 1000
        self.process = BlockStream(process_block, len(WINDOW), HOP, delay, weight).process
