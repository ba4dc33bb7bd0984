"""A model that has loaded: batches go in, answers come out, and the host measures.

Times in seconds, sizes in bytes.
"""

from __future__ import annotations

import contextlib
import math
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Protocol

from soundsright.adapters.protocol import Connect, FileClient, ModelClient
from soundsright.adapters.sandboxes.gpu import GpuWatch
from soundsright.adapters.sandboxes.reach import TCP_PORT
from soundsright.core.dockerfile import Instruction, command_of
from soundsright.core.errors import ModelFault, ModelTimeout, ProtocolViolation
from soundsright.core.ports import Answer, DegradedClip, SandboxLimits
from soundsright.core.results import Timing

FOLDER = PurePosixPath("/run/soundsright")
SOCKET = FOLDER / "model.sock"
INPUT, OUTPUT = PurePosixPath("/input"), PurePosixPath("/output")
"""What a model finds in an isolated sandbox."""

FAULT_LOG_CHARS = 4_000
_LOG_PATIENCE_S, _LOG_PAUSE_S = 0.5, 0.1

SHM_BYTES = 67_108_864
RUN_BYTES = 1_048_576
"""Sizes of `/dev/shm` and of the socket's folder."""

FIRST_UID, UIDS = 2_000_000, 1_000_000
"""User numbers that no account has; each model gets one by chance, so that none can signal or count another's."""


class Client(Protocol):
    """One side of a protocol: by HTTP or by files."""

    def wait_until_ready(self, deadline: float) -> None: ...
    def reset(self) -> None: ...
    def enhance(self, batch: Sequence[DegradedClip]) -> tuple[tuple[Answer, ...], float]: ...


def client_of(
    connect: Connect,
    open_folder: Callable[[PurePosixPath], int],
    *,
    by_files: bool,
    limits: SandboxLimits,
    ended: Callable[[], ModelFault | None],
) -> Client:
    """The side of the protocol that the model's own speaks to."""
    if by_files:
        return FileClient(partial(open_folder, INPUT), partial(open_folder, OUTPUT), limits=limits, ended=ended)
    return ModelClient(connect, limits=limits, ended=ended)


class Session:
    """A `RunningModel` over a client. `peak_memory_bytes` and `log` ask the sandbox, `gpu` watches the model's."""

    def __init__(
        self,
        client: Client,
        *,
        load_s: float,
        build_s: float,
        peak_memory_bytes: Callable[[], int],
        log: Callable[[], str],
        gpu: GpuWatch | None,
    ) -> None:
        self._client = client
        self._load_s = load_s
        self._build_s = build_s
        self._peak_memory_bytes = peak_memory_bytes
        self._gpu = gpu
        self._enhance_s = 0.0
        self._audio_s = 0.0
        self._fed = False
        self.log = log

    def enhance(self, batch: Sequence[DegradedClip]) -> tuple[Answer, ...]:
        """One answer per clip, in the order of the batch; the model is reset before every batch but the first.

        Raises:
            ModelFault: the batch as a whole got no answer.
        """
        if not batch:
            return ()
        if self._fed:
            with _telling(self.log):
                self._client.reset()
        self._fed = True
        with _telling(self.log):
            answers, enhance_s = self._client.enhance(batch)
        self._enhance_s += enhance_s
        self._audio_s += sum(clip.audio.duration_s for clip in batch)
        return _timed(answers, batch, enhance_s)

    @property
    def timing(self) -> Timing:
        use = self._gpu.seen() if self._gpu else None
        return Timing(
            load_s=self._load_s,
            enhance_s=self._enhance_s,
            audio_s=self._audio_s,
            peak_memory_bytes=self._peak_memory_bytes(),
            build_s=self._build_s,
            peak_gpu_memory_bytes=use.memory_bytes if use else None,
            gpu_utilisation=use.utilisation_percent / 100 if use else None,
        )


