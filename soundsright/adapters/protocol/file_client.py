"""The client of the model protocol over files, for models without a web server: see docs/reference/protocol.md.

Signals are float32 arrays of shape `(n,)`, full scale ±1; times are in seconds, sizes in bytes.

Once the model has loaded, it writes a file `ready` into its output folder. A batch is a folder `batch-N` of
degraded WAV files. The client renames it into the input folder when it is complete. The model puts its answer, a
folder of the same name, into the output folder in the same way. The model may control both folders, so the client
follows no link below them, and reads only regular files up to a limit.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from soundsright.adapters.protocol.answers import BatchAnswers, answer_of, max_wav_bytes, wav_name
from soundsright.core.errors import ModelFault, ModelTimeout, ProtocolViolation
from soundsright.core.ports import DegradedClip, SandboxLimits
from soundsright.core.wav import encode_wav

READY = "ready"
_POLL_S = 0.005

OpenFolder = Callable[[], int]
"""Opens a folder and returns its file descriptor, or raises OSError while the folder does not exist."""


class FileModelClient:
    """Talks to one model through its input and output folders, which two functions open.

    `ended` returns the model's fault if its process has ended, otherwise None.
    """

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
        """Remove the last batch from the input folder."""
        with contextlib.suppress(OSError), _opened(self._open_input) as folder:
            _remove_folder(folder, f"batch-{self._batches}")

    def enhance(self, batch: Sequence[DegradedClip]) -> BatchAnswers:
        """One answer per clip, and the seconds from the first file written to the last file read.

        A model could work on files before the batch is complete, and after it renamed its answer. The harness
        encodes the clips before and decodes the answers afterwards, so that its own work does not count.

        Raises:
            ModelFault: the batch as a whole got no answer.
        """
        self._batches += 1
        name = f"batch-{self._batches}"
        audio_s = sum(clip.audio.duration_s for clip in batch)
        files = {wav_name(clip.clip_id): encode_wav(clip.audio) for clip in batch}
        began_s = time.monotonic()
        try:
            self._write(name, files)
        except OSError as e:
            raise self._ended() or ProtocolViolation(f"cannot write {name} into the input folder: {e}") from e
        limit_s = self._limits.enhance_fixed_s + self._limits.enhance_factor * audio_s
        self._wait_for(name, stat.S_ISDIR, time.monotonic() + limit_s, "enhance", limit_s)
        try:
            wav_files = {}
            with _opened(self._open_output) as folder, _opened_below(folder, name) as answer_folder:
                for clip in batch:
                    file = wav_name(clip.clip_id)
                    with contextlib.suppress(FileNotFoundError):
                        wav_files[file] = _read_file(answer_folder, file, max_wav_bytes(clip))
        except OSError as e:
            raise self._ended() or ProtocolViolation(f"cannot read {name} in the output folder: {e}") from e
        waited_s = time.monotonic() - began_s
        return BatchAnswers(tuple(answer_of(clip, wav_files) for clip in batch), waited_s)

    def _write(self, name: str, files: Mapping[str, bytes]) -> None:
        with _opened(self._open_input) as folder:
            os.mkdir(f"{name}.tmp", 0o755, dir_fd=folder)
            with _opened_below(folder, f"{name}.tmp") as batch_folder:
                for file_name, data in files.items():
                    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
                    handle = os.open(file_name, flags, 0o644, dir_fd=batch_folder)
                    with os.fdopen(handle, "wb") as file:
                        file.write(data)
            os.rename(f"{name}.tmp", name, src_dir_fd=folder, dst_dir_fd=folder)

    def _wait_for(self, name: str, kind: Callable[[int], bool], deadline: float, step: str, limit_s: float) -> None:
        while True:
            with contextlib.suppress(OSError), _opened(self._open_output) as folder:
                if kind(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                    return
                expected = "file" if kind is stat.S_ISREG else "folder"
                raise ProtocolViolation(f"{name} in the output folder is not a {expected}")
            if (fault := self._ended()) is not None:
                raise fault
            if time.monotonic() >= deadline:
                raise ModelTimeout(step, limit_s)
            time.sleep(_POLL_S)


@contextlib.contextmanager
def _opened(open_folder: OpenFolder) -> Iterator[int]:
    folder = open_folder()
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
    """The bytes of a regular file, or None if it is larger than the limit."""
    # Without O_NONBLOCK, a pipe in place of the file would block the harness.
    handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(f"{name} is not a regular file")
        data = file.read(limit + 1)
    return data if len(data) <= limit else None


def _remove_folder(folder: int, name: str) -> None:
    with _opened_below(folder, name) as below, os.scandir(below) as files:
        for file in files:
            os.unlink(file.name, dir_fd=below)
    os.rmdir(name, dir_fd=folder)
