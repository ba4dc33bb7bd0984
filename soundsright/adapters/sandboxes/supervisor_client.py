"""Starts a model's program under a supervisor process, watches it, and ends it.

The supervisor (supervisor.py) is the program's parent. It ends the program and everything that the program started,
even if the harness is killed. Times are in seconds, sizes in bytes.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from soundsright.adapters.sandboxes.group_peak import GroupPeak
from soundsright.adapters.sandboxes.stopping import STOPPED
from soundsright.core.errors import (
    EngineUnavailable,
    InfrastructureFault,
    ModelCrashed,
    ModelFault,
    printable,
)

_READ_BYTES = 1 << 16
_CLOSE_TIMEOUT_S = 30.0
_RESTART_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class ProgramSpec:
    """The program that the supervisor starts, and its limits.

    The program joins `cgroups`. At the end, the supervisor removes them and the directories in `remove`.
    `peak_file` and `oom_file` belong to a memory control group. If they are empty, the supervisor itself measures
    and enforces `memory_bytes` and `pids`, four times a second.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    cpus: Sequence[int]
    memory_bytes: int
    pids: int
    rlimits: Mapping[str, int] = field(default_factory=dict)
    cgroups: Sequence[str] = ()
    peak_file: str = ""
    oom_file: str = ""
    remove: Sequence[str] = ()
    pass_fds: Sequence[int] = ()


class SupervisedProgram:
    """A program that runs under a supervisor. `close` ends it and waits until all its processes have ended.

    Raises:
        EngineUnavailable: the supervisor cannot be started.
    """

    def __init__(self, spec: ProgramSpec, *, log_bytes: int) -> None:
        self._spec = spec
        self._log: deque[bytes] = deque()
        self._log_lock = threading.Lock()
        self._log_room_bytes = log_bytes
        self._log_bytes = log_bytes
        self._reported_peak_bytes = 0
        self._group_peak = GroupPeak(Path(spec.peak_file)) if spec.peak_file else None
        self._peak_restarted = threading.Event()
        self.killed_for: str | None = None
        self.exit_status: int | None = None
        self._stopped = False
        self._supervisor_ended = threading.Event()
        self._process = _started_supervisor(spec)
        self._reader = threading.Thread(target=self._read, name="model-log", daemon=True)
        self._reader.start()

    def fault(self) -> ModelFault | None:
        """How the program ended, or None while it runs."""
        if self.killed_for == "memory":
            return ModelCrashed.over_memory(self._spec.memory_bytes)
        if self.killed_for == "pids":
            return ModelCrashed(f"killed: it ran more than {self._spec.pids} processes")
        if self._stopped:
            return ModelCrashed(STOPPED)
        if self.exit_status is not None or self._supervisor_ended.is_set():
            last = self.last_line()
            return ModelCrashed(f"ended: {last}" if last else "ended", self.exit_status)
        return None

    @property
    def peak_memory_bytes(self) -> int:
        """The peak of the program's memory, since its start or since `restart_peak`."""
        if self._group_peak is None:
            return self._reported_peak_bytes
        if self._peak_restarted.is_set():
            return self._group_peak.bytes()
        return max(self._group_peak.bytes(), self._reported_peak_bytes)

    def restart_peak(self) -> bool:
        """Begin a new peak of memory. Returns whether it did; otherwise the peak since the start stays."""
        if self._group_peak is not None:
            restarted = self._group_peak.restart()
            if restarted:
                self._peak_restarted.set()
            return restarted
        assert self._process.stdin is not None
        self._peak_restarted.clear()
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._process.stdin.write(b"restart\n")
            self._process.stdin.flush()
        return self._peak_restarted.wait(_RESTART_TIMEOUT_S)

    @property
    def was_killed(self) -> bool:
        """Whether the harness or the supervisor ended the program."""
        return self._stopped or self.killed_for is not None

    def log(self) -> str:
        """The end of the program's output, at most `log_bytes`."""
        with self._log_lock:
            return b"".join(self._log)[-self._log_bytes :].decode("utf-8", "replace")

    def last_line(self) -> str:
        """The last line of the program's output that is not empty."""
        lines = [line.strip() for line in self.log()[-4_096:].splitlines() if line.strip()]
        return printable(lines[-1][:200]) if lines else ""

    def close(self) -> None:
        """End the program, everything that it started, and its private directories.

        Raises:
            InfrastructureFault: if one of its processes does not end.
        """
        self.stop()
        try:
            self._process.wait(_CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired as e:
            raise InfrastructureFault(
                f"Processes of the model, below process {self._process.pid}, did not end in {_CLOSE_TIMEOUT_S:g} s",
                f"Look at them with `ps --ppid {self._process.pid}` and at the kernel log with `dmesg`.",
            ) from e
        self._reader.join()
        if self._group_peak is not None:
            self._group_peak.close()

    def stop(self) -> None:
        """Tell the supervisor, from any thread, to end the program. `close` waits until it has ended."""
        assert self._process.stdin is not None
        self._stopped = True
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._process.stdin.close()

    def _read(self) -> None:
        """Keep the end of the log and the supervisor's reports, until both streams end."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ, "reports")
            selector.register(self._process.stderr, selectors.EVENT_READ, "log")
            pending = b""
            while selector.get_map():
                # Read the log first, so that it is complete when the report of the program's end arrives.
                for key, _ in sorted(selector.select(), key=lambda ready: ready[0].data != "log"):
                    data = os.read(key.fd, _READ_BYTES)
                    if not data:
                        selector.unregister(key.fileobj)
                        if key.data == "reports":
                            self._supervisor_ended.set()
                    elif key.data == "log":
                        self._append_log(data)
                    else:
                        *lines, pending = (pending + data).split(b"\n")
                        for line in lines:
                            self._note_report(json.loads(line))
        self._process.stdout.close()
        self._process.stderr.close()

    def _append_log(self, data: bytes) -> None:
        with self._log_lock:
            self._log.append(data)
            self._log_room_bytes -= len(data)
            while self._log_room_bytes < 0 and len(self._log) > 1:
                self._log_room_bytes += len(self._log.popleft())

    def _note_report(self, report: Mapping[str, int | str]) -> None:
        peak_bytes = int(report.get("peak_memory_bytes", 0))
        if "restarted" in report:
            self._reported_peak_bytes = peak_bytes
            self._peak_restarted.set()
        self._reported_peak_bytes = max(self._reported_peak_bytes, peak_bytes)
        if "killed" in report:
            self.killed_for = str(report["killed"])
        if "exit_status" in report:
            self.exit_status = int(report["exit_status"])


def _started_supervisor(spec: ProgramSpec) -> subprocess.Popen[bytes]:
    """A new supervisor process, which has received the specification."""
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("supervisor.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": os.defpath},
            start_new_session=True,
            pass_fds=spec.pass_fds,
        )
    except OSError as e:
        raise EngineUnavailable(
            f"Cannot start a process for the model: {e}",
            "Free memory, or raise this user's limit of processes (`ulimit -u`).",
        ) from e
    assert process.stdin is not None
    process.stdin.write(json.dumps(asdict(spec)).encode() + b"\n")
    process.stdin.flush()
    return process


@contextlib.contextmanager
def supervised_program(spec: ProgramSpec, *, log_bytes: int) -> Iterator[SupervisedProgram]:
    """A program that runs as long as the context lasts.

    Raises:
        EngineUnavailable: the supervisor cannot be started.
        InfrastructureFault: at the end, if one of the program's processes does not end.
    """
    program = SupervisedProgram(spec, log_bytes=log_bytes)
    try:
        yield program
    finally:
        program.close()
