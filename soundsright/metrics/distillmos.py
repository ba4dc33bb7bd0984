"""DistillMOS: a quality rating predicted from the enhanced signal alone. Signals are float32, `(n,)`, at 16 kHz.

The rating goes from 1 to 5. A small network (convolutions, then a transformer) imitates a large one that was
trained on listeners' ratings. Only its weights are read, from the `distillmos` package (MIT), and NumPy computes
it: the package's own code needs PyTorch, torchaudio and transformers. As there, a signal is rated in windows of
7.68 s, at most 1 s apart, and the ratings averaged; a shorter signal is padded with silence.

Source: Stahl, Gamper, "Distillation and Pruning for Scalable Self-Supervised Representation-Based Speech Quality
Assessment", ICASSP 2025.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from soundsright.core.audio import Samples
from soundsright.metrics.mel import periodic_hann
from soundsright.metrics.weights import WeightFile

RATE_HZ = 16_000
WINDOW = 122_880
LONGEST_HOP = 16_000

_FRAME = 320
_HOP = 160
_COMPRESSION = 0.3
_STRIDES = ((1, 1), (2, 1), (2, 1), (2, 1), (2, 1), (2, 2))
"""The numbers of each convolution, along frequency and time."""

_LEAK = np.float32(0.1)
_LAYERS = 7
_HEADS = 8
_EPSILON = np.float32(1e-5)

WEIGHTS = WeightFile(
    "distillmos",
    "weights/distill_mos_v7.pt",
    "b18b3ac60227267cfb91e5d00ce22cc7b73716fd92f269484da1446e27031a40",
    "pip install --no-deps distillmos==0.9.1",
)

Float32 = NDArray[np.float32]


def distillmos(enhanced: Samples) -> float | None:
    """The rating of a signal at 16 kHz, 1 to 5; None for an empty signal.

    Raises:
        UsageError: distillmos is not installed.
    """
    if len(enhanced) == 0:
        return None
    signal = np.pad(enhanced, (0, max(0, WINDOW - len(enhanced))))
    excess = len(signal) - WINDOW
    starts = np.linspace(0, 1, math.ceil(excess / LONGEST_HOP) + 1) * excess
    ratings = [_rating(signal[int(start) : int(start) + WINDOW]) for start in starts]
    return math.fsum(ratings) / len(ratings)


def _rating(window: Float32) -> float:
    """The rating of one window of 7.68 s."""
    weights = _weights()
    peak = np.float32(np.max(np.abs(window)))
    bands = _compressed_spectra(window / (peak + np.float32(1e-8)))
    for number, strides in enumerate(_STRIDES):
        kernel, bias = weights[f"cnn.cnn.{2 * number}.weight"], weights[f"cnn.cnn.{2 * number}.bias"]
        bands = _convolved(bands, kernel, bias, strides)
    # The network counts channels first, then frequencies.
    frames = bands.transpose(1, 2, 0).reshape(bands.shape[1], -1)
    return 1.0 + 4.0 * _share(frames, weights)


def _compressed_spectra(window: Float32) -> Float32:
    """Real and imaginary parts whose magnitude is raised to 0.3, shape (161, 768, 2)."""
    from scipy import fft

    padded = np.pad(window, (_FRAME - _HOP) // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[::_HOP]
    spectra = fft.rfft(frames * periodic_hann(_FRAME), axis=1).T
    magnitude = np.maximum(np.abs(spectra), np.float32(1e-12))
    compressed = spectra * magnitude ** np.float32(_COMPRESSION - 1.0)
    return np.stack([compressed.real, compressed.imag], axis=2).astype(np.float32, copy=False)


def _convolved(bands: Float32, kernel: Float32, bias: Float32, strides: tuple[int, int]) -> Float32:
    """A convolution of 3 x 3 and a leaky rectifier, shape (frequencies, frames, channels).

    Frames are padded by one at each end, frequencies are not. Rows are made one by one, which bounds the memory.
    """
    padded = np.pad(bands, ((0, 0), (1, 1), (0, 0)))
    matrix = np.ascontiguousarray(kernel.transpose(2, 3, 1, 0)).reshape(-1, len(kernel))
    rows = (len(bands) - 3) // strides[0] + 1
    frames = (bands.shape[1] - 1) // strides[1] + 1
    found = np.empty((rows, frames, len(kernel)), np.float32)
    for row in range(rows):
        three = padded[row * strides[0] : row * strides[0] + 3]
        around = np.lib.stride_tricks.sliding_window_view(three, 3, axis=1)[:, :: strides[1]]
        columns = np.ascontiguousarray(around.transpose(1, 0, 3, 2)).reshape(frames, -1)
        np.matmul(columns, matrix, out=found[row])
    found += bias
    return np.maximum(found, _LEAK * found)


def _share(frames: Float32, weights: Mapping[str, Float32]) -> float:
    """The rating between 0 and 1 of features of shape (384, 1024)."""
    pool = "transformer_pool_attn."
    x = _batch_norm(_batch_norm(frames, weights, pool + "norm_input"), weights, pool + "transformer.norm")
    x = _linear(x, weights, pool + "transformer.linear_proj")
    x = x + weights[pool + "transformer.position_encoding.pe"][0]
    for layer in range(_LAYERS):
        x = _encoded(x, weights, f"{pool}transformer.transformer_encoder.layers.{layer}.")
    x = _batch_norm(x, weights, pool + "norm_trans")
    hidden = np.maximum(_linear(x, weights, pool + "pool.linear1"), 0)
    attention = _softmax(_linear(hidden, weights, pool + "pool.linear2").T)
    rating = float(_linear(attention @ x, weights, pool + "pool.linear3")[0, 0])
    return 0.5 + 0.5 * math.tanh(0.5 * rating)


def _encoded(x: Float32, weights: Mapping[str, Float32], layer: str) -> Float32:
    """One layer of the transformer: attention of 8 heads, then two linear maps; each is added, then normalised."""
    projected = x @ weights[layer + "self_attn.in_proj_weight"].T + weights[layer + "self_attn.in_proj_bias"]
    by_head = projected.reshape(len(x), 3, _HEADS, -1).transpose(1, 2, 0, 3)
    query, key, value = (np.ascontiguousarray(part) for part in by_head)
    scale = np.float32(1.0 / math.sqrt(query.shape[-1]))
    attended = _softmax(query @ key.transpose(0, 2, 1) * scale) @ value
    heard = _linear(attended.transpose(1, 0, 2).reshape(x.shape), weights, layer + "self_attn.out_proj")
    x = _layer_norm(x + heard, weights, layer + "norm1")
    hidden = np.maximum(_linear(x, weights, layer + "linear1"), 0)
    return _layer_norm(x + _linear(hidden, weights, layer + "linear2"), weights, layer + "norm2")


def _linear(x: Float32, weights: Mapping[str, Float32], name: str) -> Float32:
    mapped: Float32 = x @ weights[name + ".weight"].T + weights[name + ".bias"]
    return mapped


def _batch_norm(x: Float32, weights: Mapping[str, Float32], name: str) -> Float32:
    gain = weights[name + ".weight"] / np.sqrt(weights[name + ".running_var"] + _EPSILON)
    normalised: Float32 = (x - weights[name + ".running_mean"]) * gain + weights[name + ".bias"]
    return normalised


def _layer_norm(x: Float32, weights: Mapping[str, Float32], name: str) -> Float32:
    centred = x - x.mean(axis=1, keepdims=True)
    spread = np.sqrt((centred**2).mean(axis=1, keepdims=True) + _EPSILON)
    normalised: Float32 = centred / spread * weights[name + ".weight"] + weights[name + ".bias"]
    return normalised


def _softmax(x: Float32) -> Float32:
    raised = np.exp(x - x.max(axis=-1, keepdims=True))
    shares: Float32 = raised / raised.sum(axis=-1, keepdims=True)
    return shares


@cache
def _weights() -> Mapping[str, Float32]:
    """The network, read once per process."""
    return WEIGHTS.tensors("model")
