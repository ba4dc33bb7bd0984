"""The client of the model protocol over files, for models without a web server: see docs/reference/protocol.md.

Signals are float32, shape `(n,)`, full scale ±1; times in seconds, sizes in bytes.

The model puts `ready` into its output folder once it has loaded. A batch is a folder `batch-N` of degraded WAVs
that appears in the input folder whole, by a rename; its answer is a folder of the same name that appears in the
output folder in the same way. Both folders may belong to the model, so every name below them is opened without
following a link, and only regular files are read, up to a bound.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence

from soundsright.adapters.protocol.client import answer_of, checked_id, widest_bytes
from soundsright.adapters.protocol.wav import encode_wav
from soundsright.core.errors import ModelFault, ModelTimeout, ProtocolViolation
from soundsright.core.ports import Answer, DegradedClip, SandboxLimits

READY = "ready"
_POLL_S = 0.005

OpenFolder = Callable[[], int]
"""Opens a folder and returns its handle, or raises OSError while it is not there."""


class FileClient:
    """Talks to one model through two folders, given as functions that open them."""

    def __init__(
        self,
        open_input: OpenFolder,
        open_output: OpenFolder,
        *,
        limits: SandboxLimits,
        ended: Callable[[], ModelFault | None] = lambda: None,
    ) -> None:
        self._open_input = open_input
        self._open_output = open_output
        self._limits = limits
        self._ended = ended
        self._batches = 0

    def wait_until_ready(self, deadline: float) -> None:
        """Wait for the ready file.

        Raises:
            ModelCrashed: the model ended first.
            ModelTimeout: the file never appeared.
        """
        self._wait_for(READY, stat.S_ISREG, deadline, "loading", self._limits.load_timeout_s)

    def reset(self) -> None:
        """Take the last batch out of the input folder; what the model keeps of it is its own affair."""
        with contextlib.suppress(OSError), _opened(self._open_input) as folder:
            _remove_folder(folder, f"batch-{self._batches}")

    def enhance(self, batch: Sequence[DegradedClip]) -> tuple[tuple[Answer, ...], float]:
        """One answer per clip in the order of the batch, and the seconds between its two renames.

        Raises:
            ModelFault: the batch as a whole got no answer.
        """
        self._batches += 1
        name = f"batch-{self._batches}"
        audio_s = sum(clip.audio.duration_s for clip in batch)
        try:
            self._write(name, batch)
        except OSError as e:
            raise self._ended() or ProtocolViolation(f"the batch cannot be written to the input folder: {e}") from e
        limit_s = self._limits.enhance_fixed_s + self._limits.enhance_factor * audio_s
        started = time.monotonic()
        self._wait_for(name, stat.S_ISDIR, started + limit_s, "enhance", limit_s)
        enhance_s = time.monotonic() - started
        try:
            with _opened(self._open_output) as folder, _opened_below(folder, name) as answers:
                members = {}
                for clip in batch:
                    file = f"{clip.clip_id}.wav"
                    with contextlib.suppress(FileNotFoundError):
                        members[file] = _read_file(answers, file, widest_bytes(clip))
        except OSError as e:
            raise self._ended() or ProtocolViolation(f"the answer {name} cannot be read: {e}") from e
        return tuple(answer_of(clip, members) for clip in batch), enhance_s

    def _write(self, name: str, batch: Sequence[DegradedClip]) -> None:
        with _opened(self._open_input) as folder:
            os.mkdir(f"{name}.tmp", 0o755, dir_fd=folder)
            with _opened_below(folder, f"{name}.tmp") as inside:
                for clip in batch:
                    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
                    handle = os.open(f"{checked_id(clip.clip_id)}.wav", flags, 0o644, dir_fd=inside)
                    with os.fdopen(handle, "wb") as file:
                        file.write(encode_wav(clip.audio))
            os.rename(f"{name}.tmp", name, src_dir_fd=folder, dst_dir_fd=folder)

    def _wait_for(self, name: str, kind: Callable[[int], bool], deadline: float, step: str, limit_s: float) -> None:
        while True:
            with contextlib.suppress(OSError), _opened(self._open_output) as folder:
                if kind(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                    return
                raise ProtocolViolation(f"{name} in the output folder is of the wrong kind")
            if (fault := self._ended()) is not None:
                raise fault
            if time.monotonic() >= deadline:
                raise ModelTimeout(step, limit_s)
            time.sleep(_POLL_S)


@contextlib.contextmanager
def _opened(opening: OpenFolder) -> Iterator[int]:
    folder = opening()
    try:
        yield folder
    finally:
        os.close(folder)


@contextlib.contextmanager
def _opened_below(folder: int, name: str) -> Iterator[int]:
    below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
    try:
        yield below
    finally:
        os.close(below)


def _read_file(folder: int, name: str, limit: int) -> bytes | None:
    """The bytes of a regular file, or None where it is larger than the limit.

    Opened without waiting: a pipe in the place of a file would otherwise hold the harness.
    """
    handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(f"{name} is no regular file")
        data = file.read(limit + 1)
    return data if len(data) <= limit else None


def _remove_folder(folder: int, name: str) -> None:
    with _opened_below(folder, name) as inside, os.scandir(inside) as files:
        for file in files:
            os.unlink(file.name, dir_fd=inside)
    os.rmdir(name, dir_fd=folder)
