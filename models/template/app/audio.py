"""Signals are float32, shape `(n,)`, full scale ±1; spectra are complex, shape `(frames, bins)`."""

from collections.abc import Callable

import numpy as np


def at_native_rate(process: Callable, audio: np.ndarray, sample_rate: int, native_rate: int) -> np.ndarray:
    """`process(audio)` at the sample rate of the model, converted back to the rate and length of the clip.

    The converter has linear phase, so it adds no delay.
    """
    import soxr

    if sample_rate != native_rate:
        converted = soxr.resample(audio, sample_rate, native_rate)
        return fit_length(soxr.resample(process(converted), native_rate, sample_rate), len(audio))
    return fit_length(process(audio), len(audio))


def fit_length(audio: np.ndarray, length: int) -> np.ndarray:
    """The signal cut or padded with zeros to `length` samples."""
    return np.pad(audio[:length], (0, max(0, length - len(audio)))).astype(np.float32)


def advanced(stream: Callable, audio: np.ndarray, delay: int, frame: int) -> np.ndarray:
    """The output of a streaming enhancer without its delay of `delay` samples.

    `stream` takes and returns a signal of whole frames of `frame` samples. The clip is padded with zeros so that
    its last sample comes out, and the first `delay` samples of the output are dropped.
    """
    padded = fit_length(audio, -(-(len(audio) + delay) // frame) * frame)
    return stream(padded)[delay : delay + len(audio)]


class BlockStream:
    """A live stream through a function of blocks that overlap. Its output is that of a whole clip, but later.

    `process_block` maps a block of `block` samples, every `shift` samples, to a block that is added to the output.
    `weight` divides each `shift` samples of that sum, which has the type of the first block. The output lags by
    `delay` samples: the overlap, and the samples that wait for the next block. `block` is enough.
    """

    def __init__(
        self, process_block: Callable, block: int, shift: int, delay: int, weight: np.ndarray | float = 1
    ) -> None:
        self.process_block, self.block, self.shift, self.weight = process_block, block, shift, weight
        self.waiting = np.zeros(block - shift, np.float32)  # A clip begins after this much silence.
        self.total = None
        self.skipped = block - shift
        self.ready = np.zeros(delay, np.float32)

    def process(self, piece: np.ndarray) -> np.ndarray:
        """As many samples of output as the piece has."""
        self.waiting = np.concatenate([self.waiting, piece])
        while len(self.waiting) >= self.block:
            enhanced = self.process_block(self.waiting[: self.block])
            self.total = enhanced if self.total is None else self.total + enhanced
            self.waiting = self.waiting[self.shift :]
            done = self.total[: self.shift] / self.weight
            skip = min(self.skipped, self.shift)
            self.skipped -= skip
            self.ready = np.concatenate([self.ready, done[skip:].astype(np.float32)])
            self.total = np.pad(self.total[self.shift :], (0, self.shift))
        output, self.ready = self.ready[: len(piece)], self.ready[len(piece) :]
        return output


def sqrt_hann(length: int) -> np.ndarray:
    """The square root of the periodic Hann window. Its squares add up to one at half overlap."""
    return np.sin(np.pi * np.arange(length) / length)


def stft(audio: np.ndarray, window: np.ndarray, hop: int, n_fft: int | None = None) -> np.ndarray:
    """The spectra of all frames. Zeros are added on both sides, so every sample is in the same number of frames."""
    margin = len(window) - hop
    frames = -(-(len(audio) + margin) // hop)
    padded = np.zeros((frames - 1) * hop + len(window))
    padded[margin : margin + len(audio)] = audio
    framed = np.lib.stride_tricks.sliding_window_view(padded, len(window))[::hop]
    return np.fft.rfft(framed * window, n_fft or len(window))


def istft(spectra: np.ndarray, window: np.ndarray, hop: int, length: int, n_fft: int | None = None) -> np.ndarray:
    """The inverse of `stft`: a signal of `length` samples, by weighted overlap-add."""
    frames = np.fft.irfft(spectra, n_fft or len(window))[:, : len(window)] * window
    margin = len(window) - hop
    total = np.zeros((len(frames) - 1) * hop + len(window))
    weight = np.zeros_like(total)
    for index, frame in enumerate(frames):
        total[index * hop : index * hop + len(window)] += frame
        weight[index * hop : index * hop + len(window)] += window**2
    inside = slice(margin, margin + length)
    return (total[inside] / weight[inside]).astype(np.float32)
