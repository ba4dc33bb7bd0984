"""Read the recordings of a clip. Signals are float32 arrays of shape `(n,)`, full scale ±1.

A bad clean or noisy recording raises `AudioFileError`, because the user has to replace it. A bad enhanced recording
raises `AudioRejected` with the code of the failure, because that is a result.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from soundsright.core.audio import Audio
from soundsright.core.errors import AudioFileError, AudioRejected

if TYPE_CHECKING:
    from soundsright.data import AudioFacts

_EXACT_HEADERS = frozenset((".aif", ".aiff", ".au", ".caf", ".flac", ".rf64", ".w64", ".wav"))
"""Formats whose headers state the number of samples that the file decodes to."""


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
    from soundsright.data import read_file

    check_header(clip_id, path, clean.sample_rate_hz, len(clean), align=align)
    try:
        audio = read_file(path, any_values=True)
    except AudioFileError as error:
        raise AudioRejected(clip_id, "format", error.problem) from error
    return enhanced_samples(clip_id, audio.samples, audio.sample_rate_hz, clean, align=align)


def check_header(clip_id: str, path: Path, sample_rate_hz: int, frames: int | None, *, align: bool) -> None:
    """Check an enhanced recording against the rate and length of its clean one, by its header alone.

    `frames` is None if the length is not known exactly.

    Raises:
        AudioRejected: the recording cannot be scored.
    """
    from soundsright.metrics import MAX_DELAY_S

    try:
        facts = _facts_of(path)
    except AudioFileError as error:
        raise AudioRejected(clip_id, "format", error.problem) from error
    if facts.sample_rate_hz != sample_rate_hz:
        raise AudioRejected(clip_id, "rate", _other_rate(facts.sample_rate_hz, sample_rate_hz))
    if facts.channels != 1:
        raise AudioRejected(clip_id, "shape", f"{facts.channels} channels, one expected. Write one channel")
    slack = MAX_DELAY_S * sample_rate_hz if align else 0
    own = exact_frames(path, facts)
    if own is not None and frames is not None and abs(own - frames) > slack:
        raise AudioRejected(clip_id, "length", f"{own} samples, {frames} expected")


def exact_frames(path: Path, facts: AudioFacts) -> int | None:
    """The number of samples by the header; None if only decoding shows it, as in compressed formats."""
    return facts.frames if path.suffix.lower() in _EXACT_HEADERS else None


def header_difference(noisy: Path, clean: Path) -> str:
    """As `difference_to_clean`, from the headers alone. Empty also if they do not show the exact lengths.

    Raises:
        AudioFileError: a file cannot be read, or has several channels.
    """
    own, other = mono_facts(noisy), mono_facts(clean)
    lengths = exact_frames(noisy, own), exact_frames(clean, other)
    if own.sample_rate_hz == other.sample_rate_hz and (None in lengths or lengths[0] == lengths[1]):
        return ""
    return (
        f"{own.frames} samples at {own.sample_rate_hz} Hz; the clean recording has {other.frames} at "
        f"{other.sample_rate_hz} Hz"
    )


def _other_rate(own_hz: int, clean_hz: int) -> str:
    return f"{own_hz} Hz, {clean_hz} Hz expected. Resample it to {clean_hz} Hz"


def enhanced_samples(
    clip_id: str, samples: NDArray[Any], sample_rate_hz: int, clean: Audio, *, align: bool
) -> Audio:
    """As `enhanced_audio`, for samples in memory.

    Raises:
        AudioRejected: the samples cannot be scored.
    """
    from soundsright.metrics import MAX_DELAY_S, aligned, checked_enhanced, mono_audio

    one_channel_only = samples.size == max(samples.shape, default=0)
    same_rate = sample_rate_hz == clean.sample_rate_hz
    if align and one_channel_only and same_rate and np.isfinite(samples).all():
        if abs(samples.size - len(clean)) > MAX_DELAY_S * sample_rate_hz:
            raise AudioRejected(clip_id, "length", f"{samples.size} samples, {len(clean)} expected")
        one_channel = mono_audio(clip_id, samples, sample_rate_hz)
        samples = aligned(one_channel.samples, clean.samples, sample_rate_hz).samples
    try:
        return checked_enhanced(clip_id, samples, sample_rate_hz, clean)
    except AudioRejected as error:
        if error.code == "rate":
            raise AudioRejected(clip_id, "rate", _other_rate(sample_rate_hz, clean.sample_rate_hz)) from error
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


def naming_remedy(references: Mapping[str, Path], outputs: Mapping[str, Path]) -> str:
    """How to pair files whose names differ. If all names differ by the same words, the words are named.

    >>> print(naming_remedy({"a": Path("in/a.wav")}, {"a_out": Path("out/a_out.wav")}).partition(". ")[2])
    Each enhanced name has '_out' added, so the first line of a list is `a out/a_out.wav`.
    """
    remedy = "Name each enhanced file like its clean file, or give lists (.scp)"
    first = next(iter(references))
    for name, path in outputs.items():
        start, found, end = name.partition(first)
        if found and all(f"{start}{each}{end}" in outputs for each in references):
            words = " and ".join(repr(part) for part in (start, end) if part)
            line = f"`{first} {path}`"
            return f"{remedy}. Each enhanced name has {words} added, so the first line of a list is {line}."
    return f"{remedy} with a line `clip path` for each clip."
