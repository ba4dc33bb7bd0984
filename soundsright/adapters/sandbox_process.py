"""A model as a plain process: no isolation, for one's own models only.

It runs as the user, who can read the user's files and reach the network. What it shares with the real sandboxes
is the rest: the protocol, the deadlines, the clean environment, the measured memory, and that nothing is left
behind.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from soundsright.adapters.model_client import ModelClient
from soundsright.adapters.model_files import FileClient
from soundsright.adapters.sandbox_reach import connect_to
from soundsright.adapters.sandbox_resources import CpuPool
from soundsright.adapters.sandbox_session import (
    Client,
    Session,
    loaded,
    model_environment,
    python_command,
    write_interpreter,
)
from soundsright.adapters.sandbox_supervised import Running, Spec, private_directory
from soundsright.core.dockerfile import protocol_of, read_dockerfile
from soundsright.core.ports import SandboxLimits
from soundsright.core.submission import FetchedModel


class ProcessSandbox:
    """`python` runs the models; its packages are theirs."""

    name = "process"
    isolated = False

    def __init__(self, python: Path | None = None) -> None:
        self._python = python or Path(sys.executable)
        self._cpus = CpuPool()
        self._running = Running()

    def stop(self) -> None:
        """End every model that runs here."""
        self._running.stop()

    def available(self) -> str | None:
        """None: a process can always be started."""
        return None

    @contextlib.contextmanager
    def run(self, model: FetchedModel, *, limits: SandboxLimits) -> Iterator[Session]:
        """Start the model and wait until it is ready.

        Raises:
            ModelFault: it did not become ready.
            EngineUnavailable: no process can be started.
        """
        instructions = read_dockerfile(model.path)
        command = python_command(instructions, self._python)
        protocol = protocol_of(instructions)
        private = private_directory()
        address = private / "model.sock"
        folders = [private / name for name in ("tmp", "input", "output")]
        for folder in folders:
            folder.mkdir()
        home, waiting, answers = map(str, folders)
        write_interpreter(private / "bin", self._python)
        with self._cpus.taken(limits.cpus) as cpus:
            spec = Spec(
                argv=command,
                env=model_environment(
                    limits,
                    path=os.pathsep.join((str(private / "bin"), str(self._python.parent), os.defpath)),
                    socket=str(address),
                    home=home,
                    input_folder=waiting,
                    output_folder=answers,
                ),
                cwd=str(model.path),
                cpus=cpus,
                memory_bytes=limits.memory_bytes,
                pids=limits.pids,
                rlimits={
                    "RLIMIT_CORE": 0,
                    "RLIMIT_NOFILE": limits.open_files,
                    "RLIMIT_FSIZE": limits.tmpfs_bytes,
                },
                remove=(str(private),),
            )
            started = time.monotonic()
            with self._running.supervised(spec, log_bytes=limits.log_bytes) as program:
                client: Client
                if protocol == "files":
                    opened = [
                        partial(os.open, folder, os.O_RDONLY | os.O_DIRECTORY) for folder in (waiting, answers)
                    ]
                    client = FileClient(*opened, limits=limits, ended=program.fault)
                else:
                    client = ModelClient(partial(connect_to, str(address)), limits=limits, ended=program.fault)
                yield loaded(
                    client,
                    started=started,
                    load_timeout_s=limits.load_timeout_s,
                    peak_memory_bytes=lambda: program.peak_memory_bytes,
                    log=program.log,
                )
