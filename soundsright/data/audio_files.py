"""Signals are float32, shape `(n,)`, full scale ±1; times in seconds.

libsndfile reads WAV, FLAC, Ogg, MP3 and more; PyAV reads the rest, such as G.722, WebM and M4A. Only the first
channel of a recording is used, because an average of microphones is a comb filter.
"""

from __future__ import annotations

import io
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from soundsright.core.audio import Audio, Samples
from soundsright.core.errors import AudioFileError
from soundsright.core.lfs import LFS_REMEDY, is_lfs_pointer
from soundsright.core.walking import NOT_UTF8, is_utf8, shown_name
from soundsright.data.endings import problem_of_end
from soundsright.data.open_ended import opened

SUFFIXES = frozenset(
    {".aac", ".aif", ".aiff", ".au", ".caf", ".flac", ".g722", ".m4a", ".mka", ".mp3", ".mp4", ".oga", ".ogg"}
    | {".opus", ".rf64", ".w64", ".wav", ".webm", ".wma"}
)
"""The file names in a folder that count as audio."""

MAX_FILE_S = 4 * 3600.0
"""Longer files are refused, because a single one could fill the memory."""
MAX_SAMPLES = round(MAX_FILE_S) * 48_000
"""The most samples of all channels together. A few megabytes of FLAC can state more than fits into memory."""

# G.722 is a bare bit stream: only the suffix says what it is.
_PYAV_FORMATS = {".g722": "g722"}
_ONLY_PYAV = frozenset((*_PYAV_FORMATS, ".m4a", ".mp4", ".aac", ".webm", ".mka", ".wma"))


@dataclass(frozen=True)
class AudioFacts:
    """The facts in a file's header. `frames` is None if the container does not state the length."""

    sample_rate_hz: int
    frames: int | None
    channels: int

    @property
    def duration_s(self) -> float | None:
        return None if self.frames is None else self.frames / self.sample_rate_hz


def facts_of(path: Path) -> AudioFacts:
    """Rate, length and channels from the header; no samples are decoded.

    Raises:
        AudioFileError: the file is missing, empty, truncated or too long, or is not audio.
    """
    _check_size(path)
    if path.suffix.lower() not in _ONLY_PYAV:
        import soundfile

        try:
            with opened(path, MAX_SAMPLES) as file:
                facts = AudioFacts(int(file.samplerate), int(file.frames), int(file.channels))
        except soundfile.LibsndfileError as error:
            if path.suffix.lower() in (".wav", ".flac"):
                raise AudioFileError(path, f"is not a readable audio file ({error})") from error
        else:
            return _checked(path, facts)
    with _open_pyav(path) as container:
        stream = _audio_stream(container, path)
        rate = int(stream.rate or 0)
        length = stream.duration * stream.time_base * rate if stream.duration and stream.time_base else None
        frames = None if length is None else int(length)
        return _checked(path, AudioFacts(rate, frames, int(stream.codec_context.channels)))


def read_file(
    path: Path, *, start_s: float = 0.0, duration_s: float | None = None, any_values: bool = False
) -> Audio:
    """The first channel from `start_s` on, for `duration_s` or to the end, at the file's own rate.

    Raises:
        AudioFileError: the file is missing, empty or truncated, or is not audio; or it has NaN or infinite samples,
            and `any_values` does not allow them.
    """
    facts = facts_of(path)
    start = round(start_s * facts.sample_rate_hz)
    count = -1 if duration_s is None else round(duration_s * facts.sample_rate_hz)
    samples = _read_soundfile(path, start, count) if path.suffix.lower() not in _ONLY_PYAV else None
    if samples is None:
        samples = _read_pyav(path)
        samples = samples[start:] if count < 0 else samples[start : start + count]
    if samples.size == 0:
        raise AudioFileError(path, "has no samples")
    if not any_values and not np.isfinite(samples).all():
        raise AudioFileError(path, "has NaN or infinite samples")
    return Audio(samples, facts.sample_rate_hz)


def read_through(path: Path, block_s: float) -> Iterator[Samples]:
    """The first channel in blocks of `block_s`, at the file's own rate, if libsndfile reads it.

    Only as much of the file is decoded as blocks are taken.

    Raises:
        AudioFileError: the file is missing or damaged, or libsndfile does not read it.
    """
    import soundfile

    if path.suffix.lower() in _ONLY_PYAV:
        raise AudioFileError(path, "cannot be read in blocks")
    try:
        with opened(path, MAX_SAMPLES) as stream:
            count = max(1, round(block_s * stream.samplerate))
            while (samples := stream.read(count, dtype="float32", always_2d=True)[:, 0]).size:
                yield samples
    except soundfile.LibsndfileError as error:
        raise AudioFileError(path, f"cannot be decoded ({error})") from error
    except OSError as error:
        raise AudioFileError(path, f"cannot be read ({error.strerror})") from error


