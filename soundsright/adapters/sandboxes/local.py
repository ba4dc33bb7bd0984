"""The base of the bubblewrap and process sandboxes: the operator's interpreter runs the model, without an image.

Times are in seconds.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from soundsright.adapters.sandboxes.environment import python_command
from soundsright.adapters.sandboxes.gpu import Gpu, GpuPool
from soundsright.adapters.sandboxes.reservations import ResourcePool
from soundsright.adapters.sandboxes.session import ModelSession, StartedModel, loaded_session
from soundsright.adapters.sandboxes.stopping import StopSource, StopToken
from soundsright.core.dockerfile import protocol_of, read_dockerfile
from soundsright.core.errors import UsageError
from soundsright.core.ports import SandboxLimits
from soundsright.core.submission import FetchedModel


@dataclass(frozen=True)
class StartRequest:
    """A command to start, and its resources. `started_s` is the `time.monotonic()` of the request."""

    command: tuple[str, ...]
    model: Path
    limits: SandboxLimits
    cpus: Sequence[int]
    gpu: Gpu | None
    by_files: bool
    started_s: float


class LocalSandbox(ABC):
    """A sandbox whose models run with the interpreter `python` and its packages, by default the harness's own.

    Each model reserves one GPU of `gpus`, if given.

    Raises:
        UsageError: `python` is not an executable file.
    """

    name: str
    isolated: bool

    def __init__(self, python: Path | None = None, *, gpus: GpuPool | None = None) -> None:
        self._python = checked_interpreter(python) if python else Path(sys.executable)
        self._resources = ResourcePool(gpus)
        self._stop_source = StopSource()

    @property
    def interpreter(self) -> Path:
        """The Python interpreter that runs models."""
        return self._python

    @property
    def _program(self) -> Path:
        """The interpreter's path as a model sees it."""
        return self._python

    @abstractmethod
    def available(self) -> str | None:
        """None if this machine can run models in this sandbox, otherwise the reason in one line."""

    @abstractmethod
    def _started(self, request: StartRequest, token: StopToken) -> AbstractContextManager[StartedModel]: ...

    @abstractmethod
    def _check(self, model: FetchedModel) -> None:
        """Raise if the model cannot run here, before it reserves anything."""

    def prepare(self, model: FetchedModel) -> None:
        """Check the model early. This sandbox builds nothing.

        Raises:
            ModelFault: the Dockerfile has no command.
            InfrastructureFault: the sandbox cannot be used, or it cannot read the model's files.
        """
        self._check(model)
        python_command(read_dockerfile(model.path), self._program)

    @contextlib.contextmanager
    def run(self, model: FetchedModel, *, limits: SandboxLimits) -> Iterator[ModelSession]:
        """Start the model and wait until it is ready.

        Raises:
            ModelFault: the model did not become ready.
            EngineUnavailable: the sandbox cannot start it.
        """
        self._check(model)
        instructions = read_dockerfile(model.path)
        command = python_command(instructions, self._program)
        by_files = protocol_of(instructions) == "files"
        with contextlib.ExitStack() as stack:
            token = stack.enter_context(self._stop_source.token())
            reserved = stack.enter_context(self._resources.reserved(limits.cpus, token))
            gpu_watch = stack.enter_context(reserved.gpu_watch())
            request = StartRequest(
                command, model.path, limits, reserved.cpus, reserved.gpu, by_files, started_s=time.monotonic()
            )
            started = stack.enter_context(self._started(request, token))
            stack.enter_context(token.on_stop(started.stop))
            yield loaded_session(started, limits, gpu_watch=gpu_watch)

    def stop(self) -> None:
        """End every model that runs here."""
        self._stop_source.stop()


def checked_interpreter(python: Path) -> Path:
    """The absolute path of an interpreter.

    Raises:
        UsageError: if it is not an executable file.
    """
    if not python.is_file() or not os.access(python, os.X_OK):
        raise UsageError(
            f"{python} is not an executable file",
            "Give --python the Python interpreter that has the models' packages, such as .venv/bin/python.",
        )
    return python.absolute()
