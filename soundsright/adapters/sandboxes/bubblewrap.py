"""A model in namespaces of its own, made by bubblewrap: no engine, no image, started in a tenth of a second.

Sizes in bytes, times in seconds. What it finds: `/usr`, the interpreter and its packages, and its own files at
`/model`, all read-only; an empty `/tmp`; its own processes; a loopback interface that leads nowhere. What holds
it: user, PID, mount, network, IPC, UTS and control-group namespaces; no capability and no way to one; a list of
allowed system calls; limits on memory and processes by a control group where one can be made, and by the
supervisor elsewhere.

Started by root, bubblewrap makes the mounts as root and the model then runs as a user that owns nothing. Started by
anybody else it is that user within a user namespace, and reads only what was mounted.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from soundsright.adapters.sandboxes.bubblewrap_command import bubblewrap_arguments, python_mounts
from soundsright.adapters.sandboxes.cgroups import make_control_group
from soundsright.adapters.sandboxes.local import LocalSandbox, Place, Start
from soundsright.adapters.sandboxes.reach import Way, connect_inside, listening_ports, open_inside
from soundsright.adapters.sandboxes.resources import usable_cpus
from soundsright.adapters.sandboxes.runs import Run
from soundsright.adapters.sandboxes.seccomp import UNMEASURED, bpf_program
from soundsright.adapters.sandboxes.session import SHM_BYTES, SOCKET, write_interpreter
from soundsright.adapters.sandboxes.supervised import Spec, Supervised, private_directory, supervised
from soundsright.core.errors import EngineUnavailable, InfrastructureFault, ModelFault
from soundsright.core.ports import SandboxLimits
from soundsright.core.submission import FetchedModel

_TRIAL_TIMEOUT_S = 20.0


class BubblewrapSandbox(LocalSandbox):
    """It gives out no GPU: what would have to be passed in is the driver's, whole.

    Raises:
        UsageError: `python` is no program.
    """

    name = "bubblewrap"
    isolated = True

    def __init__(self, python: Path | None = None) -> None:
        super().__init__(python)
        self._lock = threading.Lock()
        self._tried = False
        self._obstacle: str | None = None
        self._mounts: tuple[Path, ...] = ()

    def available(self) -> str | None:
        """None if a model can be run so on this machine, else the reason in one line. Tried once, for real."""
        with self._lock:
            if not self._tried:
                self._obstacle = self._try()
                self._tried = True
            return self._obstacle

    def _check(self, model: FetchedModel) -> None:
        if (obstacle := self.available()) is not None:
            raise EngineUnavailable(f"bubblewrap cannot be used: {obstacle}", "Install it, or use another sandbox.")
        if os.geteuid() == 0:
            _check_readable(model.path)

    @contextlib.contextmanager
    def _started(self, start: Start, run: Run) -> Iterator[Place]:
        with contextlib.ExitStack() as stack:
            bubble = stack.enter_context(
                self._bubble(start.command, start.model, start.limits, start.cpus, by_files=start.by_files)
            )
            by_socket = connect_inside(bubble.inside_pid, SOCKET)
            way = stack.enter_context(contextlib.closing(Way(bubble.inside_pid, by_socket)))

            def listening() -> tuple[int, ...]:
                pid = bubble.inside_pid()
                return listening_ports(pid) if pid is not None else ()

            yield Place(bubble.program, way.connect, bubble.open_folder, bubble.fault, listening)

    def _try(self) -> str | None:
        if sys.platform != "linux":
            return "it needs Linux"
        needed = ["bwrap", "prlimit", *(["setpriv"] if os.geteuid() == 0 else [])]
        for program in needed:
            if shutil.which(program) is None:
                return f"{program} is not installed"
        folder = private_directory()
        try:
            folder.chmod(0o755)
            self._mounts = python_mounts(self._python)
            command = (str(self._python), "-c", "")
            with self._bubble(command, folder, SandboxLimits(), usable_cpus(), by_files=False) as bubble:
                until = time.monotonic() + _TRIAL_TIMEOUT_S
                while bubble.program.exit_status is None and time.monotonic() < until:
                    time.sleep(0.005)
                if bubble.program.exit_status == 0:
                    return None
                return bubble.program.last_line() or f"a trial ended with status {bubble.program.exit_status}"
        except InfrastructureFault as e:
            return e.problem
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def _bubble(
        self, command: Sequence[str], model: Path, limits: SandboxLimits, cpus: Sequence[int], *, by_files: bool
    ) -> Iterator[_Bubble]:
        with contextlib.ExitStack() as stack, contextlib.ExitStack() as given_away:
            private = private_directory()
            stack.callback(shutil.rmtree, private, ignore_errors=True)
            # World-readable on purpose: inside, the model's user must read its own name.
            private.chmod(0o755)
            (private / "passwd").write_text("root:x:0:0::/:/bin/false\nmodel:x:1000:1000::/tmp:/bin/false\n")
            write_interpreter(private / "bin", self._python)
            status_out, status_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            stack.callback(os.close, status_out)
            given_away.callback(os.close, status_in)
            filter_out = given_away.enter_context(tempfile.TemporaryFile(dir=private))
            group = make_control_group(limits)
            filter_out.write(bpf_program(also_denied=frozenset() if group else UNMEASURED))
            options, inner = bubblewrap_arguments(
                self._mounts,
                command,
                model,
                private,
                limits,
                by_files=by_files,
                status_fd=status_in,
                filter_fd=filter_out.fileno(),
            )
            options_out = given_away.enter_context(tempfile.TemporaryFile(dir=private))
            options_out.write(b"\0".join(word.encode() for word in options))
            for file in (filter_out, options_out):
                file.seek(0)
            spec = Spec(
                argv=("bwrap", "--args", str(options_out.fileno()), "--", *inner),
                env={"PATH": os.defpath},
                cwd="/",
                cpus=cpus,
                memory_bytes=limits.memory_bytes,
                pids=limits.pids,
                rlimits={
                    "RLIMIT_CORE": 0,
                    "RLIMIT_NOFILE": limits.open_files,
                    "RLIMIT_FSIZE": limits.tmpfs_bytes,
                    "RLIMIT_MEMLOCK": SHM_BYTES,
                    "RLIMIT_MSGQUEUE": 0,
                },
                cgroups=group.paths if group else (),
                peak_file=group.peak_file if group else "",
                oom_file=group.oom_file if group else "",
                remove=(str(private),),
                pass_fds=(status_in, filter_out.fileno(), options_out.fileno()),
            )
            program = stack.enter_context(supervised(spec, log_bytes=limits.log_bytes))
            given_away.close()
            yield _Bubble(program, status_out)


class _Bubble:
    """A running bubblewrap; `status_fd` is where it tells of its child."""

    def __init__(self, program: Supervised, status_fd: int) -> None:
        self.program = program
        self._status_fd = status_fd
        self._told = b""

    def inside_pid(self) -> int | None:
        """A process whose root is the sandbox's, as the host numbers it."""
        return self._fact("child-pid")

    def open_folder(self, path: PurePosixPath) -> int:
        """A handle on a folder of the sandbox.

        Raises:
            OSError: if it is not there yet.
        """
        pid = self.inside_pid()
        if pid is None:
            raise FileNotFoundError("the sandbox has not started")
        return open_inside(pid, path, os.O_RDONLY | os.O_DIRECTORY)

    def fault(self) -> ModelFault | None:
        """How the model ended, or None while it runs.

        Raises:
            EngineUnavailable: bubblewrap ended without ever having started it.
        """
        fault = self.program.fault()
        if fault is not None and not self.program.was_killed and self._fact("exit-code") is None:
            # It tells an exit code only of a command that it did start, and no model can write here.
            raise EngineUnavailable(
                f"bubblewrap did not start the model: {self.program.last_line() or 'no reason given'}",
                "Try again; if it stays, run `bwrap --ro-bind / / true` by hand.",
            )
        return fault

    def _fact(self, name: str) -> int | None:
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self._status_fd, 4_096):
                self._told += part
        for line in self._told.splitlines():
            facts = json.loads(line)
            if name in facts:
                return int(facts[name])
        return None


def _check_readable(folder: Path) -> None:
    """Whether a user that owns nothing can read the model, which is no fault of the model's.

    Raises:
        InfrastructureFault: if not.
    """
    for path in (folder, *folder.rglob("*")):
        mode = path.lstat().st_mode
        needed = stat.S_IROTH | (stat.S_IXOTH if stat.S_ISDIR(mode) else 0)
        if not stat.S_ISLNK(mode) and mode & needed != needed:
            raise InfrastructureFault(
                f"The model's files at {path} cannot be read by others", f"Run `chmod -R a+rX {folder}`."
            )
