"""ViSQOL, version 3, in its speech mode. Signals are float32, shape `(n,)`, at 16 kHz.

ViSQOL compares patches of two spectrograms of 21 gammatone bands, and maps their similarity to a rating from 1 to
5. Two maps are in use. This is the lattice network, the default of version 3. The older exponential map rates
noisy speech higher, by 0.7 to 1.6 on three clips, and identical signals 5 instead of about 4.6.

The `visqol-python` package (Apache-2.0) computes the similarities; `ai-edge-litert` runs the network.

Source: Chinen, Lim, Skoglund, Gureev, O'Gorman, Hines, "ViSQOL v3: An Open Source Production Ready Objective
Speech and Audio Metric", QoMEX 2020.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from soundsright.core.audio import Samples
from soundsright.core.errors import UsageError

RATE_HZ = 16_000
INSTALL = "pip install ai-edge-litert==2.3.0 && pip install --no-deps visqol-python==3.8.0"

_BANDS = 21
_MEDIAN = 0.5
_LITTLE_SPEECH = ("Too few samples", "smaller than minimum patch size", "too short, different, or misaligned")
"""Parts of the messages of visqol-python 3.8.0 for clips without a patch of speech that can be compared."""

_NETWORK = "lattice_tcditugenmeetpackhref_ls2_nl60_lr12_bs2048_learn.005_ep2400_train1_7_raw.tflite"


def visqol(clean: Samples, enhanced: Samples) -> float | None:
    """The rating of the enhanced signal, 1 to 5; more is better. None if no patch of speech can be compared.

    Raises:
        UsageError: visqol-python or ai-edge-litert is not installed.
    """
    peaks = [float(np.max(np.abs(samples), initial=0.0)) for samples in (clean, enhanced)]
    if min(peaks) == 0.0:
        return None
    # ViSQOL brings the enhanced signal to the clean one's level. This makes every finite float32 possible.
    signals = clean.astype(np.float64), enhanced * np.float64(peaks[0] / peaks[1])
    try:
        found = _api().measure_from_arrays(*signals, sample_rate=RATE_HZ)
    except ValueError as error:
        if any(message in str(error) for message in _LITTLE_SPEECH):
            return None
        raise
    except IndexError as error:
        if _had_no_patches(error):
            return None
        raise
    features = {
        "fvnsim": found.fvnsim,
        "fvnsim10_": found.fvnsim10,
        "fstdnsim": found.fstdnsim,
        "fvdegenergy": found.fvdegenergy,
    }
    return _rating(features)


def _had_no_patches(error: IndexError) -> bool:
    """Whether the package took the first of no patches: it does so if no patch of the clean signal is speech."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback is not None and traceback.tb_frame.f_locals.get("ref_patches") == []


def _rating(features: Mapping[str, Any]) -> float:
    """The rating by the lattice network, from four features of each band."""
    inputs = {
        f"{name}{band}": np.array([values[band]], np.float32)
        for name, values in features.items()
        for band in range(_BANDS)
    }
    rated = _network()(**inputs, tau=np.array([_MEDIAN], np.float32))
    return float(rated["predictions"].reshape(-1)[0])


@cache
def _api() -> Any:
    try:
        from visqol import VisqolApi
    except ImportError as error:
        raise UsageError(f"visqol-python cannot be imported: {error}", f"Run `{INSTALL}`.") from error
    logging.getLogger("visqol").setLevel(logging.ERROR)
    api = VisqolApi()
    api.create(mode="speech", use_lattice_model=False)
    return api


@cache
def _network() -> Any:
    """The function of the network. It runs on one thread, without the kernels chosen by processor."""
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except ImportError as error:
        raise UsageError(f"ai-edge-litert cannot be imported: {error}", f"Run `{INSTALL}`.") from error
    spec = find_spec("visqol")
    if spec is None or not spec.submodule_search_locations:
        raise UsageError("visqol-python is not installed", f"Run `{INSTALL}`.")
    network = Path(next(iter(spec.submodule_search_locations))) / "model" / _NETWORK
    interpreter = Interpreter(
        model_content=network.read_bytes(),
        num_threads=1,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    return interpreter.get_signature_runner("predict")
