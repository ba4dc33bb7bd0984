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
import secrets
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from soundsright.adapters.containers.build import BuildLimits, BuiltImage
from soundsright.adapters.containers.container import Container
from soundsright.adapters.containers.engine import (
    ENTRY_LABEL,
    LABEL,
    OWNER_LABEL,
    PRIVATE_LABEL,
    ROUND_LABEL,
    Engine,
    engine_faults,
    owner,
)
from soundsright.adapters.containers.images import image_of
from soundsright.adapters.containers.settings import container_settings
from soundsright.adapters.sandboxes import (
    FOLDER,
    INPUT,
    OUTPUT,
    CpuPool,
    Gpu,
    GpuPool,
    GpuWatch,
    Run,
    Runs,
    Session,
    Way,
    client_of,
    engine_profile,
    loaded,
    private_directory,
)
from soundsright.core.dockerfile import PROTOCOL_LABEL, known_protocol
from soundsright.core.errors import (
    EngineUnavailable,
    InfrastructureFault,
    ModelFault,
    ModelTimeout,
    ProtocolViolation,
)
from soundsright.core.ports import SandboxLimits
from soundsright.core.submission import FetchedModel

_REMOVE_ATTEMPTS = 5
_WAIT_S = 0.2


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
        self._runs = Runs()
        self._lock = threading.Lock()
        self._swept = False
        self._left: set[str] = set()
        self._builds: dict[str, threading.Lock] = {}
        self._used: dict[str, float] = {}
        self._ahead: dict[str, float | ModelFault] = {}

    def stop(self) -> None:
        """End every model that runs here, and every build."""
        self._runs.stop()

    def available(self) -> str | None:
        """None if an engine answers that can hold a model, else the reason in one line."""
        return self._engine.available() or self._engine.weakness()

    def prepare(self, model: FetchedModel) -> None:
        """Build the model's image, if it is not there.

        Raises:
            ModelFault: the Dockerfile is refused, or its build fails or breaks a limit.
            InfrastructureFault: the engine, its disk, or the way to the base image failed.
        """
        with self._runs.begun() as run, self._building(model, run):
            try:
                before_s = self._built_ahead_s(model)
                self._ahead[model.content_hash] = before_s + self._image(model, run).build_s
            except ModelTimeout:
                # It had little of the processors: not its own fault.
                raise
            except ModelFault as fault:
                run.check()
                self._ahead[model.content_hash] = fault
                raise

    def build(self, model: FetchedModel) -> BuiltImage:
        """The model's image, with what `prepare` left of it; raises as `prepare` does."""
        with self._runs.begun() as run:
            return self._prepared(model, run)

    def _prepared(self, model: FetchedModel, run: Run) -> BuiltImage:
        """The image for one run: what was built ahead counts for it, what failed ahead fails it."""
        with self._building(model, run):
            ahead_s = self._built_ahead_s(model)
            image = self._image(model, run)
        return replace(image, build_s=image.build_s + ahead_s)

    def _built_ahead_s(self, model: FetchedModel) -> float:
        ahead = self._ahead.pop(model.content_hash, 0.0)
        if isinstance(ahead, ModelFault):
            raise ahead
        return ahead

    @contextlib.contextmanager
    def _building(self, model: FetchedModel, run: Run) -> Iterator[None]:
        """One build of the same content at a time: the second finds the image."""
        with self._lock:
            building = self._builds.setdefault(model.content_hash, threading.Lock())
        while not building.acquire(timeout=_WAIT_S):
            run.check()
        try:
            yield
        finally:
            building.release()

    def _image(self, model: FetchedModel, run: Run) -> BuiltImage:
        self._used[model.content_hash] = time.monotonic()
        return image_of(self._engine, model, self._settings.build, self._labels(model), run, used=self._used)

    @contextlib.contextmanager
    def run(self, model: FetchedModel, *, limits: SandboxLimits) -> Iterator[Session]:
        """Build the image if it is not there, start it and wait until it is ready.

        Raises:
            ModelFault: it cannot be built, or did not become ready.
            EngineUnavailable: the engine could not start it.
        """
        with contextlib.ExitStack() as stack:
            run = stack.enter_context(self._runs.begun())
            if (weakness := self._engine.weakness()) is not None:
                raise EngineUnavailable(weakness, "Run the engine as root, or use the bubblewrap sandbox.")
            self._sweep()
            run.check()
            image = self._prepared(model, run)
            gpu = stack.enter_context(self._gpus.taken(run.check)) if self._gpus else None
            cpus = stack.enter_context(self._cpus.taken(limits.cpus))
            private = self._private()
            if private is not None:
                stack.callback(shutil.rmtree, private, ignore_errors=True)
            container = stack.enter_context(self._container(model, image, private, limits, cpus, gpu, run))
            way = stack.enter_context(contextlib.closing(Way(container.reachable_pid, container.by_socket())))
            watch = stack.enter_context(GpuWatch(gpu)) if gpu else None
            yield loaded(
                client_of(
                    way.connect,
                    container.open_folder,
                    by_files=container.by_files,
                    limits=limits,
                    ended=container.fault,
                ),
                started=container.started,
                load_timeout_s=limits.load_timeout_s,
                peak_memory_bytes=container.peak_memory_bytes,
                log=container.log,
                listening=container.listening,
                build_s=image.build_s,
                gpu=watch,
            )

    def _sweep(self) -> None:
        """Remove what a harness that is gone has left, and what this one could not while no engine answered."""
        with self._lock:
            left, self._left = self._left, set()
            swept, self._swept = self._swept, True
        try:
            if not swept:
                self._engine.sweep()
            for name in left:
                self._remove(name)
        except InfrastructureFault:
            with self._lock:
                self._swept = swept
                self._left |= left
            raise

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
        gpu: Gpu | None,
        run: Run,
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
            raise ProtocolViolation(
                "models run under gVisor here, which passes no socket out of a container: speak by files"
            )
        settings = container_settings(
            image.id,
            config,
            limits,
            labels=labels,
            cpus=cpus,
            gpus=(gpu,) if gpu else (),
            cdi=self._settings.cdi,
            runtime=self._settings.runtime,
            seccomp=profile,
            by_files=by_files,
            shared=shared,
            closed=("/var/tmp",) if self._engine.is_podman else (),
        )
        # Named before it is made: an engine that ends in between may have made it all the same.
        name = f"soundsright-{secrets.token_hex(8)}"
        container: Container | None = None
        try:
            with engine_faults():
                run.check()
                api._result(
                    api._post_json(api._url("/containers/create"), data=settings, params={"name": name}), True
                )
                started = time.monotonic()
                api.start(name)
                pid = int(api.inspect_container(name)["State"]["Pid"])
            container = Container(self._engine, name, pid, limits, started, shared, by_files)
            with run.ended_by(container.stop):
                yield container
        finally:
            self._remove(name)
            if container is not None:
                container.join()

    def _remove(self, name: str) -> None:
        import docker.errors

        for attempt in range(_REMOVE_ATTEMPTS):
            try:
                with engine_faults():
                    with contextlib.suppress(docker.errors.NotFound):
                        self._engine.client.api.remove_container(name, force=True, v=True)
                    return
            except EngineUnavailable:
                if attempt + 1 == _REMOVE_ATTEMPTS:
                    with self._lock:
                        self._left.add(name)
                    raise
                time.sleep(0.2 * 2**attempt)
