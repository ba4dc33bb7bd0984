"""A model in a container of Docker Engine, or of Podman through the same API.

Sizes in bytes, times in seconds. The image is built by docker_build.py; here it runs: no network, a read-only
root, bounded memory file systems, no capability, no new privilege, a list of allowed system calls, a user that is
not root, and limits on memory without swap, processors, processes, files and log. What is asked of the engine is
one function, in docker_settings.py, so that it can be read and tested in one place.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

from soundsright.adapters.docker_build import BuildLimits, BuiltImage, image_of
from soundsright.adapters.docker_engine import (
    ENTRY_LABEL,
    LABEL,
    OWNER_LABEL,
    PRIVATE_LABEL,
    ROUND_LABEL,
    Engine,
    engine_faults,
    owner,
)
from soundsright.adapters.docker_settings import container_settings
from soundsright.adapters.gpu import Gpu, GpuPool
from soundsright.adapters.model_client import ModelClient
from soundsright.adapters.model_files import FileClient
from soundsright.adapters.model_http import Connect
from soundsright.adapters.sandbox_reach import TCP_PORT, Way, connect_inside, connect_to, open_inside
from soundsright.adapters.sandbox_resources import CpuPool
from soundsright.adapters.sandbox_session import FOLDER, INPUT, OUTPUT, SOCKET, Client, Session, loaded
from soundsright.adapters.sandbox_supervised import private_directory
from soundsright.adapters.seccomp import engine_profile
from soundsright.core.dockerfile import PROTOCOL_LABEL, known_protocol
from soundsright.core.errors import (
    EngineUnavailable,
    InfrastructureFault,
    ModelCrashed,
    ModelFault,
    ProtocolViolation,
    printable,
)
from soundsright.core.ports import SandboxLimits
from soundsright.core.submission import FetchedModel

_REMOVE_ATTEMPTS = 5


@dataclass(frozen=True)
class DockerSettings:
    """What an operator chooses. `runtime` is one that the engine knows, such as `runsc`; `cdi` asks for GPUs so."""

    build: BuildLimits = field(default_factory=BuildLimits)
    runtime: str | None = None
    round_id: str = ""
    cdi: bool = False


class DockerSandbox:
    """`engine` runs the containers; a model takes one GPU of `gpus` where there is such a pool."""

    name = "docker"
    isolated = True

    def __init__(
        self, engine: Engine | None = None, *, settings: DockerSettings | None = None, gpus: GpuPool | None = None
    ) -> None:
        self._engine = engine or Engine()
        self._settings = settings or DockerSettings()
        self._gpus = gpus
        self._cpus = CpuPool()
        self._swept = False
        self._lock = threading.Lock()
        self._running: set[Container] = set()

    def stop(self) -> None:
        """End every model that runs here."""
        with self._lock:
            for container in self._running:
                container.stop()

    def available(self) -> str | None:
        """None if an engine answers, else the reason in one line."""
        return self._engine.available()

    def build(self, model: FetchedModel) -> BuiltImage:
        """The model's image, built or found: a stage of its own, to be run ahead of `run`.

        Raises:
            ModelFault: the Dockerfile is refused, or its build fails or breaks a limit.
            InfrastructureFault: the engine, its disk, or the way to the base image failed.
        """
        return image_of(self._engine, model, self._settings.build, self._labels(model))

    @contextlib.contextmanager
    def run(self, model: FetchedModel, *, limits: SandboxLimits) -> Iterator[Session]:
        """Build the image if it is not there, start it and wait until it is ready.

        Raises:
            ModelFault: it cannot be built, or did not become ready.
            EngineUnavailable: the engine could not start it.
        """
        if not self._swept:
            self._engine.sweep()
            self._swept = True
        image = self.build(model)
        with contextlib.ExitStack() as stack:
            cpus = stack.enter_context(self._cpus.taken(limits.cpus))
            gpus = [stack.enter_context(self._gpus.taken())] if self._gpus else []
            private = self._private()
            if private is not None:
                stack.callback(shutil.rmtree, private, ignore_errors=True)
            container = stack.enter_context(self._container(model, image, private, limits, cpus, gpus))
            client: Client
            if container.by_files:
                opened = [partial(container.open_folder, folder) for folder in (INPUT, OUTPUT)]
                client = FileClient(*opened, limits=limits, ended=container.fault)
            else:
                way = stack.enter_context(contextlib.closing(Way(container.reachable_pid, container.by_socket())))
                client = ModelClient(way.connect, limits=limits, ended=container.fault)
            yield loaded(
                client,
                started=container.started,
                load_timeout_s=limits.load_timeout_s,
                peak_memory_bytes=container.peak_memory_bytes,
                log=container.log,
            )

    def _private(self) -> Path | None:
        """A folder on the host, where one is needed: root reaches into the container's own memory instead."""
        if os.geteuid() == 0 and self._settings.runtime is None and not self._engine.is_podman:
            return None
        return private_directory()

    def _labels(self, model: FetchedModel) -> dict[str, str]:
        return {
            OWNER_LABEL: owner(),
            ROUND_LABEL: self._settings.round_id,
            ENTRY_LABEL: model.submission.entry_id,
        }

    @contextlib.contextmanager
    def _container(
        self,
        model: FetchedModel,
        image: BuiltImage,
        private: Path | None,
        limits: SandboxLimits,
        cpus: Sequence[int],
        gpus: Sequence[Gpu],
    ) -> Iterator[Container]:
        api = self._engine.client.api
        with engine_faults():
            config = self._engine.client.images.get(image.id).attrs.get("Config") or {}
        if not (config.get("Cmd") or config.get("Entrypoint")):
            raise ProtocolViolation("the image has no command to run")
        shared = None if os.geteuid() == 0 and self._settings.runtime is None else private
        if shared is not None:
            for folder in (FOLDER, INPUT, OUTPUT):
                (shared / folder.name).mkdir()
                # Open to the model's user; `shared` itself lets nobody else of the host in.
                (shared / folder.name).chmod(0o777)
        by_files = known_protocol(str((config.get("Labels") or {}).get(PROTOCOL_LABEL, "http"))) == "files"
        profile = json.dumps(engine_profile())
        labels = {LABEL: "model", **self._labels(model)}
        if private is not None:
            labels[PRIVATE_LABEL] = str(private)
        if private is not None and self._engine.is_podman:
            # Podman takes the name of a file where Docker takes its content.
            (private / "seccomp.json").write_text(profile)
            profile = str(private / "seccomp.json")
        if not by_files and "runsc" in (self._settings.runtime or ""):
            raise EngineUnavailable(
                "gVisor passes no socket out of a container, and this model has a web server",
                "Leave --runtime out; with gVisor, only models that speak by files can run.",
            )
        settings = container_settings(
            image.id,
            config,
            limits,
            labels=labels,
            cpus=cpus,
            gpus=gpus,
            cdi=self._settings.cdi,
            runtime=self._settings.runtime,
            seccomp=profile,
            by_files=by_files,
            shared=shared,
            closed=("/var/tmp",) if self._engine.is_podman else (),
        )
        with engine_faults():
            made = api._result(api._post_json(api._url("/containers/create"), data=settings), True)
        container_id = str(made["Id"])
        container: Container | None = None
        try:
            with engine_faults():
                started = time.monotonic()
                api.start(container_id)
                pid = int(api.inspect_container(container_id)["State"]["Pid"])
            container = Container(self._engine, container_id, pid, limits, started, shared, by_files)
            with self._lock:
                self._running.add(container)
            yield container
        finally:
            if container is not None:
                with self._lock:
                    self._running.discard(container)
            self._remove(container_id)
            if container is not None:
                container.join()

    def _remove(self, container_id: str) -> None:
        import docker.errors

        for attempt in range(_REMOVE_ATTEMPTS):
            try:
                with engine_faults():
                    with contextlib.suppress(docker.errors.NotFound):
                        self._engine.client.api.remove_container(container_id, force=True, v=True)
                    return
            except EngineUnavailable:
                if attempt + 1 == _REMOVE_ATTEMPTS:
                    raise
                time.sleep(0.2 * 2**attempt)


