"""Read the recordings of a clip. Signals are float32 arrays of shape `(n,)`, full scale ±1.

A bad clean or noisy recording raises `AudioFileError`, because the user has to replace it. A bad enhanced recording
raises `AudioRejected` with the code of the failure, because that is a result.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from soundsright.core.audio import Audio
from soundsright.core.errors import AudioFileError, AudioRejected

if TYPE_CHECKING:
    from soundsright.data import AudioFacts


def reference_audio(path: Path) -> Audio:
    """A clean or noisy recording.

    Raises:
        AudioFileError: the file is missing, has no audio, has several channels, or has NaN or infinite samples.
    """
    from soundsright.data import read_file

    mono_facts(path)
    return read_file(path)


def difference_to_clean(noisy: Audio, clean: Audio) -> str:
    """The difference in length or rate between a noisy recording and its clean one. Empty if there is none.

    >>> tone = np.zeros(4, np.float32)
    >>> difference_to_clean(Audio(tone[:3], 8_000), Audio(tone, 8_000))
    '3 samples at 8000 Hz; the clean recording has 4 at 8000 Hz'
    """
    if (len(noisy), noisy.sample_rate_hz) == (len(clean), clean.sample_rate_hz):
        return ""
    return (
        f"{len(noisy)} samples at {noisy.sample_rate_hz} Hz; the clean recording has {len(clean)} at "
        f"{clean.sample_rate_hz} Hz"
    )


def enhanced_audio(clip_id: str, path: Path, clean: Audio, *, align: bool) -> Audio:
    """An enhanced recording that `metrics.checked_enhanced` accepts.

    With `align`, its delay and length are corrected first, up to `metrics.MAX_DELAY_S`.

    Raises:
        AudioRejected: the recording cannot be scored.
    """
    import soundfile

    from soundsright.metrics import MAX_DELAY_S

    try:
        facts = _facts_of(path)
    except AudioFileError as error:
        raise AudioRejected(clip_id, "format", error.problem) from error
    slack = round(MAX_DELAY_S * clean.sample_rate_hz) if align else 0
    if facts.sample_rate_hz == clean.sample_rate_hz and (
        facts.frames is None or abs(facts.frames - len(clean)) > slack
    ):
        raise AudioRejected(clip_id, "length", f"{facts.frames} samples, {len(clean)} expected")
    try:
        samples, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise AudioRejected(clip_id, "format", f"cannot be decoded ({error})") from error
    return enhanced_samples(clip_id, samples, int(rate), clean, align=align)


def enhanced_samples(
    clip_id: str, samples: NDArray[Any], sample_rate_hz: int, clean: Audio, *, align: bool
) -> Audio:
    """As `enhanced_audio`, for samples in memory.

    Raises:
        AudioRejected: the samples cannot be scored.
    """
    from soundsright.metrics import aligned, checked_enhanced, mono_audio

    if align and samples.size == max(samples.shape) and np.isfinite(samples).all():
        one_channel = mono_audio(clip_id, samples, sample_rate_hz)
        samples = aligned(one_channel.samples, clean.samples, sample_rate_hz).samples
    try:
        return checked_enhanced(clip_id, samples, sample_rate_hz, clean)
    except AudioRejected as error:
        if error.code == "rate":
            remedy = f"Resample it to {clean.sample_rate_hz} Hz"
            raise AudioRejected(clip_id, error.code, f"{error}. {remedy}") from error
        if error.code == "shape" and samples.ndim == 2:
            channels = f"{min(samples.shape)} channels, one expected. Write one channel"
            raise AudioRejected(clip_id, error.code, channels) from error
        raise


def mono_facts(path: Path) -> AudioFacts:
    """The facts of a recording in the file's header.

    Raises:
        AudioFileError: the file cannot be read, or has several channels.
    """
    if (facts := _facts_of(path)).channels != 1:
        raise AudioFileError(path, f"has {facts.channels} channels", "Give a file with one channel.")
    return facts


def _facts_of(path: Path) -> AudioFacts:
    """As `data.facts_of`, but a folder or an unreadable file is an `AudioFileError` too."""
    from soundsright.data import facts_of

    try:
        return facts_of(path)
    except OSError as error:
        raise AudioFileError(path, f"cannot be read ({error.strerror})") from error
