"""One running container: whether its model still runs, how it ended, what it wrote and used, and how it is reached.

Sizes in bytes, times in seconds.
"""

from __future__ import annotations

import contextlib
import os
import threading
from functools import partial
from pathlib import Path, PurePosixPath

from soundsright.adapters.containers.engine import Engine, engine_faults
from soundsright.adapters.protocol import Connect
from soundsright.adapters.sandboxes import (
    FOLDER,
    SOCKET,
    TCP_PORT,
    connect_inside,
    connect_to,
    listening_ports,
    open_inside,
)
from soundsright.core.errors import (
    EngineUnavailable,
    InfrastructureFault,
    ModelCrashed,
    ModelFault,
    printable,
)
from soundsright.core.ports import SandboxLimits


class Container:
    """A running container. Its end is waited for in a thread, which costs the engine nothing."""

    def __init__(
        self,
        engine: Engine,
        name: str,
        pid: int,
        limits: SandboxLimits,
        started: float,
        shared: Path | None,
        by_files: bool,
    ) -> None:
        self._engine = engine
        self._id = name
        self._pid = pid
        self._limits = limits
        self._shared = shared
        self._peak_file = memory_peak_file(pid)
        self._peak = 0
        self._exit_status: int | None = None
        self._lost: InfrastructureFault | None = None
        self._stopped = False
        self.started = started
        self.by_files = by_files
        self._waiter = threading.Thread(target=self._wait, name="container-wait", daemon=True)
        self._waiter.start()

    def reachable_pid(self) -> int | None:
        """The container's first process as the host numbers it, if this process may enter its network."""
        return self._pid if self._pid and os.geteuid() == 0 else None

    def by_socket(self) -> Connect:
        """How the model's socket is reached."""
        if self._shared is None:
            return connect_inside(self.reachable_pid, SOCKET)
        return partial(connect_to, str(self._shared / FOLDER.name / SOCKET.name))

    def open_folder(self, path: PurePosixPath) -> int:
        """A handle on a folder of the protocol by files.

        Raises:
            OSError: if it is not there.
        """
        how = os.O_RDONLY | os.O_DIRECTORY
        if self._shared is None:
            return open_inside(self._pid, path, how)
        return os.open(self._shared / path.name, how | os.O_NOFOLLOW)

    def listening(self) -> tuple[int, ...]:
        """The TCP ports that it listens on, where they can be seen from here."""
        return listening_ports(self._pid)

    def stop(self) -> None:
        """End the model, from any thread."""
        import docker.errors

        self._stopped = True
        # Without an engine there is none to ask; who waits for the model hears of that.
        with contextlib.suppress(InfrastructureFault), engine_faults(), contextlib.suppress(docker.errors.APIError):
            self._engine.client.api.kill(self._id)

    def fault(self) -> ModelFault | None:
        """How the model ended, or None while it runs.

        Raises:
            InfrastructureFault: the engine ended, and the model with it.
        """
        if self._stopped:
            return ModelCrashed("stopped by the harness")
        self.peak_memory_bytes()
        if self._waiter.is_alive():
            if self._shared is not None and not self.by_files and TCP_PORT in self.listening():
                raise EngineUnavailable(
                    f"The model listens on TCP port {TCP_PORT}, which this user cannot reach in a container",
                    "Run the harness as root, or use the bubblewrap sandbox.",
                )
            return None
        if self._lost is not None:
            raise self._lost
        with engine_faults():
            # An engine that is stopping ends its containers with it: ask it again before blaming the model.
            state = self._engine.client.api.inspect_container(self._id)["State"]
        full = self._peak >= 0.95 * self._limits.memory_bytes
        if state.get("OOMKilled") or (self._exit_status == 137 and full):
            return ModelCrashed(f"killed: it used more than {self._limits.memory_bytes / 1e9:g} GB of memory")
        lines = [line.strip() for line in self.log()[-4_096:].splitlines() if line.strip()]
        last = printable(lines[-1][:200]) if lines else ""
        return ModelCrashed(f"ended: {last}" if last else "ended", self._exit_status)

    def log(self) -> str:
        """The last of what the model wrote, at most `log_bytes`."""
        with engine_faults():
            data = self._engine.client.api.logs(self._id, stdout=True, stderr=True)
        return str(data[-self._limits.log_bytes :].decode("utf-8", "replace"))

    def peak_memory_bytes(self) -> int:
        """The most memory that was seen in use."""
        if self._peak_file is not None:
            with contextlib.suppress(OSError, ValueError):
                self._peak = max(self._peak, int(self._peak_file.read_text()))
        elif self._waiter.is_alive():
            with contextlib.suppress(InfrastructureFault), engine_faults():
                memory = self._engine.client.api.stats(self._id, stream=False, one_shot=True).get(
                    "memory_stats", {}
                )
                self._peak = max(self._peak, int(memory.get("max_usage", memory.get("usage", 0))))
        return self._peak

    def join(self) -> None:
        """Wait for the waiter, once the container has been removed."""
        self._waiter.join(10.0)

    def _wait(self) -> None:
        import docker.errors

        try:
            with engine_faults(), contextlib.suppress(docker.errors.NotFound):
                answer = self._engine.client.api.wait(self._id, timeout=86_400)
                self._exit_status = int(answer.get("StatusCode", 0))
        except InfrastructureFault as e:
            self._lost = e


def memory_peak_file(pid: int) -> Path | None:
    """Where the kernel keeps the peak memory of a process's control group, if it can be seen from here."""
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