class Container:
    """A running container. Its end is waited for in a thread, which costs the engine nothing."""

    def __init__(
        self,
        engine: Engine,
        container_id: str,
        pid: int,
        limits: SandboxLimits,
        started: float,
        shared: Path | None,
        by_files: bool,
    ) -> None:
        self._engine = engine
        self._id = container_id
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

    def stop(self) -> None:
        """End the model, from any thread."""
        import docker.errors

        self._stopped = True
        with engine_faults(), contextlib.suppress(docker.errors.APIError):
            self._engine.client.api.kill(self._id)

    def fault(self) -> ModelFault | None:
        """How the model ended, or None while it runs.

        Raises:
            InfrastructureFault: the engine ended, and the model with it.
        """
        self.peak_memory_bytes()
        if self._waiter.is_alive():
            if self._shared is not None and not self.by_files and listens_on(self._pid, TCP_PORT):
                raise EngineUnavailable(
                    f"The model listens on TCP port {TCP_PORT}, which this user cannot reach in a container",
                    "Run the harness as root, or use the bubblewrap sandbox.",
                )
            return None
        if self._stopped:
            return ModelCrashed("stopped by the harness")
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


def listens_on(pid: int, port: int) -> bool:
    """Whether anything in a process's network listens on a TCP port; False where that cannot be seen from here."""
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]:
                _, local, _, state, *_ = line.split()
                if state == "0A" and int(local.rpartition(":")[2], 16) == port:
                    return True
    return False


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
