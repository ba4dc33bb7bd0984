"""Wide-band PESQ after Corrigendum 2 to ITU-T P.862 (March 2018), by the reference code of the `pesq` package.

The corrigendum lowers the input filter of the wide-band mode by 12 dB, because the loudness model was fed too high
a level. It changes nothing else. The `pesq` package has the filter of 2005, as nearly all published scores do.

The package keeps the filter's coefficients in a table of its compiled library. This module loads a second copy of
that library and corrects the table of the copy. The package itself stays as it is.
"""

from __future__ import annotations

import ctypes
import shutil
import tempfile
from functools import cache
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import numpy as np

from soundsright.core.audio import Samples
from soundsright.core.errors import UsageError

GAIN = 0.251188
"""-12 dB, with the digits of the corrigendum."""

_TABLE = "WB_InIIR_Hsos_16k"
_COEFFICIENTS = 5
_FEED_FORWARD = 3  # the first coefficients of the filter's one section; the others are its poles


def corrected_pesq(clean: Samples, enhanced: Samples) -> float:
    """MOS-LQO of the enhanced signal at 16 kHz, or one of the package's error codes, which are negative.

    Raises:
        UsageError: the `pesq` package is not installed, or its library hides the table.
    """
    library = _corrected_library()
    with np.errstate(all="ignore"):  # the common peak can be denormal
        peak = max(np.max(np.abs(clean)), np.max(np.abs(enhanced)))
        signals = [(signal / peak).astype(np.float32) for signal in (clean, enhanced)]
    return float(library.cypesq_retvals(16_000, *signals, 1))


@cache
def _corrected_library() -> ModuleType:
    """A copy of the package's compiled library, whose wide-band filter is lower by 12 dB."""
    try:
        from pesq import cypesq
    except ImportError as error:
        raise UsageError(
            "PESQ needs the pesq package, which is not installed", "Run `pip install soundsright`."
        ) from error
    original = Path(cypesq.__file__)
    with tempfile.TemporaryDirectory(prefix="soundsright-pesq-") as folder:
        copied = shutil.copy(original, Path(folder) / original.name)
        try:
            table = (ctypes.c_float * _COEFFICIENTS).in_dll(ctypes.CDLL(str(copied)), _TABLE)
        except ValueError as error:
            raise UsageError(
                f"PESQ_WB_C2 cannot find the filter of P.862.2 in {original}",
                "Run `pip install --force-reinstall pesq==0.0.4`, or leave the metric out.",
            ) from error
        for i in range(_FEED_FORWARD):
            table[i] = GAIN * table[i]
        spec = spec_from_loader(
            "soundsright_pesq.cypesq", ExtensionFileLoader("soundsright_pesq.cypesq", str(copied))
        )
        assert spec is not None
        assert spec.loader is not None
        library = module_from_spec(spec)
        spec.loader.exec_module(library)
    return library