def _timed(answers: Sequence[Answer], batch: Sequence[DegradedClip], elapsed_s: float) -> tuple[Answer, ...]:
    """The answers, each with its part of the batch's time.

    A model gets the whole batch at once, so the time is divided in proportion to the clips' durations.
    """
    samples = sum(len(clip.audio) for clip in batch)
    return tuple(
        replace(answer, elapsed_s=elapsed_s * len(clip.audio) / samples if samples else elapsed_s / len(batch))
        for answer, clip in zip(answers, batch, strict=True)
    )


@contextlib.contextmanager
def _telling(log: Callable[[], str]) -> Iterator[None]:
    """What the model wrote last goes with its fault, so that its author can see why."""
    try:
        yield
    except ModelFault as fault:
        # A server answers 500 first and writes its traceback then: wait until it has stopped writing.
        deadline, seen = time.monotonic() + _LOG_PATIENCE_S, ""
        while time.monotonic() < deadline and (not seen or seen != log()):
            seen = log()
            time.sleep(_LOG_PAUSE_S)
        fault.log = log()[-FAULT_LOG_CHARS:]
        raise


def loaded(
    client: Client,
    *,
    started: float,
    load_timeout_s: float,
    peak_memory_bytes: Callable[[], int],
    log: Callable[[], str],
    listening: Callable[[], Sequence[int]] = tuple,
    build_s: float = 0.0,
    gpu: GpuWatch | None = None,
) -> Session:
    """The session, once the model is ready; `started` is the monotonic time of its start.

    Raises:
        ModelFault: it did not become ready.
    """
    with _telling(log):
        try:
            client.wait_until_ready(started + load_timeout_s)
        except ModelTimeout as e:
            elsewhere = ", ".join(str(port) for port in listening() if port != TCP_PORT)
            if not elsewhere:
                raise
            raise ProtocolViolation(
                f"the model listens on TCP port {elsewhere}, and neither on the socket that SOUNDSRIGHT_SOCKET "
                f"names nor on port {TCP_PORT}"
            ) from e
    return Session(
        client,
        load_s=time.monotonic() - started,
        build_s=build_s,
        peak_memory_bytes=peak_memory_bytes,
        log=log,
        gpu=gpu,
    )


def python_command(instructions: tuple[Instruction, ...], python: Path) -> tuple[str, ...]:
    """The command of a model's Dockerfile, with `python` in place of the image's own.

    Raises:
        ProtocolViolation: if the Dockerfile names none.
    """
    first, *rest = command_of(instructions)
    name = first.rpartition("/")[2]
    return (str(python) if name.startswith("python") else first, *rest)


def write_interpreter(folder: Path, python: Path) -> None:
    """Make a folder in which `python` and `python3` are that interpreter, for commands that are run by a shell.

    Scripts, not links: through a link an interpreter would not find its virtual environment.
    """
    folder.mkdir()
    folder.chmod(0o755)
    for name in ("python", "python3"):
        (folder / name).write_text(f'#!/bin/sh\nexec {shlex.quote(str(python))} "$@"\n')
        (folder / name).chmod(0o755)


def model_environment(
    limits: SandboxLimits,
    *,
    path: str,
    socket: str = str(SOCKET),
    home: str = "/tmp",
    input_folder: str = str(INPUT),
    output_folder: str = str(OUTPUT),
) -> dict[str, str]:
    """All that a model finds in its environment."""
    threads = str(max(1, math.ceil(limits.cpus)))
    return {
        "PATH": path,
        "LANG": "C.UTF-8",
        "HOME": home,
        "TMPDIR": home,
        "SOUNDSRIGHT_SOCKET": socket,
        "SOUNDSRIGHT_INPUT": input_folder,
        "SOUNDSRIGHT_OUTPUT": output_folder,
        "SOUNDSRIGHT_CPUS": threads,
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "NUMBA_NUM_THREADS": threads,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }
