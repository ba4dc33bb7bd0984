"""What `bubblewrap` and `process` share: a model run by the operator's interpreter instead of an image's.

Times in seconds.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from soundsright.adapters.protocol import Connect
from soundsright.adapters.sandboxes.gpu import Gpu, GpuPool, GpuWatch
from soundsright.adapters.sandboxes.resources import CpuPool
from soundsright.adapters.sandboxes.runs import Run, Runs
from soundsright.adapters.sandboxes.session import Session, client_of, loaded, python_command
from soundsright.adapters.sandboxes.supervised import Supervised
from soundsright.core.dockerfile import protocol_of, read_dockerfile
from soundsright.core.errors import ModelFault, UsageError
from soundsright.core.ports import SandboxLimits
from soundsright.core.submission import FetchedModel


@dataclass(frozen=True)
class Place:
    """A started model, and how it is reached. `listening` are its TCP ports, where they can be seen."""

    program: Supervised
    connect: Connect
    open_folder: Callable[[PurePosixPath], int]
    ended: Callable[[], ModelFault | None]
    listening: Callable[[], Sequence[int]] = tuple


@dataclass(frozen=True)
class Start:
    """What is to be started, and with what."""

    command: tuple[str, ...]
    model: Path
    limits: SandboxLimits
    cpus: Sequence[int]
    gpu: Gpu | None
    by_files: bool


class LocalSandbox(ABC):
    """`python` runs the models; its packages are theirs. A model takes one GPU of `gpus` where there is a pool.

    Raises:
        UsageError: `python` is no program.
    """

    name: str
    isolated: bool

    def __init__(self, python: Path | None = None, *, gpus: GpuPool | None = None) -> None:
        self._python = checked_interpreter(python) if python else Path(sys.executable)
        self._gpus = gpus
        self._cpus = CpuPool()
        self._runs = Runs()

    @abstractmethod
    def available(self) -> str | None:
        """None if a model can be run so on this machine, else the reason in one line."""

    @abstractmethod
    def _started(self, start: Start, run: Run) -> AbstractContextManager[Place]: ...

    @abstractmethod
    def _check(self, model: FetchedModel) -> None:
        """See that the model can be run here, before it takes anything."""

    def prepare(self, model: FetchedModel) -> None:
        """Nothing is built here; what cannot be started is named early.

        Raises:
            ModelFault: the Dockerfile names no command.
            InfrastructureFault: the sandbox cannot be used, or the model's files not be read.
        """
        self._check(model)
        python_command(read_dockerfile(model.path), self._python)

    @contextlib.contextmanager
    def run(self, model: FetchedModel, *, limits: SandboxLimits) -> Iterator[Session]:
        """Start the model and wait until it is ready.

        Raises:
            ModelFault: it did not become ready.
            EngineUnavailable: it cannot be started here.
        """
        self._check(model)
        instructions = read_dockerfile(model.path)
        command = python_command(instructions, self._python)
        by_files = protocol_of(instructions) == "files"
        with contextlib.ExitStack() as stack:
            run = stack.enter_context(self._runs.begun())
            gpu = stack.enter_context(self._gpus.taken(run.check)) if self._gpus else None
            cpus = stack.enter_context(self._cpus.taken(limits.cpus))
            watch = stack.enter_context(GpuWatch(gpu)) if gpu else None
            started = time.monotonic()
            place = stack.enter_context(self._started(Start(command, model.path, limits, cpus, gpu, by_files), run))
            stack.enter_context(run.ended_by(place.program.stop))
            yield loaded(
                client_of(place.connect, place.open_folder, by_files=by_files, limits=limits, ended=place.ended),
                started=started,
                load_timeout_s=limits.load_timeout_s,
                peak_memory_bytes=lambda: place.program.peak_memory_bytes,
                log=place.program.log,
                listening=place.listening,
                gpu=watch,
            )

    def stop(self) -> None:
        """End every model that runs here."""
        self._runs.stop()


def checked_interpreter(python: Path) -> Path:
    """The absolute path of a program.

    Raises:
        UsageError: it is none.
    """
    if not python.is_file() or not os.access(python, os.X_OK):
        raise UsageError(f"{python} is not a program", "Give the interpreter that has the models' packages.")
    return python.absolute()
