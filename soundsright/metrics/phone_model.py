"""Log likelihoods of English phones, from the acoustic model in the `pocketsphinx` package.

Signals are float32, shape `(n,)`, at 16 kHz. Frames have a hop of 10 ms; times in seconds.

The model has one codebook of 128 Gaussians for each of 42 phones (39 sounds, silence, and two kinds of noise) and
three states per phone. It is the "phonetically tied" model of CMU Sphinx for US English, of which this module reads
the states that do not depend on neighbouring phones. The features are 13 mel cepstra in 25 bands from 130 to
6800 Hz, without their mean over the clip, and two differences over time.

Only the package's files are read; none of its code runs here. `phones` runs its decoder.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from soundsright.core.audio import Samples
from soundsright.core.errors import UsageError

RATE_HZ = 16_000
HOP = 160
HOP_S = HOP / RATE_HZ
SILENCE = "SIL"
NOISES = ("+NSN+", "+SPN+")

_WINDOW = 410
_FFT = 512
_CEPSTRA = 13
_BANDS = 25
_LOWEST_HZ, _HIGHEST_HZ = 130.0, 6800.0
_PRE_EMPHASIS = 0.97
_LIFTER = 22
_LEAST_VARIANCE = 1e-4
_STATES = 3
_WEIGHT_STEP = 1024 * np.log(1.0001)
"""Mixture weights are bytes: how many of these steps the logarithm of a weight is below 0."""

_FRAMES_AT_ONCE = 500
"""Bounds the memory for long clips."""

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class _Codebooks:
    """The Gaussians of one stream of features: `quadratic @ [x², x] + constant` is their log density."""

    quadratic: NDArray[np.float32]
    constant: NDArray[np.float32]
    weights: NDArray[np.float32]
    """Shape (phones, Gaussians, states)."""


@dataclass(frozen=True)
class PhoneModel:
    """The phones' names, in the order of the columns of every array here, and the Gaussians of three streams."""

    names: tuple[str, ...]
    streams: tuple[_Codebooks, ...]


def model_folder() -> Path:
    """The folder of the English model in the installed package.

    Raises:
        UsageError: pocketsphinx is not installed.
    """
    spec = find_spec("pocketsphinx")
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(
            "The measures of phones need pocketsphinx, which is not installed",
            "Run `pip install 'soundsright[measures]'`.",
        )
    return Path(next(iter(spec.submodule_search_locations))) / "model" / "en-us"


def phone_log_likelihoods(samples: Samples) -> Float64:
    """The log likelihood of each frame under each phone, shape `(frames, 42)`: the best of the phone's states.

    Shape `(0, 42)` for a signal shorter than one window of 26 ms. `phone_names` names the columns.

    Raises:
        UsageError: pocketsphinx is not installed.
    """
    model = phone_model()
    features = _features(cepstra(samples))
    likelihoods = np.zeros((len(features[0]), len(model.names)))
    for start in range(0, len(likelihoods), _FRAMES_AT_ONCE):
        rows = slice(start, start + _FRAMES_AT_ONCE)
        states = sum(
            _state_log_likelihoods(stream, feature[rows])
            for stream, feature in zip(model.streams, features, strict=True)
        )
        likelihoods[rows] = np.max(states, axis=2)
    return likelihoods


