"""One running container: its model's state, log and memory, and the connections to it.

Sizes are in bytes, times in seconds.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from pathlib import Path, PurePosixPath

from soundsright.adapters.containers.engine import Engine, engine_faults
from soundsright.adapters.sandboxes import (
    SOCKET,
    STOPPED,
    TCP_PORT,
    GroupPeak,
    SandboxNamespaces,
    protocol_folders,
    unix_connection,
)
from soundsright.core.errors import (
    EngineUnavailable,
    InfrastructureFault,
    ModelCrashed,
    ModelFault,
    printable,
)
from soundsright.core.ports import SandboxLimits

_WAIT_TIMEOUT_S = 86_400
_JOIN_TIMEOUT_S = 10.0


class Container:
    """A running container. A thread waits for its end, which is cheaper for the engine than repeated queries."""

    def __init__(
        self,
        engine: Engine,
        name: str,
        pid: int,
        limits: SandboxLimits,
        *,
        shared: Path | None,
        by_files: bool,
    ) -> None:
        self._engine = engine
        self._name = name
        self._pid = pid
        self._limits = limits
        self._shared = shared
        self._by_files = by_files
        self._namespaces = SandboxNamespaces(lambda: pid or None)
        file = memory_peak_file(pid)
        self._group_peak = GroupPeak(file) if file is not None else None
        self._peak_bytes = 0
        self._exit_status: int | None = None
        self._engine_fault: InfrastructureFault | None = None
        self._stopped = False
        self._waiter = threading.Thread(target=self._wait, name="container-wait", daemon=True)
        self._waiter.start()

    def network_pid(self) -> int | None:
        """The host's ID of the container's first process. None if this user may not enter its network."""
        return self._pid if self._pid and os.geteuid() == 0 else None

    def connect_to_socket(self, timeout_s: float) -> socket.socket:
        """A new connection to the model's Unix socket.

        Raises:
            OSError: if the model does not listen there yet.
        """
        if self._shared is None:
            return self._namespaces.connect_to_socket(timeout_s)
        return unix_connection(str(self._shared / SOCKET.parent.name / SOCKET.name), timeout_s)

    def open_folder(self, path: PurePosixPath) -> int:
        """A file descriptor for a folder of the protocol over files.

        Raises:
            OSError: if the folder does not exist yet.
        """
        if self._shared is None:
            return self._namespaces.open_folder(path)
        return os.open(self._shared / path.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)

    def listening_ports(self) -> tuple[int, ...]:
        """The TCP ports on which the model listens. Empty if this user cannot see them."""
        return self._namespaces.listening_ports()

    def stop(self) -> None:
        """End the model, from any thread."""
        import docker.errors

        self._stopped = True
        # If the engine does not answer, the thread that waits for the model reports it.
        with contextlib.suppress(InfrastructureFault), engine_faults(), contextlib.suppress(docker.errors.APIError):
            self._engine.client.api.kill(self._name)

    def fault(self) -> ModelFault | None:
        """How the model ended, or None while it runs.

        Raises:
            InfrastructureFault: the engine ended, and the model with it.
        """
        if self._stopped:
            return ModelCrashed(STOPPED)
        self.peak_memory_bytes()
        if self._waiter.is_alive():
            if self._shared is not None and not self._by_files and TCP_PORT in self.listening_ports():
                raise EngineUnavailable(
                    f"The model listens on TCP port {TCP_PORT}. Only root can connect to a port in a container",
                    "Run the validator as root, or use --sandbox bubblewrap.",
                )
            return None
        if self._engine_fault is not None:
            raise self._engine_fault
        with engine_faults():
            # An engine that stops ends its containers too. Then this query fails, and the model is not blamed.
            state = self._engine.client.api.inspect_container(self._name)["State"]
        memory_was_full = self._peak_bytes >= 0.95 * self._limits.memory_bytes
        if state.get("OOMKilled") or (self._exit_status == 137 and memory_was_full):
            return ModelCrashed.over_memory(self._limits.memory_bytes)
        lines = [line.strip() for line in self.log()[-4_096:].splitlines() if line.strip()]
        last = printable(lines[-1][:200]) if lines else ""
        return ModelCrashed(f"ended: {last}" if last else "ended", self._exit_status)

    def log(self) -> str:
        """The end of the model's output, at most `log_bytes`."""
        with engine_faults():
            data = self._engine.client.api.logs(self._name, stdout=True, stderr=True)
        return str(data[-self._limits.log_bytes :].decode("utf-8", "replace"))

    def peak_memory_bytes(self) -> int:
        """The peak of the container's memory, since its start or since `restart_peak`."""
        if self._group_peak is not None:
            self._peak_bytes = self._group_peak.bytes()
        elif self._waiter.is_alive():
            with contextlib.suppress(InfrastructureFault), engine_faults():
                memory = self._engine.client.api.stats(self._name, stream=False, one_shot=True).get(
                    "memory_stats", {}
                )
                self._peak_bytes = max(self._peak_bytes, int(memory.get("max_usage", memory.get("usage", 0))))
        return self._peak_bytes

    def restart_peak(self) -> bool:
        """Begin a new peak of memory. Returns whether it did; otherwise the peak since the start stays."""
        return self._group_peak is not None and self._group_peak.restart()

    def join(self) -> None:
        """Wait for the thread of this object to end. Remove the container first."""
        self._waiter.join(_JOIN_TIMEOUT_S)
        if self._group_peak is not None:
            self._group_peak.close()

    def _wait(self) -> None:
        import docker.errors

        try:
            with engine_faults(), contextlib.suppress(docker.errors.NotFound):
                reply = self._engine.client.api.wait(self._name, timeout=_WAIT_TIMEOUT_S)
                self._exit_status = int(reply.get("StatusCode", 0))
        except InfrastructureFault as e:
            self._engine_fault = e


def memory_peak_file(pid: int) -> Path | None:
    """The file with the peak memory of a process's control group, or None if it is not visible on this machine."""
    if pid <= 0:
        return None
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            for file in (
                Path("/sys/fs/cgroup/memory", path.lstrip("/"), "memory.max_usage_in_bytes"),
                Path("/sys/fs/cgroup", path.lstrip("/"), "memory.peak"),
            ):
                if ("memory" in controllers.split(",") or not controllers) and path != "/" and file.is_file():
                    return file
    return None


def make_protocol_folders(shared: Path, limits: SandboxLimits, *, by_files: bool) -> None:
    """Create the folders through which the harness and the model talk, below a folder on the host."""
    for folder in protocol_folders(limits, by_files=by_files):
        (shared / folder.name).mkdir()
        # The model's user must be able to write to it. Nobody else on the host can enter `shared`.
        (shared / folder.name).chmod(0o777)
