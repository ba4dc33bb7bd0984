"""Whether two recordings are of one voice. Signals are float32, shape `(n,)`, at 16 kHz.

A network maps 1.6 s of speech to a direction in 256 dimensions that depends on the voice more than on the words.
`SPEAKER_SIM` is the cosine of the angle between the directions of the clean and the enhanced signal. Both are cut
to the stretches where the clean signal has speech, and brought to the same level.

The network is that of the `resemblyzer` package (Apache-2.0): an LSTM of three layers on 40 mel bands. Only its
weights are read, and NumPy computes it; the package's own code needs PyTorch, librosa and a C compiler.

Source: Wan, Wang, Papir, Lopez Moreno, "Generalized End-to-End Loss for Speaker Verification", ICASSP 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from soundsright.core.audio import Samples
from soundsright.metrics.mel import periodic_hann, slaney_filters
from soundsright.metrics.weights import WeightFile

RATE_HZ = 16_000
WINDOW_S = 1.6
STEP_S = 0.77

_FFT = 400
_HOP = 160
_FRAMES = 160
_STEP = 77
_BANDS = 40
_HIDDEN = 256
_LEVEL_DB = -30.0
_LAST_COVERED = 0.75
"""The last window is left out if the signal covers less of it than this."""

_ACTIVE_FRAME = 480
_ACTIVE_RANGE_DB = 40.0
_ACTIVE_MARGIN = 6
"""Frames of 30 ms around each frame of speech that count as speech too."""

_WINDOWS_AT_ONCE = 64
"""Bounds the memory for long clips."""

WEIGHTS = WeightFile(
    "resemblyzer",
    "pretrained.pt",
    "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
    "pip install --no-deps resemblyzer==0.1.4",
)

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class _Layer:
    """One layer of the LSTM. Rows are the input, forget, cell and output gates, 256 each."""

    of_input: Float32
    of_state: Float32
    bias: Float32


@dataclass(frozen=True)
class _Network:
    layers: tuple[_Layer, ...]
    projection: Float32
    bias: Float32


@dataclass(frozen=True, eq=False)
class VoiceWindows:
    """The direction of each window of 1.6 s, shape `(windows, 256)` of length 1, and where the windows start."""

    direction: Float32
    start_s: NDArray[np.float64]


def speaker_similarity(clean: Samples, enhanced: Samples) -> float | None:
    """The cosine between the voices of the clean and the enhanced signal, 0 to 1; more is better.

    None if one of them has no energy where the clean signal has speech.

    Raises:
        UsageError: resemblyzer is not installed.
    """
    active = speech_mask(clean)
    if not clean[active].any() or not enhanced[active].any():
        return None
    return float(np.dot(speaker_embedding(clean[active]), speaker_embedding(enhanced[active])))


def speaker_embedding(samples: Samples) -> Float32:
    """The direction of a voice, shape `(256,)` and length 1: the mean of those of all windows.

    The signal must not be silent. `speech_mask` finds the stretches to cut it to.

    Raises:
        UsageError: resemblyzer is not installed.
    """
    return _unit(voice_windows(samples).direction.mean(axis=0))


def voice_windows(samples: Samples) -> VoiceWindows:
    """The direction of a voice in each window of 1.6 s, every 0.77 s. A shorter signal is padded to one window.

    Raises:
        UsageError: resemblyzer is not installed.
    """
    frames = -(-(len(samples) + 1) // _HOP)
    starts = np.arange(0, max(1, frames - _FRAMES + _STEP + 1), _STEP)
    covered = (len(samples) - starts[-1] * _HOP) / (_FRAMES * _HOP)
    if covered < _LAST_COVERED and len(starts) > 1:
        starts = starts[:-1]
    padding = max(0, (starts[-1] + _FRAMES) * _HOP - len(samples))
    mel = _mel_power(np.pad(_at_level(samples), (0, padding)))
    directions = [
        _directions(np.stack([mel[start : start + _FRAMES] for start in starts[first : first + _WINDOWS_AT_ONCE]]))
        for first in range(0, len(starts), _WINDOWS_AT_ONCE)
    ]
    return VoiceWindows(np.concatenate(directions), (starts * _HOP / RATE_HZ).astype(np.float64))


def speech_mask(clean: Samples) -> NDArray[np.bool_]:
    """Which samples of a clean signal are speech, shape `(n,)`.

    These are frames of 30 ms within 40 dB of the loudest, and 0.2 s around them.
    """
    whole = -(-len(clean) // _ACTIVE_FRAME)
    frames = np.pad(clean.astype(np.float64), (0, whole * _ACTIVE_FRAME - len(clean))).reshape(whole, -1)
    energy = (frames**2).sum(axis=1)
    loud = energy > energy.max(initial=0.0) * 10.0 ** (-_ACTIVE_RANGE_DB / 10)
    near = np.convolve(loud, np.ones(2 * _ACTIVE_MARGIN + 1), mode="full")[_ACTIVE_MARGIN:][:whole] > 0.5
    return np.repeat(near, _ACTIVE_FRAME)[: len(clean)]


def _at_level(samples: Samples) -> Float32:
    """The signal at an effective value of -30 dB re full scale. Every finite float32 is allowed."""
    wide = samples.astype(np.float64)
    peak = float(np.max(np.abs(wide), initial=0.0))
    if not 0.0 < peak < np.inf:
        return np.zeros(len(wide), np.float32)
    wide /= peak
    wide *= 10.0 ** (_LEVEL_DB / 20) / np.sqrt(np.mean(wide**2))
    return wide.astype(np.float32)


def _mel_power(signal: Float32) -> Float32:
    """Power in 40 bands, shape (frames, 40), of Hann windows of 25 ms that are centred every 10 ms."""
    from scipy import fft

    padded = np.pad(signal, _FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FFT)[::_HOP]
    filters = slaney_filters(RATE_HZ, _FFT, _BANDS)
    found = np.empty((len(frames), _BANDS), np.float32)
    for start in range(0, len(frames), 1000):
        spectra = fft.rfft(frames[start : start + 1000] * periodic_hann(_FFT), axis=1)
        found[start : start + 1000] = (spectra.real**2 + spectra.imag**2) @ filters.T
    return found


def _directions(mel: Float32) -> Float32:
    """The direction of each window, shape (windows, 256), from its mel power, (windows, 160, 40)."""
    network = _network()
    sequence = mel.transpose(1, 0, 2)
    for layer in network.layers:
        sequence = _recurrent(layer, sequence)
    return _unit(np.maximum(sequence[-1] @ network.projection.T + network.bias, 0.0))


def _recurrent(layer: _Layer, sequence: Float32) -> Float32:
    """The outputs of a layer, shape (steps, windows, 256), for inputs of shape (steps, windows, features)."""
    driven = sequence @ layer.of_input.T + layer.bias
    windows = sequence.shape[1]
    output = np.zeros((windows, _HIDDEN), np.float32)
    cell = np.zeros((windows, _HIDDEN), np.float32)
    outputs = np.empty((len(sequence), windows, _HIDDEN), np.float32)
    for step, drive in enumerate(driven):
        gates = drive + output @ layer.of_state.T
        enter, keep, leave = (_sigmoid(gates[:, i * _HIDDEN : (i + 1) * _HIDDEN]) for i in (0, 1, 3))
        cell = keep * cell + enter * np.tanh(gates[:, 2 * _HIDDEN : 3 * _HIDDEN])
        output = leave * np.tanh(cell)
        outputs[step] = output
    return outputs


def _sigmoid(x: Float32) -> Float32:
    # By the tangent, which cannot overflow.
    half: Float32 = 0.5 + 0.5 * np.tanh(0.5 * x)
    return half.astype(np.float32, copy=False)


def _unit(vectors: Float32) -> Float32:
    """The vectors along the last axis at length 1; zeros stay."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: Float32 = vectors / np.maximum(length, np.float32(1e-12))
    return unit


@cache
def _network() -> _Network:
    """The network, read once per process."""
    tensors = WEIGHTS.tensors("model_state")
    layers = tuple(
        _Layer(
            tensors[f"lstm.weight_ih_l{i}"],
            tensors[f"lstm.weight_hh_l{i}"],
            tensors[f"lstm.bias_ih_l{i}"] + tensors[f"lstm.bias_hh_l{i}"],
        )
        for i in range(3)
    )
    return _Network(layers, tensors["linear.weight"], tensors["linear.bias"])
