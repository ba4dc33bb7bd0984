"""DTLN: two small recurrent networks in series, one that masks the spectrum and one that refines the waveform.

N. L. Westhausen and B. T. Meyer, "Dual-Signal Transformation LSTM Network for Real-Time Noise Suppression",
Interspeech 2020.  16 kHz, blocks of 512 samples every 128.
"""

from functools import cache
from pathlib import Path

import numpy as np

from .audio import BlockStream, at_native_rate
from .runtime import onnx_session

NATIVE_RATE = 16_000
BLOCK = 512
SHIFT = 128


@cache
def load():
    folder = Path(__file__).parents[1]
    return tuple(onnx_session(folder / name, gpu=False) for name in ("model_1.onnx", "model_2.onnx"))


def enhance(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    return at_native_rate(denoise, audio, sample_rate, NATIVE_RATE)


def denoise(audio: np.ndarray) -> np.ndarray:
    """Overlap-add of blocks that overlap by three quarters.

    Each sample is complete after three further blocks. Silence before and after the clip provides them and is cut
    off again, so no delay remains.
    """
    refine = Refine()
    margin = BLOCK - SHIFT
    count = -(-(len(audio) + margin) // SHIFT)
    padded = np.zeros((count - 1) * SHIFT + BLOCK, np.float32)
    padded[margin : margin + len(audio)] = audio
    total = np.zeros_like(padded)
    for start in range(0, count * SHIFT, SHIFT):
        total[start : start + BLOCK] += refine(padded[start : start + BLOCK])
    return total[margin : margin + len(audio)]


class Refine:
    """Both networks with their states: they map one block after the other."""

    def __init__(self) -> None:
        self.names = [[slot.name for slot in network.get_inputs()] for network in load()]
        self.mask_state = self.refine_state = np.zeros((1, 2, 128, 2), np.float32)

    def __call__(self, block: np.ndarray) -> np.ndarray:
        (masking, refining), ((spectrum_in, mask_state_in), (block_in, refine_state_in)) = load(), self.names
        spectrum = np.fft.rfft(block)
        magnitude = np.abs(spectrum).astype(np.float32)[None, None]
        mask, self.mask_state = masking.run(None, {spectrum_in: magnitude, mask_state_in: self.mask_state})
        masked = np.fft.irfft(spectrum * mask[0, 0]).astype(np.float32)[None, None]
        refined, self.refine_state = refining.run(None, {block_in: masked, refine_state_in: self.refine_state})
        return refined[0, 0]


LOOKAHEAD_MS = 40


class Stream:
    """Live audio at the rate of the networks."""

    def __init__(self, sample_rate: int) -> None:
        if sample_rate != NATIVE_RATE:
            raise ValueError(f"DTLN streams at {NATIVE_RATE} Hz, not at {sample_rate} Hz")
        self.process = BlockStream(Refine(), BLOCK, SHIFT, LOOKAHEAD_MS * NATIVE_RATE // 1000).process
