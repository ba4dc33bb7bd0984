"""A model as a plain process: no isolation, for one's own models only.

It runs as the user, who can read the user's files and reach the network. What it shares with the real sandboxes
is the rest: the protocol, the deadlines, the clean environment, the measured memory, and that nothing is left
behind.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from soundsright.adapters.sandboxes.gpu import GpuPool
from soundsright.adapters.sandboxes.local import LocalSandbox, Place, Start
from soundsright.adapters.sandboxes.reach import connect_to
from soundsright.adapters.sandboxes.runs import Run
from soundsright.adapters.sandboxes.session import INPUT, OUTPUT, model_environment, write_interpreter
from soundsright.adapters.sandboxes.supervised import Spec, private_directory, supervised
from soundsright.core.errors import UsageError
from soundsright.core.submission import FetchedModel


class ProcessSandbox(LocalSandbox):
    """Said twice, or not made: once by choosing it, once by `trusted`, which vouches for every model.

    Raises:
        UsageError: `trusted` is false, or `python` is no program.
    """

    name = "process"
    isolated = False

    def __init__(self, python: Path | None = None, *, trusted: bool, gpus: GpuPool | None = None) -> None:
        if not trusted:
            raise UsageError(
                "The process sandbox holds nothing, and the models may be strangers'",
                "Use another --sandbox, or add --trust if every model is your own.",
            )
        super().__init__(python, gpus=gpus)

    def available(self) -> str | None:
        """None: a process can always be started."""
        return None

    def _check(self, model: FetchedModel) -> None:
        """Any model can be started."""

    @contextlib.contextmanager
    def _started(self, start: Start, run: Run) -> Iterator[Place]:
        private = private_directory()
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, private, ignore_errors=True)
            address = private / "model.sock"
            home, waiting, answers = (private / name for name in ("tmp", INPUT.name, OUTPUT.name))
            for folder in (home, waiting, answers):
                folder.mkdir()
            write_interpreter(private / "bin", self._python)
            limits = start.limits
            spec = Spec(
                argv=start.command,
                env=model_environment(
                    limits,
                    path=os.pathsep.join((str(private / "bin"), str(self._python.parent), os.defpath)),
                    socket=str(address),
                    home=str(home),
                    input_folder=str(waiting),
                    output_folder=str(answers),
                )
                # An empty list hides those that the model was not given.
                | {"CUDA_VISIBLE_DEVICES": start.gpu.uuid if start.gpu else ""},
                cwd=str(start.model),
                cpus=start.cpus,
                memory_bytes=limits.memory_bytes,
                pids=limits.pids,
                rlimits={
                    "RLIMIT_CORE": 0,
                    "RLIMIT_NOFILE": limits.open_files,
                    "RLIMIT_FSIZE": limits.tmpfs_bytes,
                },
                remove=(str(private),),
            )
            program = stack.enter_context(supervised(spec, log_bytes=limits.log_bytes))

            def open_folder(path: PurePosixPath) -> int:
                return os.open(private / path.name, os.O_RDONLY | os.O_DIRECTORY)

            yield Place(program, partial(connect_to, str(address)), open_folder, program.fault)
