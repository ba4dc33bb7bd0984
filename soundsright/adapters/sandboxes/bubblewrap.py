"""A model in its own Linux namespaces, created by bubblewrap: no engine, no image, and a start within 0.1 s.

Sizes are in bytes, times in seconds. The model sees `/usr`, the interpreter with its packages below `/opt`, and its
own files at `/model`, all read-only; an empty `/tmp`; its own processes; and a loopback interface without a network
behind it. It is confined by user, PID, mount, network, IPC, UTS and control-group namespaces, a filter of system
calls, and limits on memory and processes. It has no capability and cannot gain one. A control group enforces the
limits. If this process may not create one, strangers' models are refused: only a control group counts the memory
that the kernel holds for a model, such as the buffers of its sockets. The supervisor then measures trusted models.

If root starts bubblewrap, root makes the mounts and the model then runs as a user that owns nothing. Otherwise the
model runs as the starting user in a user namespace, and can read only what was mounted.
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

from soundsright.adapters.sandboxes.bubblewrap_command import bubblewrap_command, system_mounts
from soundsright.adapters.sandboxes.cgroups import ControlGroup, make_control_group
from soundsright.adapters.sandboxes.connections import ModelConnector, SandboxNamespaces
from soundsright.adapters.sandboxes.environment import SHM_BYTES
from soundsright.adapters.sandboxes.exposed import PrivatePaths, exposure, hidden_folders
from soundsright.adapters.sandboxes.interpreter import PythonView, host_view, neutral_view
from soundsright.adapters.sandboxes.local import LocalSandbox, StartRequest
from soundsright.adapters.sandboxes.private_directories import private_directory
from soundsright.adapters.sandboxes.resources import usable_cpus
from soundsright.adapters.sandboxes.seccomp import UNCOUNTED_MEMORY_CALLS, bpf_program
from soundsright.adapters.sandboxes.session import StartedModel
from soundsright.adapters.sandboxes.stopping import StopToken
from soundsright.adapters.sandboxes.supervisor_client import ProgramSpec, SupervisedProgram, supervised_program
from soundsright.adapters.sandboxes.unnamed_mounts import unnamed_mounts
from soundsright.core.errors import EngineUnavailable, InfrastructureFault, ModelFault, UsageError
from soundsright.core.ports import SandboxLimits
from soundsright.core.submission import FetchedModel

_TRIAL_TIMEOUT_S = 20.0
_ADDRESS_SPACE_BYTES = 1 << 36
"""Without a control group, the address space of a process: its page tables can then grow to 1/512 of it."""
_NO_GROUP = "this user may not create a control group, and only that limits all of a stranger's memory"
_GROUP_REMEDY = (
    "Run it as root, or with `systemd-run --user --scope -p Delegate=yes`. Or use --sandbox docker, or add --trust "
    "if you trust every model."
)


class BubblewrapSandbox(LocalSandbox):
    """Runs models under bubblewrap. It gives no GPU to a model, because that would expose the host's driver.

    `trusted` says that you trust every model. They then run even if no control group can limit their memory. The
    sandbox does not start if it would show a path of `private` to a model.

    Raises:
        UsageError: `python` is not an executable file.
    """

    name = "bubblewrap"
    isolated = True

    def __init__(
        self, python: Path | None = None, *, trusted: bool = False, private: PrivatePaths | None = None
    ) -> None:
        super().__init__(python)
        self._trusted = trusted
        self._private = private or PrivatePaths()
        self._hidden: tuple[PurePosixPath, ...] = ()
        self._lock = threading.Lock()
        self._was_tried = False
        self._obstacle: str | None = None
        self._view: PythonView | None = None

    @property
    def _program(self) -> Path:
        return Path(self._view.program) if self._view else self._python

    def available(self) -> str | None:
        """None if this machine can run a model under bubblewrap, otherwise the reason in one line.

        The first call starts a trial program; later calls return its outcome.

        Raises:
            UsageError: a model would see a private path. No other sandbox should take the place of this one then.
        """
        with self._lock:
            if not self._was_tried:
                self._obstacle = self._trial_obstacle()
                self._was_tried = True
            return self._obstacle

    def _check(self, model: FetchedModel) -> None:
        if (obstacle := self.available()) is not None:
            raise EngineUnavailable(
                f"The bubblewrap sandbox does not work on this machine: {obstacle}",
                _GROUP_REMEDY
                if obstacle == _NO_GROUP
                else "Repair or install bubblewrap, or use another --sandbox.",
            )
        if (exposed := exposure([model.path], self._private)) is not None:
            raise EngineUnavailable(exposed.problem, exposed.remedy)
        if os.geteuid() == 0:
            _check_readable(model.path)

    @contextlib.contextmanager
    def _started(self, request: StartRequest, token: StopToken) -> Iterator[StartedModel]:
        with contextlib.ExitStack() as stack:
            bubble = stack.enter_context(
                self._bubble(
                    request.command, request.model, request.limits, request.cpus, by_files=request.by_files
                )
            )
            inside = SandboxNamespaces(bubble.inside_pid)
            connector = stack.enter_context(
                contextlib.closing(ModelConnector(bubble.inside_pid, inside.connect_to_socket))
            )
            yield StartedModel(
                started_s=request.started_s,
                by_files=request.by_files,
                connect=connector.connect,
                open_folder=inside.open_folder,
                ended=bubble.fault,
                stop=bubble.program.stop,
                log=bubble.program.log,
                peak_memory_bytes=lambda: bubble.program.peak_memory_bytes,
                restart_peak=bubble.program.restart_peak,
                listening_ports=inside.listening_ports,
            )

    def _trial_obstacle(self) -> str | None:
        """Why a trial program cannot run under bubblewrap, or None if it ran."""
        if sys.platform != "linux":
            return "it needs Linux"
        programs = ["bwrap", "prlimit", *(["setpriv"] if os.geteuid() == 0 else [])]
        for program in programs:
            if shutil.which(program) is None:
                return f"{program} is not installed"
        try:
            host = host_view(self._python)
            seen = [*system_mounts(), *host.prefixes]
            if (exposed := exposure(seen, self._private, hides=True)) is not None:
                raise UsageError(exposed.problem, exposed.remedy)
            neutral = neutral_view(self._python)
            obstacle = self._view_obstacle(neutral) if neutral else ""
            # An interpreter can need its own path: some name their library by it.
            return obstacle if obstacle is None or obstacle == _NO_GROUP else self._view_obstacle(host)
        except InfrastructureFault as e:
            return e.problem

    def _view_obstacle(self, view: PythonView) -> str | None:
        """Why a trial program does not run with the interpreter shown in this way, or None. The view is kept."""
        self._view = view
        system = ((mount, PurePosixPath(mount)) for mount in system_mounts())
        self._hidden = tuple(
            place / folder.relative_to(source)
            for source, place in (*system, *view.binds)
            for folder in hidden_folders(source, self._private)
        )
        folder = private_directory()
        try:
            folder.chmod(0o755)
            command = (str(view.program), "-c", "")
            with self._bubble(command, folder, SandboxLimits(), usable_cpus(), by_files=False) as bubble:
                deadline = time.monotonic() + _TRIAL_TIMEOUT_S
                while bubble.program.exit_status is None and time.monotonic() < deadline:
                    time.sleep(0.005)
                if bubble.program.exit_status == 0:
                    return None
                return bubble.program.last_line() or f"a trial ended with status {bubble.program.exit_status}"
        except InfrastructureFault as e:
            return _NO_GROUP if _NO_GROUP in e.problem else e.problem
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def _bubble(
        self, command: Sequence[str], model: Path, limits: SandboxLimits, cpus: Sequence[int], *, by_files: bool
    ) -> Iterator[_Bubble]:
        # `inherited` has the files that bubblewrap reads. This process closes them once bubblewrap has started.
        with contextlib.ExitStack() as stack, contextlib.ExitStack() as inherited:
            private = private_directory()
            stack.callback(shutil.rmtree, private, ignore_errors=True)
            status_read_fd, status_write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            stack.callback(os.close, status_read_fd)
            inherited.callback(os.close, status_write_fd)
            group = make_control_group(limits)
            if group is None and not self._trusted:
                raise EngineUnavailable(f"No model was started: {_NO_GROUP}", _GROUP_REMEDY)
            descriptors = [status_write_fd]

            def file_of(content: bytes) -> int:
                file = inherited.enter_context(tempfile.TemporaryFile(dir=private))
                file.write(content)
                file.seek(0)
                descriptors.append(file.fileno())
                return file.fileno()

            assert self._view is not None, "a trial comes before every model"
            sources = [source for source, _ in self._view.binds]
            before, (shown_model, *shown) = unnamed_mounts(private, [model, *sources])
            places = (place for _, place in self._view.binds)
            view = self._view._replace(binds=tuple(zip(shown, places, strict=True)))
            program_filter = bpf_program(also_denied=frozenset() if group else UNCOUNTED_MEMORY_CALLS)
            options, inner_command = bubblewrap_command(
                view,
                command,
                shown_model,
                limits,
                hidden=self._hidden,
                by_files=by_files,
                status_fd=status_write_fd,
                filter_fd=file_of(program_filter),
                file_of=file_of,
            )
            options_fd = file_of(b"\0".join(word.encode() for word in options))
            argv = *before, "bwrap", "--args", str(options_fd), "--", *inner_command
            spec = _program_spec(argv, limits, cpus, group, private, pass_fds=descriptors)
            program = stack.enter_context(supervised_program(spec, log_bytes=limits.log_bytes))
            inherited.close()
            yield _Bubble(program, status_read_fd)


def _program_spec(
    argv: Sequence[str],
    limits: SandboxLimits,
    cpus: Sequence[int],
    group: ControlGroup | None,
    private: Path,
    *,
    pass_fds: Sequence[int],
) -> ProgramSpec:
    return ProgramSpec(
        argv=argv,
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
            **({} if group else {"RLIMIT_AS": _ADDRESS_SPACE_BYTES}),
        },
        cgroups=group.paths if group else (),
        peak_file=group.peak_file if group else "",
        oom_file=group.oom_file if group else "",
        remove=(str(private),),
        pass_fds=pass_fds,
    )


class _Bubble:
    """A running bubblewrap, which reports on its child through the pipe `status_fd`."""

    def __init__(self, program: SupervisedProgram, status_fd: int) -> None:
        self.program = program
        self._status_fd = status_fd
        self._status_lines = b""

    def inside_pid(self) -> int | None:
        """The host's process ID of a process inside the sandbox, or None if it has not started."""
        return self._status("child-pid")

    def fault(self) -> ModelFault | None:
        """How the model ended, or None while it runs.

        Raises:
            EngineUnavailable: bubblewrap ended before it started the model.
        """
        fault = self.program.fault()
        # bubblewrap reports an exit code only for a command that it started, and no model can write to this pipe.
        if fault is not None and not self.program.was_killed and self._status("exit-code") is None:
            raise EngineUnavailable(
                f"bubblewrap did not start the model: {self.program.last_line() or 'it gave no reason'}",
                "Try again. If it fails again, check bubblewrap by hand with `bwrap --ro-bind / / true`.",
            )
        return fault

    def _status(self, name: str) -> int | None:
        """A value that bubblewrap has reported, or None if it has not."""
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self._status_fd, 4_096):
                self._status_lines += part
        return reported_value(self._status_lines, name)


def reported_value(status: bytes, name: str) -> int | None:
    """A value from the JSON lines that bubblewrap has written so far, without a line that is not complete yet.

    >>> reported_value(b'{ "child-pid": 17 }\\n{ "exit-co', "child-pid")
    17
    >>> reported_value(b'{ "child-pid": 17, "cgro', "child-pid") is None
    True
    """
    complete, _, _ = status.rpartition(b"\n")
    for line in complete.splitlines():
        values = json.loads(line)
        if name in values:
            return int(values[name])
    return None


def _check_readable(folder: Path) -> None:
    """Check that a user that owns nothing can read the model. If not, the model is not to blame.

    Raises:
        InfrastructureFault: if that user cannot read a file.
    """
    for path in (folder, *folder.rglob("*")):
        mode = path.lstat().st_mode
        needed = stat.S_IROTH | (stat.S_IXOTH if stat.S_ISDIR(mode) else 0)
        if not stat.S_ISLNK(mode) and mode & needed != needed:
            raise InfrastructureFault(
                f"The sandbox's user cannot read {path}, a file of the model", f"Run `chmod -R a+rX {folder}`."
            )
