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
