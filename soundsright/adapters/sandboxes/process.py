"""A model as a plain process, without isolation. Use it only for models that you trust.

The model runs as your user: it can read your files and use the network. The rest is as in the other sandboxes: the
protocol, the deadlines, the clean environment, the measured memory, and the removal of everything at the end.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from soundsright.adapters.sandboxes.connections import unix_connection
from soundsright.adapters.sandboxes.environment import (
    INPUT_FOLDER,
    OUTPUT_FOLDER,
    model_environment,
    write_interpreter,
)
from soundsright.adapters.sandboxes.gpu import GpuPool
from soundsright.adapters.sandboxes.local import LocalSandbox, StartRequest
from soundsright.adapters.sandboxes.private_directories import private_directory
from soundsright.adapters.sandboxes.session import StartedModel
from soundsright.adapters.sandboxes.stopping import StopToken
from soundsright.adapters.sandboxes.supervisor_client import ProgramSpec, supervised_program
from soundsright.core.errors import UsageError
from soundsright.core.submission import FetchedModel


class ProcessSandbox(LocalSandbox):
    """Runs models as plain processes. You must confirm with `trusted` that you trust every model.

    Raises:
        UsageError: `trusted` is false, or `python` is not an executable file.
    """

    name = "process"
    isolated = False

    def __init__(self, python: Path | None = None, *, trusted: bool, gpus: GpuPool | None = None) -> None:
        if not trusted:
            raise UsageError(
                "The process sandbox provides no isolation, and these models may come from other people",
                "Use another --sandbox, or add --trust if you trust every model.",
            )
        super().__init__(python, gpus=gpus)

    def available(self) -> str | None:
        """None: every machine can start a process."""
        return None

    def _check(self, model: FetchedModel) -> None:
        """Accept every model."""

    @contextlib.contextmanager
    def _started(self, request: StartRequest, token: StopToken) -> Iterator[StartedModel]:
        private = private_directory()
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, private, ignore_errors=True)
            address = private / "model.sock"
            home, inputs, outputs = (private / name for name in ("tmp", INPUT_FOLDER.name, OUTPUT_FOLDER.name))
            for folder in (home, inputs, outputs):
                folder.mkdir()
            write_interpreter(private / "bin", self._python)
            limits = request.limits
            environment = model_environment(
                limits,
                path=os.pathsep.join((str(private / "bin"), str(self._python.parent), os.defpath)),
                socket=str(address),
                home=str(home),
                input_folder=str(inputs),
                output_folder=str(outputs),
            )
            # An empty value hides the GPUs that this model did not reserve.
            environment["CUDA_VISIBLE_DEVICES"] = request.gpu.uuid if request.gpu else ""
            spec = ProgramSpec(
                argv=request.command,
                env=environment,
                cwd=str(request.model),
                cpus=request.cpus,
                memory_bytes=limits.memory_bytes,
                pids=limits.pids,
                rlimits={
                    "RLIMIT_CORE": 0,
                    "RLIMIT_NOFILE": limits.open_files,
                    "RLIMIT_FSIZE": limits.tmpfs_bytes,
                },
                remove=(str(private),),
            )
            program = stack.enter_context(supervised_program(spec, log_bytes=limits.log_bytes))

            def open_folder(path: PurePosixPath) -> int:
                return os.open(private / path.name, os.O_RDONLY | os.O_DIRECTORY)

            yield StartedModel(
                started_s=request.started_s,
                by_files=request.by_files,
                connect=partial(unix_connection, str(address)),
                open_folder=open_folder,
                ended=program.fault,
                stop=program.stop,
                log=program.log,
                peak_memory_bytes=lambda: program.peak_memory_bytes,
                restart_peak=program.restart_peak,
            )
