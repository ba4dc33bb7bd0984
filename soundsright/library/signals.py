"""One signal from an array or a file. Signals are float32, shape `(n,)`, full scale ±1."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from soundsright.core.audio import Audio
from soundsright.core.errors import AudioRejected, UsageError

Signal: TypeAlias = NDArray[Any] | Audio | str | os.PathLike[str]
"""An array of shape `(n,)`, `(n, 1)` or `(1, n)`, an `Audio`, or the path of a recording with one channel."""


def reference(name: str, signal: Signal, sample_rate_hz: int | None) -> Audio:
    """The clean or noisy signal of an utterance. `name` names it in messages.

    Raises:
        UsageError: an array has no rate, a wrong shape or type, or is not finite; a recording cannot be used, or
            its rate is not `sample_rate_hz`.
    """
    from soundsright.metrics import mono_audio
    from soundsright.services.scoring import reference_audio

    if isinstance(signal, str | os.PathLike):
        audio = reference_audio(Path(signal))
        name = os.fspath(signal)
    else:
        rate = signal.sample_rate_hz if isinstance(signal, Audio) else checked_rate(name, sample_rate_hz)
        try:
            audio = mono_audio(name, _samples_of(signal), rate)
        except AudioRejected as error:
            raise UsageError(f"The {name} signal has {error}", "Give one channel of finite samples.") from error
        name = f"The {name} signal"
    if sample_rate_hz not in (None, audio.sample_rate_hz):
        raise UsageError(
            f"{name} has a rate of {audio.sample_rate_hz} Hz, not {sample_rate_hz} Hz",
            "Leave the rate out, or resample the signal.",
        )
    return audio


def enhanced(signal: Signal, clean: Audio, sample_rate_hz: int | None, *, align: bool) -> Audio:
    """The enhanced signal of an utterance, at the rate and length of `clean`.

    With `align`, a delay and another length of up to 0.5 s are corrected first.

    Raises:
        AudioRejected: it cannot be scored; `code` is `rate`, `shape`, `length`, `format` or `not_finite`.
        UsageError: the file is missing.
    """
    from soundsright.services.scoring import enhanced_audio, enhanced_samples

    if isinstance(signal, str | os.PathLike):
        path = Path(signal)
        if not path.exists():
            raise UsageError(f"There is no file {path}", "Give the path of the enhanced recording.")
        return enhanced_audio("enhanced", path, clean, align=align)
    if isinstance(signal, Audio):
        sample_rate_hz = signal.sample_rate_hz
    rate = clean.sample_rate_hz if sample_rate_hz is None else sample_rate_hz
    return enhanced_samples("enhanced", _samples_of(signal), rate, clean, align=align)


def _samples_of(signal: NDArray[Any] | Audio) -> NDArray[Any]:
    return signal.samples if isinstance(signal, Audio) else np.asarray(signal)


def checked_rate(name: str, sample_rate_hz: int | None) -> int:
    """The rate of an array.

    Raises:
        UsageError: it is missing or not positive.
    """
    if sample_rate_hz is None:
        raise UsageError(f"The {name} signal is an array and has no sample rate", "Give sample_rate_hz.")
    if sample_rate_hz <= 0:
        raise UsageError(f"The sample rate {sample_rate_hz} Hz is not positive", "Give the rate in Hz.")
    return int(sample_rate_hz)