def read_flac(content: bytes, name: object, *, max_s: float = MAX_FILE_S) -> Audio:
    """The first channel of a FLAC file in memory, at its own rate. `name` is shown in errors.

    Raises:
        AudioFileError: the content is not FLAC, is longer than `max_s`, or has no samples.
    """
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(content)) as stream:
            if stream.format != "FLAC":
                raise AudioFileError(name, f"is {stream.format}, not FLAC")
            if stream.frames > max_s * stream.samplerate:
                raise AudioFileError(name, f"is longer than {max_s:.0f} s", "Split the file.")
            if stream.frames * stream.channels > MAX_SAMPLES:
                raise AudioFileError(name, f"has more than {MAX_SAMPLES} samples", "Split the file.")
            samples: Samples = stream.read(dtype="float32", always_2d=True)[:, 0]
            rate = int(stream.samplerate)
    except soundfile.LibsndfileError as error:
        raise AudioFileError(name, f"cannot be decoded ({error})") from error
    if samples.size == 0:
        raise AudioFileError(name, "has no samples")
    return Audio(np.ascontiguousarray(samples), rate)


def resampled(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """The signal at another rate (soxr, HQ setting, no delay); its length is `n * to_hz / from_hz`, rounded."""
    if from_hz == to_hz:
        return samples
    import soxr

    out: Samples = np.ascontiguousarray(soxr.resample(samples, from_hz, to_hz, quality="HQ"), dtype=np.float32)
    return out


def _check_size(path: Path) -> None:
    if not is_utf8(str(path)):
        raise AudioFileError(shown_name(str(path)), NOT_UTF8, "Rename or remove the file.")
    try:
        status = path.stat()
        is_pointer = stat.S_ISREG(status.st_mode) and is_lfs_pointer(path)
    except ValueError as error:
        raise AudioFileError(path, f"cannot be the name of a file ({error})") from error
    except OSError as error:
        if path.is_symlink():
            raise AudioFileError(path, f"is a link that leads nowhere ({error.strerror})") from error
        raise AudioFileError(path, f"cannot be read ({error.strerror})") from error
    if stat.S_ISDIR(status.st_mode):
        raise AudioFileError(path, "is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise AudioFileError(path, "is not a regular file")  # Opening a named pipe would wait for ever.
    size = status.st_size
    if size == 0:
        raise AudioFileError(path, "is empty (0 bytes)")
    if is_pointer:
        raise AudioFileError(path, "is a Git LFS pointer, not a recording", LFS_REMEDY)
    try:
        with path.open("rb") as stream:
            problem = problem_of_end(stream, size, path.suffix.lower())
    except OSError as error:
        raise AudioFileError(path, f"cannot be read ({error.strerror})") from error
    if problem is not None:
        raise AudioFileError(path, problem)


def _checked(path: Path, facts: AudioFacts) -> AudioFacts:
    if facts.sample_rate_hz <= 0 or facts.channels <= 0:
        raise AudioFileError(path, "has no sample rate or no channel")
    if facts.duration_s is not None and facts.duration_s > MAX_FILE_S:
        raise AudioFileError(
            path, f"is {facts.duration_s:.0f} s long; the limit is {MAX_FILE_S:.0f} s", "Split the file."
        )
    if facts.frames is not None and facts.frames * facts.channels > MAX_SAMPLES:
        raise AudioFileError(
            path,
            f"has {facts.frames * facts.channels} samples in {facts.channels} channels; the limit is {MAX_SAMPLES}",
            "Split the file.",
        )
    return facts


def _read_soundfile(path: Path, start: int, count: int) -> Samples | None:
    import soundfile

    try:
        with opened(path, MAX_SAMPLES) as stream:
            if start:
                stream.seek(min(start, stream.frames))
            samples: Samples = stream.read(count, dtype="float32", always_2d=True)[:, 0]
    except soundfile.LibsndfileError as error:
        if path.suffix.lower() in (".wav", ".flac"):
            raise AudioFileError(path, f"cannot be decoded ({error})") from error
        return None
    return np.ascontiguousarray(samples)


def _open_pyav(path: Path) -> Any:
    try:
        import av
    except ImportError as error:
        raise AudioFileError(
            path,
            "has a format that libsndfile does not read",
            "Run `pip install 'soundsright[validator]'` for PyAV.",
        ) from error
    try:
        return av.open(str(path), format=_PYAV_FORMATS.get(path.suffix.lower()))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise AudioFileError(path, f"is not a readable audio file ({error})") from error


def _audio_stream(container: Any, path: Path) -> Any:
    if not container.streams.audio:
        raise AudioFileError(path, "has no audio stream")
    return container.streams.audio[0]


def _read_pyav(path: Path) -> Samples:
    import av

    parts: list[Samples] = []
    total = 0
    with _open_pyav(path) as container:
        stream = _audio_stream(container, path)
        try:
            resampler = av.AudioResampler(format="fltp")
            for frame in container.decode(stream):
                for piece in resampler.resample(frame):
                    parts.append(piece.to_ndarray()[0])
                    total += parts[-1].shape[0]
                if total > MAX_SAMPLES:
                    raise AudioFileError(path, "decodes to more than the limit", "Split the file.")
        except av.FFmpegError as error:
            raise AudioFileError(path, f"cannot be decoded ({error})") from error
    return np.concatenate(parts).astype(np.float32) if parts else np.zeros(0, np.float32)