def frame_count(samples: int) -> int:
    """The number of frames of a signal of that many samples: those whose window of 26 ms is in it.

    >>> frame_count(16_000), frame_count(100)
    (98, 0)
    """
    return max(0, 1 + (samples - _WINDOW) // HOP)


def phone_names() -> tuple[str, ...]:
    """The 42 phones: those of the CMU dictionary, `SIL`, and noises in plus signs.

    Raises:
        UsageError: pocketsphinx is not installed.
    """
    return phone_model().names


def cepstra(samples: Samples) -> Float64:
    """Mel cepstra of each whole window, shape `(frames, 13)`, of a signal at the scale of 16-bit integers."""
    from scipy import fft

    signal = np.asarray(samples, dtype=np.float64)
    if len(signal) < _WINDOW:
        return np.empty((0, _CEPSTRA))
    emphasised = np.append(signal[0], signal[1:] - _PRE_EMPHASIS * signal[:-1])
    frames = np.lib.stride_tricks.sliding_window_view(emphasised, _WINDOW)[::HOP]
    hamming, bands, transform = _front_end()
    found = np.empty((len(frames), _CEPSTRA))
    for start in range(0, len(frames), _FRAMES_AT_ONCE):
        rows = slice(start, start + _FRAMES_AT_ONCE)
        spectra = fft.rfft(frames[rows] * hamming, _FFT, axis=1)
        power = spectra.real**2 + spectra.imag**2
        found[rows] = np.log(np.maximum(power @ bands.T, 1.0)) @ transform.T
    return found


def _features(cepstral: Float64) -> tuple[Float64, Float64, Float64]:
    """The three streams: cepstra without their mean, their difference over 4 frames, and that of the difference."""
    if not len(cepstral):
        return cepstral, cepstral, cepstral
    level = cepstral - cepstral.mean(axis=0)
    padded = np.pad(level, ((3, 3), (0, 0)), mode="edge")

    def at(shift: int) -> Float64:
        shifted: Float64 = padded[3 + shift : 3 + shift + len(level)]
        return shifted

    return level, at(2) - at(-2), at(3) - at(-1) - at(1) + at(-3)


def _state_log_likelihoods(stream: _Codebooks, features: Float64) -> Float64:
    """Shape (frames, phones, states)."""
    narrow = features.astype(np.float32)
    density = np.hstack([narrow**2, narrow]) @ stream.quadratic.T + stream.constant
    density = density.reshape(len(features), *stream.weights.shape[:2])
    top = density.max(axis=2, keepdims=True)
    np.exp(density - top, out=density)
    # Phones first, so that one product of matrices serves each phone.
    mixed = np.matmul(density.transpose(1, 0, 2), stream.weights).transpose(1, 0, 2)
    log_likelihood: Float64 = np.log(np.maximum(mixed.astype(np.float64), 1e-37)) + top
    return log_likelihood


@cache
def _front_end() -> tuple[Float64, Float64, Float64]:
    """The Hamming window, the mel bands of shape (25, 257), and the cosine transform with its lifter, (13, 25)."""
    hamming = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(_WINDOW) / (_WINDOW - 1))
    bin_hz = RATE_HZ / _FFT
    edges = np.linspace(_mel(_LOWEST_HZ), _mel(_HIGHEST_HZ), _BANDS + 2)
    edges_hz = np.round(700.0 * (10.0 ** (edges / 2595.0) - 1.0) / bin_hz) * bin_hz
    bins_hz = np.arange(_FFT // 2 + 1) * bin_hz
    bands = np.zeros((_BANDS, len(bins_hz)))
    for band, (low, centre, high) in enumerate(zip(edges_hz, edges_hz[1:], edges_hz[2:], strict=False)):
        rising, falling = (bins_hz - low) / (centre - low), (high - bins_hz) / (high - centre)
        bands[band] = np.maximum(0.0, np.minimum(rising, falling)) * 2.0 / (high - low)
    order = np.arange(_CEPSTRA)
    transform = np.cos(np.pi * order[:, None] * (np.arange(_BANDS) + 0.5) / _BANDS) * np.sqrt(2.0 / _BANDS)
    transform[0] /= np.sqrt(2.0)
    transform *= (1.0 + _LIFTER / 2 * np.sin(np.pi * order / _LIFTER))[:, None]
    return hamming, bands, transform


def _mel(hz: float) -> float:
    return float(2595.0 * np.log10(1.0 + hz / 700.0))


@cache
def phone_model() -> PhoneModel:
    """The model, read once per process.

    Raises:
        UsageError: pocketsphinx is not installed, or its model has another form.
    """
    folder = model_folder() / "en-us"
    try:
        names, states = _names_and_states((folder / "mdef").read_bytes())
        means = _gaussians((folder / "means").read_bytes(), len(names))
        variances = np.maximum(_gaussians((folder / "variances").read_bytes(), len(names)), _LEAST_VARIANCE)
        weights = _mixture_weights((folder / "sendump").read_bytes(), means.shape[2], states, len(names))
    except (OSError, ValueError, IndexError, struct.error) as error:
        raise UsageError(
            f"The acoustic model of pocketsphinx in {folder} cannot be read: {error}",
            "Install the version that was tested: `pip install pocketsphinx==5.1.0`.",
        ) from error
    streams = []
    for stream in range(means.shape[1]):
        mean, variance = (part[:, stream].reshape(-1, _CEPSTRA).astype(np.float64) for part in (means, variances))
        constant = -0.5 * (np.log(2 * np.pi * variance) + mean**2 / variance).sum(axis=1)
        quadratic = np.hstack([-0.5 / variance, mean / variance])
        streams.append(_Codebooks(quadratic.astype(np.float32), constant.astype(np.float32), weights[stream]))
    return PhoneModel(names, tuple(streams))


def _names_and_states(mdef: bytes) -> tuple[tuple[str, ...], int]:
    """The phones' names and the number of all states, from a binary model definition."""
    if mdef[:4] != b"BMDF":
        raise ValueError("mdef is not a little-endian binary model definition")
    (described,) = struct.unpack_from("<i", mdef, 8)
    start = 12 + described
    phones, _, states_of_phone, plain, states = struct.unpack_from("<5i", mdef, start)
    if states_of_phone != _STATES or plain != phones * _STATES:
        raise ValueError(f"mdef has {plain} states of {phones} phones")
    names = mdef[start + 40 :].split(b"\0", phones)[:phones]
    return tuple(name.decode("ascii") for name in names), states


def _gaussians(content: bytes, phones: int) -> NDArray[np.float32]:
    """Means or variances, shape (phones, streams, Gaussians, 13)."""
    start = content.index(b"endhdr\n") + len(b"endhdr\n")
    order, codebooks, streams, gaussians = struct.unpack_from("<4i", content, start)
    lengths = struct.unpack_from(f"<{streams}i", content, start + 16)
    if order != 0x11223344 or codebooks != phones or set(lengths) != {_CEPSTRA}:
        raise ValueError(f"{codebooks} codebooks with {lengths} features")
    values = np.frombuffer(
        content, "<f4", count=codebooks * streams * gaussians * _CEPSTRA, offset=start + 20 + 4 * streams
    )
    return values.reshape(codebooks, streams, gaussians, _CEPSTRA)


def _mixture_weights(sendump: bytes, gaussians: int, states: int, phones: int) -> NDArray[np.float32]:
    """The weights of the plain states, shape (streams, phones, Gaussians, 3). They end the file, a byte each."""
    size = 3 * gaussians * states
    steps = np.frombuffer(sendump, np.uint8, count=size, offset=len(sendump) - size).reshape(3, gaussians, states)
    weights = np.exp(-_WEIGHT_STEP * steps[:, :, : phones * _STATES])
    by_phone = weights.reshape(3, gaussians, phones, _STATES).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(by_phone, dtype=np.float32)
