"""A model's program on this machine: started, watched, and gone when its context ends.

Times in seconds, sizes in bytes. Between the harness and the program stands a supervisor
(sandbox_supervisor.py), so that nothing outlives the harness, even one that is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from soundsright.core.errors import (
    EngineUnavailable,
    InfrastructureFault,
    ModelCrashed,
    ModelFault,
    printable,
)

PRIVATE_PREFIX = "sr-"
"""How the names of the harness's own temporary folders begin."""

_READ_BYTES = 1 << 16
_CLOSE_PATIENCE_S = 30.0


@dataclass(frozen=True)
class Spec:
    """What the supervisor is told. `cgroups` are joined and removed, `remove` are directories removed at the end.

    `peak_file` and `oom_file` belong to a memory cgroup; where they are empty, the supervisor measures and enforces
    `memory_bytes` and `pids` itself, four times a second.
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


class Supervised:
    """A running program. `close` ends it and waits until nothing of it is left."""

    def __init__(self, spec: Spec, *, log_bytes: int) -> None:
        self._spec = spec
        self._log: deque[bytes] = deque()
        self._log_lock = threading.Lock()
        self._log_room = log_bytes
        self._log_bytes = log_bytes
        self.peak_memory_bytes = 0
        self.killed: str | None = None
        self.exit_status: int | None = None
        self._stopped = False
        self._gone = threading.Event()
        try:
            self._process = subprocess.Popen(
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
                f"No process can be started: {e}", "Free memory or raise the process limit."
            ) from e
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(spec)).encode() + b"\n")
        self._process.stdin.flush()
        self._listener = threading.Thread(target=self._listen, name="model-log", daemon=True)
        self._listener.start()

    def fault(self) -> ModelFault | None:
        """How the program ended, or None while it runs."""
        if self.killed == "memory":
            return ModelCrashed(f"killed: it used more than {self._spec.memory_bytes / 1e9:g} GB of memory")
        if self.killed == "pids":
            return ModelCrashed(f"killed: it ran more than {self._spec.pids} processes")
        if self._stopped:
            return ModelCrashed("stopped by the harness")
        if self.exit_status is not None or self._gone.is_set():
            last = self.last_line()
            return ModelCrashed(f"ended: {last}" if last else "ended", self.exit_status)
        return None

    @property
    def was_killed(self) -> bool:
        """Whether the harness or its supervisor ended the program."""
        return self._stopped or self.killed is not None

    def log(self) -> str:
        """The last of what the program wrote, at most `log_bytes`."""
        with self._log_lock:
            return b"".join(self._log)[-self._log_bytes :].decode("utf-8", "replace")

    def last_line(self) -> str:
        lines = [line.strip() for line in self.log()[-4_096:].splitlines() if line.strip()]
        return printable(lines[-1][:200]) if lines else ""

    def close(self) -> None:
        """End the program, everything that it started, and its private directories.

        Raises:
            InfrastructureFault: if something of it cannot be ended.
        """
        self.stop()
        try:
            self._process.wait(_CLOSE_PATIENCE_S)
        except subprocess.TimeoutExpired as e:
            raise InfrastructureFault(
                f"The processes under {self._process.pid} do not end",
                "Look at them with ps, and at the kernel log.",
            ) from e
        self._listener.join()

    def stop(self) -> None:
        """Tell the supervisor to end the program, from any thread; `close` waits for it."""
        assert self._process.stdin is not None
        self._stopped = True
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._process.stdin.close()

    def _listen(self) -> None:
        """Keep the end of the log, and what the supervisor says. Runs until both streams end."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._process.stdout, selectors.EVENT_READ, "facts")
            waiting.register(self._process.stderr, selectors.EVENT_READ, "log")
            pending = b""
            while waiting.get_map():
                # The log first: what the program wrote is all there when the supervisor says that it ended.
                for key, _ in sorted(waiting.select(), key=lambda ready: ready[0].data != "log"):
                    data = os.read(key.fd, _READ_BYTES)
                    if not data:
                        waiting.unregister(key.fileobj)
                        if key.data == "facts":
                            self._gone.set()
                    elif key.data == "log":
                        self._keep(data)
                    else:
                        *lines, pending = (pending + data).split(b"\n")
                        for line in lines:
                            self._note(json.loads(line))
        self._process.stdout.close()
        self._process.stderr.close()

    def _keep(self, data: bytes) -> None:
        with self._log_lock:
            self._log.append(data)
            self._log_room -= len(data)
            while self._log_room < 0 and len(self._log) > 1:
                self._log_room += len(self._log.popleft())

    def _note(self, facts: Mapping[str, int | str]) -> None:
        self.peak_memory_bytes = max(self.peak_memory_bytes, int(facts.get("peak_memory_bytes", 0)))
        if "killed" in facts:
            self.killed = str(facts["killed"])
        if "exit_status" in facts:
            self.exit_status = int(facts["exit_status"])


@contextlib.contextmanager
def supervised(spec: Spec, *, log_bytes: int) -> Iterator[Supervised]:
    """Run a program for as long as the context lasts."""
    program = Supervised(spec, log_bytes=log_bytes)
    try:
        yield program
    finally:
        program.close()


def private_directory() -> Path:
    """A new directory of our own with a short name: the address of a Unix socket has 108 bytes."""
    base = Path(tempfile.gettempdir())
    try:
        return Path(tempfile.mkdtemp(prefix=PRIVATE_PREFIX, dir=base if len(str(base)) < 60 else "/tmp"))
    except OSError as e:
        raise InfrastructureFault(f"No directory can be made in {base}: {e}", "Free disk space there.") from e
