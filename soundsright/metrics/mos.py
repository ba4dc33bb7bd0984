"""DNSMOS: ratings predicted from the enhanced signal alone. Signals are float32, shape `(n,)`, at 16 kHz.

P.835 rates speech (SIG), background (BAK) and overall quality (OVRL); P.808 rates overall quality. All ratings go
from 1 to 5. The networks come with the `speechmos` package, whose procedure this module follows: a signal under
9.01 s is doubled until it is long enough; windows of 9.01 s with a hop of 1 s are rated, and the ratings averaged.
Equal windows of a doubled signal are rated once. Samples beyond full scale are clipped, as in a 16-bit file.

Sources: Reddy, Gopal, Cutler, "DNSMOS P.835", ICASSP 2022; Reddy, Gopal, Cutler, "DNSMOS: A Non-Intrusive
Perceptual Objective Speech Quality Metric to Evaluate Noise Suppressors", ICASSP 2021.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from soundsright.core.audio import Samples
from soundsright.core.errors import UsageError
from soundsright.metrics.mel import periodic_hann, slaney_filters

if TYPE_CHECKING:
    import onnxruntime

RATE_HZ = 16_000
WINDOW = int(9.01 * RATE_HZ)

_MEL_FRAME = 321
_MEL_HOP = 160
_MEL_BANDS = 120
_MEL_RANGE_DB = 80.0
# Polynomials from a network's raw output to the rating, as published with the models, highest power first.
_SIG = (-0.08397278, 1.22083953, 0.0052439)
_BAK = (-0.13166888, 1.60915514, -0.39604546)
_OVRL = (-0.06766283, 1.11546468, 0.04602535)


@dataclass(frozen=True)
class Dnsmos:
    """Ratings from 1 to 5; NaN for a rating that was not requested."""

    sig: float
    bak: float
    ovrl: float
    p808: float


def dnsmos(enhanced: Samples, *, p835: bool = True, p808: bool = True) -> Dnsmos | None:
    """The four ratings of a signal at 16 kHz; those not requested are NaN. None for an empty signal.

    Raises:
        UsageError: onnxruntime or speechmos is not installed.
    """
    if len(enhanced) == 0:
        return None
    signal = np.clip(enhanced, -1.0, 1.0)
    period = len(signal)
    while len(signal) < WINDOW:
        signal = np.concatenate([signal, signal])
    hops = int(len(signal) // RATE_HZ - 9.01) + 1
    rated: dict[int, tuple[float, float, float, float]] = {}
    ratings = []
    for hop in range(hops):
        start = hop * RATE_HZ
        window = signal[start : start + WINDOW]
        if len(window) < WINDOW:
            break
        if start % period not in rated:
            rated[start % period] = _ratings(window, p835=p835, p808=p808)
        ratings.append(rated[start % period])
    sig, bak, ovrl, overall = (math.fsum(column) / len(ratings) for column in zip(*ratings, strict=True))
    return Dnsmos(sig, bak, ovrl, overall)


def _ratings(window: Samples, *, p835: bool, p808: bool) -> tuple[float, float, float, float]:
    sig = bak = ovrl = overall = math.nan
    if p835:
        raw = _session("sig_bak_ovr.onnx").run(None, {"input_1": window[np.newaxis]})[0][0]
        sig, bak, ovrl = (
            _polynomial(coefficients, float(x)) for coefficients, x in zip((_SIG, _BAK, _OVRL), raw, strict=True)
        )
    if p808:
        features = log_mel(window[:-_MEL_HOP])[np.newaxis]
        overall = float(_session("model_v8.onnx").run(None, {"input_1": features})[0][0][0])
    return sig, bak, ovrl, overall


def _polynomial(coefficients: tuple[float, ...], x: float) -> float:
    value = 0.0
    for coefficient in coefficients:
        value = value * x + coefficient
    return value


def log_mel(signal: Samples) -> NDArray[np.float32]:
    """The input of the P.808 network, shape `(frames, 120)`: the top 80 dB of mel levels, mapped to -1 … 1."""
    from scipy import fft

    half = _MEL_FRAME // 2
    padded = np.pad(signal, half)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _MEL_FRAME)[::_MEL_HOP]
    spectra = fft.rfft(frames * periodic_hann(_MEL_FRAME), axis=1)
    power = spectra.real**2 + spectra.imag**2
    mel = np.maximum(power @ slaney_filters(RATE_HZ, _MEL_FRAME, _MEL_BANDS).T, 1e-10)
    level_db = 10.0 * np.log10(mel)
    level_db -= level_db.max()
    features: NDArray[np.float32] = ((np.maximum(level_db, -_MEL_RANGE_DB) + 40.0) / 40.0).astype(np.float32)
    return features


@cache
def _session(model: str) -> onnxruntime.InferenceSession:
    """One session per model and process. It uses one thread, because the cores are shared by workers."""
    try:
        import onnxruntime
    except ImportError as error:
        raise _missing("onnxruntime") from error
    options: Any = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        str(_models_folder() / model), sess_options=options, providers=["CPUExecutionProvider"]
    )


def _models_folder() -> Path:
    spec = find_spec("speechmos")
    if spec is None or not spec.submodule_search_locations:
        raise _missing("speechmos")
    return Path(next(iter(spec.submodule_search_locations))) / "dnsmos_models"


def _missing(package: str) -> UsageError:
    return UsageError(
        f"DNSMOS needs {package}, which is not installed", "Run `pip install 'soundsright[validator]'`."
    )
