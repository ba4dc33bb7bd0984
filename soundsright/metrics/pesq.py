"""PESQ as MOS-LQO, from about 1 (bad) to 4.6 (excellent). Signals are float32, shape `(n,)`.

The `pesq` package is the reference and computes the value. Wide band (ITU-T P.862.2) is defined at 16 kHz, narrow
band (P.862 with P.862.1) at 8 and 16 kHz; other rates are first resampled to 16 kHz by soxr's HQ setting. The
package divides both signals by their common peak.

The package has room for 50 utterances. A clip with more makes it write past its table, which ends the process.
Clips up to 16 s are safe, because an utterance with its pause lasts at least 0.4 s. Longer clips are measured in a
separate process.
"""

from __future__ import annotations

import math
import resource
import subprocess
import sys

import numpy as np

from soundsright.core.audio import Samples
from soundsright.core.errors import UsageError
from soundsright.metrics.corrected_pesq import corrected_pesq

SHORTEST_S = 0.25
LONGEST_IN_PROCESS_S = 16.0

_CORRECTED = "wb-c2"
_LIMIT_FIXED_S = 30.0
_LIMIT_FACTOR = 5.0


def pesq_rate_hz(sample_rate_hz: int, *, wide_band: bool) -> int:
    """The rate in Hz at which PESQ is computed for clips of `sample_rate_hz`.

    >>> pesq_rate_hz(48_000, wide_band=True), pesq_rate_hz(8_000, wide_band=False)
    (16000, 8000)
    """
    return 8_000 if sample_rate_hz == 8_000 and not wide_band else 16_000


def pesq(
    clean: Samples, enhanced: Samples, sample_rate_hz: int, *, wide_band: bool, corrected: bool = False
) -> float | None:
    """MOS-LQO of the enhanced signal; None if PESQ has no value.

    `corrected` applies Corrigendum 2 of 2018, which concerns only the wide band; see `corrected_pesq`.

    PESQ has no value if it finds no speech, if the clip is shorter than 0.25 s, if the enhanced signal is
    negligible beside the clean one, or if a long clip has more than 50 utterances.

    Raises:
        UsageError: the `pesq` package is not installed.
        ValueError: the rate is not one of `pesq_rate_hz`.
    """
    mode = "nb" if not wide_band else _CORRECTED if corrected else "wb"
    if len(clean) <= LONGEST_IN_PROCESS_S * sample_rate_hz:
        return _packaged_pesq(clean, enhanced, sample_rate_hz, mode)
    return _in_own_process(clean, enhanced, sample_rate_hz, mode)


def _packaged_pesq(clean: Samples, enhanced: Samples, sample_rate_hz: int, mode: str) -> float | None:
    try:
        import pesq as package
    except ImportError as error:
        raise UsageError(
            "PESQ needs the pesq package, which is not installed", "Run `pip install soundsright`."
        ) from error
    errors = package.PesqError
    if mode == _CORRECTED:
        score = corrected_pesq(clean, enhanced)
    else:
        with np.errstate(all="ignore"):  # it divides by the common peak, which can be denormal
            score = float(package.pesq(sample_rate_hz, clean, enhanced, mode, on_error=errors.RETURN_VALUES))
    if score in (errors.OUT_OF_MEMORY_REF, errors.OUT_OF_MEMORY_DEG, errors.OUT_OF_MEMORY_TMP):
        raise MemoryError(f"PESQ of {len(clean)} samples")
    return score if math.isfinite(score) and score > 0 else None  # its error codes are negative


def _in_own_process(clean: Samples, enhanced: Samples, sample_rate_hz: int, mode: str) -> float | None:
    """As `_packaged_pesq`, in a separate process, so that a crash or a hang costs only this score."""
    # The process limits its own processor time. So a busy machine changes no score, and the process ends even if
    # this one is killed.
    limit_s = math.ceil(_LIMIT_FIXED_S + _LIMIT_FACTOR * len(clean) / sample_rate_hz)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "soundsright.metrics.pesq", str(sample_rate_hz), mode, str(limit_s)],
        input=clean.tobytes() + enhanced.tobytes(),
        capture_output=True,
        check=False,
    )
    if done.returncode > 0:
        raise RuntimeError(f"PESQ's process failed: {done.stderr.decode(errors='replace')[-500:]}")
    text = done.stdout.decode().strip()
    return float(text) if done.returncode == 0 and text else None


def _main() -> None:
    """Read two float32 signals of one length from standard input, and print their PESQ, or nothing if undefined."""
    limit_s = int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s))
    signals = np.frombuffer(sys.stdin.buffer.read(), dtype=np.float32).reshape(2, -1)
    score = _packaged_pesq(signals[0], signals[1], int(sys.argv[1]), sys.argv[2])
    sys.stdout.write("" if score is None else repr(score))


if __name__ == "__main__":
    _main()
