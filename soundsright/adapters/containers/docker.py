"""A model in a container of Docker Engine, or of Podman through the same API.

Sizes are in bytes, times in seconds. The container has no network, a read-only root, temporary folders in memory of
limited size, no capabilities and no way to gain privileges, a filter of system calls, a user that is not root, and
limits on memory without swap, CPU cores, processes, files and log. create_request.py sets all of them.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shutil
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from soundsright.adapters.containers.build_limits import BuildLimits, BuiltImage
from soundsright.adapters.containers.container import Container, make_protocol_folders
from soundsright.adapters.containers.create_request import create_request
from soundsright.adapters.containers.engine import Engine, engine_faults
from soundsright.adapters.containers.image_storage import remove_pulled_images
from soundsright.adapters.containers.labels import (
    ENTRY_LABEL,
    LABEL,
    OWNER_LABEL,
    PRIVATE_LABEL,
    ROUND_LABEL,
    this_owner,
)
from soundsright.adapters.containers.model_images import built_content, image_layers, model_image
from soundsright.adapters.sandboxes import (
    GpuPool,
    ModelConnector,
    ModelSession,
    PrivatePaths,
    ReservedResources,
    ResourcePool,
    StartedModel,
    StopSource,
    StopToken,
    engine_profile,
    exposure,
    limit_socket_buffers,
    loaded_session,
    private_directory,
)
from soundsright.core.dockerfile import PROTOCOL_LABEL, known_protocol
from soundsright.core.errors import (
    EngineUnavailable,
    ImageNotPulled,
    InfrastructureFault,
    ModelFault,
    ModelTimeout,
    ProtocolViolation,
)
from soundsright.core.ports import SandboxLimits
from soundsright.core.submission import FetchedModel

_log = logging.getLogger(__name__)

_REMOVE_ATTEMPTS = 5
_POLL_S = 0.2


@dataclass(frozen=True)
class DockerSettings:
    """The operator's choices. A model whose folder contains a path of `private` does not run.

    `runtime` is a runtime that the engine knows, such as `runsc` (gVisor). With `cdi`, GPUs are requested through
    the Container Device Interface.
    """

    build: BuildLimits = field(default_factory=BuildLimits)
    runtime: str | None = None
    round_id: str = ""
    cdi: bool = False
    private: PrivatePaths = field(default_factory=PrivatePaths)


class _StartedContainer(NamedTuple):
    """The host's ID of a container's first process, and the `time.monotonic()` of its start."""

    pid: int
    started_s: float


class DockerSandbox:
    """Runs each model in a container of `engine`. Each model reserves one GPU of `gpus`, if given."""

    name = "docker"
    isolated = True

    def __init__(
        self, engine: Engine | None = None, *, settings: DockerSettings | None = None, gpus: GpuPool | None = None
    ) -> None:
        self._engine = engine or Engine()
        self._settings = settings or DockerSettings()
        self._resources = ResourcePool(gpus)
        self._stop_source = StopSource()
        self._lock = threading.Lock()
        self._has_swept = False
        self._unremoved: set[str] = set()
        # By content hash: the lock of a build, the last use, and the outcome of `prepare`.
        self._build_locks: dict[str, threading.Lock] = {}
        self._last_used_s: dict[str, float] = {}
        self._prepared: dict[str, float | ModelFault] = {}

    def stop(self) -> None:
        """End every model that runs here, and every build."""
        self._stop_source.stop()

    def available(self) -> str | None:
        """None if an engine answers and can limit a model, otherwise the reason in one line."""
        return self._engine.available() or self._engine.weakness()

    def prepare(self, model: FetchedModel) -> None:
        """Build the model's image, if it does not exist.

        Raises:
            ModelFault: the Dockerfile is refused, or the build fails or exceeds a limit.
            InfrastructureFault: the engine, its disk, or the connection to the base image's registry failed.
        """
        with self._stop_source.token() as token, self._build_lock(model, token):
            try:
                before_s = self._prepared_build_s(model)
                self._prepared[model.content_hash] = before_s + self._image(model, token).build_s
            except (ModelTimeout, ImageNotPulled):
                # A build beside a running model gets few CPU shares, and a registry can be away for a while.
                raise
            except ModelFault as fault:
                token.check()
                self._prepared[model.content_hash] = fault
                raise

    def build(self, model: FetchedModel) -> BuiltImage:
        """The model's image, built if it does not exist. Raises as `prepare` does."""
        with self._stop_source.token() as token:
            return self._image_for_run(model, token)

    def forget_images(self, keep: Collection[str]) -> int:
        """Remove the images that were pulled for entries, except those with a content hash in `keep`.

        Returns the number of removed images. One that a container uses stays.

        Raises:
            InfrastructureFault: the engine failed.
        """
        return remove_pulled_images(self._engine, frozenset(keep))

    def image_layers(self, model: FetchedModel) -> tuple[str, ...]:
        """The digests of the layers of a model's image, if it exists and every machine builds the same ones.

        Raises:
            InfrastructureFault: the engine failed.
        """
        return image_layers(self._engine, model, self._settings.build)

    def built_content(self, model: FetchedModel) -> str:
        """The digest of the content of a model's built image; see `ImageBuilder`."""
        return built_content(self._engine, model, self._settings.build)

    def _image_for_run(self, model: FetchedModel, token: StopToken) -> BuiltImage:
        """The image for one run. Its build time includes that of `prepare`."""
        with self._build_lock(model, token):
            prepared_s = self._prepared_build_s(model)
            image = self._image(model, token)
        return replace(image, build_s=image.build_s + prepared_s)

    def _prepared_build_s(self, model: FetchedModel) -> float:
        """The seconds that the last `prepare` took to build. They count once.

        Raises:
            ModelFault: the fault of the last `prepare`, if it failed.
        """
        outcome = self._prepared.pop(model.content_hash, 0.0)
        if isinstance(outcome, ModelFault):
            raise outcome
        return outcome

    @contextlib.contextmanager
    def _build_lock(self, model: FetchedModel, token: StopToken) -> Iterator[None]:
        """Allow one build of the same content at a time. The next one then finds the image."""
        with self._lock:
            lock = self._build_locks.setdefault(model.content_hash, threading.Lock())
        while not lock.acquire(timeout=_POLL_S):
            token.check()
        try:
            yield
        finally:
            lock.release()

    def _image(self, model: FetchedModel, token: StopToken) -> BuiltImage:
        if (exposed := exposure([model.path], self._settings.private)) is not None:
            raise EngineUnavailable(exposed.problem, exposed.remedy)
        self._last_used_s[model.content_hash] = time.monotonic()
        build, labels = self._settings.build, self._labels(model)
        return model_image(self._engine, model, build, labels, token, last_used_s=self._last_used_s)

    @contextlib.contextmanager
    def run(self, model: FetchedModel, *, limits: SandboxLimits) -> Iterator[ModelSession]:
        """Build the image if it does not exist, start the model, and wait until it is ready.

        Raises:
            ModelFault: the image cannot be built, or the model did not become ready.
            EngineUnavailable: the engine cannot start the model.
        """
        with contextlib.ExitStack() as stack:
            token = stack.enter_context(self._stop_source.token())
            if (weakness := self._engine.weakness()) is not None:
                raise EngineUnavailable(weakness, "Run the engine as root, or use --sandbox bubblewrap.")
            self._sweep()
            token.check()
            image = self._image_for_run(model, token)
            reserved = stack.enter_context(self._resources.reserved(limits.cpus, token))
            private = self._private_folder()
            if private is not None:
                stack.callback(shutil.rmtree, private, ignore_errors=True)
            started = stack.enter_context(self._started(model, image, private, limits, reserved, token))
            gpu_watch = stack.enter_context(reserved.gpu_watch())
            yield loaded_session(started, limits, build_s=image.build_s, gpu_watch=gpu_watch)

    def _sweep(self) -> None:
        """Remove containers of ended harness processes, and those that this process could not remove before."""
        with self._lock:
            unremoved, self._unremoved = self._unremoved, set()
            has_swept, self._has_swept = self._has_swept, True
        try:
            if not has_swept:
                self._engine.sweep()
            for name in unremoved:
                self._remove(name)
        except InfrastructureFault:
            with self._lock:
                self._has_swept = has_swept
                self._unremoved |= unremoved
            raise

    def _private_folder(self) -> Path | None:
        """A new folder on the host for this run, or None if none is needed.

        Root needs none with Docker's own runtime, because it can reach the folders in the container's memory.
        """
        if os.geteuid() == 0 and self._settings.runtime is None and not self._engine.is_podman:
            return None
        return private_directory()

    def _labels(self, model: FetchedModel) -> dict[str, str]:
        return {
            OWNER_LABEL: this_owner(),
            ROUND_LABEL: self._settings.round_id,
            ENTRY_LABEL: model.submission.entry_id,
        }

    @contextlib.contextmanager
    def _started(
        self,
        model: FetchedModel,
        image: BuiltImage,
        private: Path | None,
        limits: SandboxLimits,
        reserved: ReservedResources,
        token: StopToken,
    ) -> Iterator[StartedModel]:
        """The model, started in a container. The container is removed at the end."""
        config = self._image_config(image)
        by_files = known_protocol(str((config.get("Labels") or {}).get(PROTOCOL_LABEL, "http"))) == "files"
        self._check_protocol(by_files=by_files)
        shared = None if os.geteuid() == 0 and self._settings.runtime is None else private
        if shared is not None:
            make_protocol_folders(shared, limits, by_files=by_files)
        request = create_request(
            image.id,
            config,
            limits,
            labels=self._container_labels(model, private),
            cpus=reserved.cpus,
            gpus=(reserved.gpu,) if reserved.gpu else (),
            cdi=self._settings.cdi,
            runtime=self._settings.runtime,
            seccomp=self._seccomp_option(private),
            by_files=by_files,
            shared=shared,
            read_only=("/var/tmp",) if self._engine.is_podman else (),
        )
        # Choose the name before: if the engine dies while it creates the container, `_remove` can still find it.
        name = f"soundsright-{secrets.token_hex(8)}"
        container: Container | None = None
        try:
            pid, started_s = self._started_container(name, request, limits, token)
            container = Container(self._engine, name, pid, limits, shared=shared, by_files=by_files)
            with (
                token.on_stop(container.stop),
                contextlib.closing(ModelConnector(container.network_pid, container.connect_to_socket)) as connector,
            ):
                yield _started_model(container, connector, started_s, by_files=by_files)
        finally:
            self._remove(name)
            if container is not None:
                container.join()

    def _image_config(self, image: BuiltImage) -> Mapping[str, Any]:
        """The image's own configuration.

        Raises:
            ProtocolViolation: if the image has no command.
        """
        with engine_faults():
            config: Mapping[str, Any] = self._engine.client.images.get(image.id).attrs.get("Config") or {}
        if not (config.get("Cmd") or config.get("Entrypoint")):
            raise ProtocolViolation("the image has no command; add a CMD to the Dockerfile")
        return config

    def _check_protocol(self, *, by_files: bool) -> None:
        """Refuse a model that speaks HTTP under gVisor, which passes no socket out of a container.

        Raises:
            ProtocolViolation: if it does.
        """
        if not by_files and "runsc" in (self._settings.runtime or ""):
            raise ProtocolViolation(
                "this validator runs models under gVisor, which passes no socket out of a container; "
                f'use the protocol over files (LABEL {PROTOCOL_LABEL}="files")'
            )

    def _container_labels(self, model: FetchedModel, private: Path | None) -> dict[str, str]:
        labels = {LABEL: "model", **self._labels(model)}
        return labels if private is None else labels | {PRIVATE_LABEL: str(private)}

    def _seccomp_option(self, private: Path | None) -> str:
        """The filter of system calls as the engine expects it: Docker takes its content, Podman a file name."""
        profile = json.dumps(engine_profile())
        if private is None or not self._engine.is_podman:
            return profile
        (private / "seccomp.json").write_text(profile)
        return str(private / "seccomp.json")

    def _started_container(
        self, name: str, request: Mapping[str, Any], limits: SandboxLimits, token: StopToken
    ) -> _StartedContainer:
        """Create and start a container."""
        api = self._engine.client.api
        with engine_faults():
            token.check()
            url = api._url("/containers/create")
            created = api._result(api._post_json(url, data=request, params={"name": name}), True)
            # The engine ignores its own option for this. It uses the group that it finds, and removes it.
            if not limit_socket_buffers(self._engine.plain_group(str(created["Id"])), limits):
                _log.warning(
                    "the buffers of this model's Internet sockets are not limited: use control groups version 2",
                    extra={"action": "sockets_not_limited"},
                )
            started_s = time.monotonic()
            api.start(name)
            return _StartedContainer(int(api.inspect_container(name)["State"]["Pid"]), started_s)

    def _remove(self, name: str) -> None:
        """Remove a container, with several attempts.

        Raises:
            EngineUnavailable: if the engine does not remove it. The next run tries again.
        """
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
                        self._unremoved.add(name)
                    raise
                time.sleep(0.2 * 2**attempt)


def _started_model(
    container: Container, connector: ModelConnector, started_s: float, *, by_files: bool
) -> StartedModel:
    return StartedModel(
        started_s=started_s,
        by_files=by_files,
        connect=connector.connect,
        open_folder=container.open_folder,
        ended=container.fault,
        stop=container.stop,
        log=container.log,
        peak_memory_bytes=container.peak_memory_bytes,
        restart_peak=container.restart_peak,
        listening_ports=container.listening_ports,
    )
