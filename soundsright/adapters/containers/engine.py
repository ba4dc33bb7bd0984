"""A container engine behind its API socket: Docker Engine, or Podman through the same API."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soundsright.adapters.containers.labels import OWNER_LABEL, PRIVATE_LABEL, owner_may_run
from soundsright.adapters.sandboxes import PRIVATE_PREFIX
from soundsright.core.errors import EngineUnavailable, InfrastructureFault

if TYPE_CHECKING:
    import docker

REQUEST_TIMEOUT_S = 120
_DEFAULT_URL = "unix:///var/run/docker.sock"
_REMEDIES = (
    (
        r"no space left on device",
        "The engine's disk is full",
        "Free space there, for example with `docker image prune`.",
    ),
    (
        r"could not select device driver|cdi|nvidia",
        "The engine cannot give a GPU to a container",
        "Install the GPU vendor's container toolkit, or use --gpus none.",
    ),
    (
        r"unknown or invalid runtime|runtime .* not found|unknown runtime",
        "The engine does not have this runtime",
        "Install it and add it to the engine's configuration, or remove --runtime.",
    ),
)


class Engine:
    """One engine. `url` is its socket, by default DOCKER_HOST or `/var/run/docker.sock`."""

    def __init__(self, url: str | None = None) -> None:
        self.url = url
        self._lock = threading.Lock()
        self._client: docker.DockerClient | None = None
        self._version: dict[str, Any] = {}
        self._info: dict[str, Any] = {}

    @property
    def client(self) -> docker.DockerClient:
        """The connected client.

        Raises:
            EngineUnavailable: if no engine answers, or the `docker` package is missing.
        """
        with self._lock:
            try:
                import docker
            except ImportError as e:
                raise EngineUnavailable(
                    "The docker sandbox needs the Python package `docker`",
                    "Run `pip install 'soundsright[validator]'`.",
                ) from e
            with engine_faults():
                _check_listening(self.url or os.environ.get("DOCKER_HOST") or _DEFAULT_URL)
                if self._client is None:
                    client = (
                        docker.DockerClient(self.url, timeout=REQUEST_TIMEOUT_S)
                        if self.url
                        else docker.from_env(timeout=REQUEST_TIMEOUT_S)
                    )
                    self._version = client.version()
                    self._client = client
            return self._client

    def available(self) -> str | None:
        """None if the engine answers, otherwise the reason in one line."""
        try:
            client = self.client
            with engine_faults():
                client.ping()
        except InfrastructureFault as e:
            return e.problem
        return None

    @property
    def is_podman(self) -> bool:
        """Whether the engine is Podman."""
        _ = self.client
        return any(part.get("Name") == "Podman Engine" for part in self._version.get("Components", ()))

    @property
    def platform(self) -> str:
        """The platform of the images that it runs, such as `linux/amd64`."""
        _ = self.client
        return f"{self._version.get('Os', 'linux')}/{self._version.get('Arch', '')}"

    def weakness(self) -> str | None:
        """Why this engine cannot enforce a model's limits, or None if it can.

        Raises:
            EngineUnavailable: if the engine does not answer.
        """
        info = self._machine_info()
        # A rootless engine on control groups version 1 accepts limits and ignores them.
        rootless = any("rootless" in str(option) for option in info.get("SecurityOptions") or ())
        can_limit = bool(info.get("MemoryLimit")) and bool(info.get("PidsLimit"))
        if can_limit and not (rootless and self._has_version_1()):
            return None
        return "The engine cannot limit a model's memory and processes on this machine"

    def plain_group(self, container_id: str) -> str | None:
        """The control group that a container gets, below the root of each hierarchy, or None if that is not known.

        Raises:
            EngineUnavailable: if the engine does not answer.
        """
        if self.is_podman or self._machine_info().get("CgroupDriver") != "cgroupfs":
            return None
        return f"docker/{container_id}"

    def _has_version_1(self) -> bool:
        return str(self._machine_info().get("CgroupVersion", "1")).lstrip("v") == "1"

    def _machine_info(self) -> dict[str, Any]:
        if not self._info:
            with engine_faults():
                self._info = self.client.info()
        return self._info

    def forget(self) -> None:
        """Close the connections. The next use connects again."""
        with self._lock:
            if self._client is not None:
                self._client.close()
            self._client = None

    def sweep(self) -> int:
        """Remove the containers of harness processes of this machine that have ended. Returns how many."""
        import docker.errors

        removed = 0
        with engine_faults():
            for container in self.client.containers.list(
                all=True, filters={"label": OWNER_LABEL}, ignore_removed=True
            ):
                if not owner_may_run(container.labels.get(OWNER_LABEL, "")):
                    with contextlib.suppress(docker.errors.NotFound):
                        container.remove(force=True, v=True)
                        removed += 1
                    private = Path(container.labels.get(PRIVATE_LABEL, ""))
                    if private.name.startswith(PRIVATE_PREFIX):
                        shutil.rmtree(private, ignore_errors=True)
        return removed


def _check_listening(url: str) -> None:
    """Check that something listens at a Unix socket. The client library leaks a socket if nothing does.

    Raises:
        OSError: if nothing listens there.
    """
    if url.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(REQUEST_TIMEOUT_S)
            probe.connect(url.removeprefix("unix://"))


@contextlib.contextmanager
def engine_faults() -> Iterator[None]:
    """Translate the errors of the engine's client into faults with a remedy for the operator.

    Raises:
        EngineUnavailable: the engine refused a request, or does not answer.
    """
    import docker.errors
    import requests
    import urllib3

    try:
        yield
    except docker.errors.APIError as e:
        text = str(e.explanation or e)
        for pattern, problem, remedy in _REMEDIES:
            if re.search(pattern, text, re.IGNORECASE):
                raise EngineUnavailable(f"{problem}: {text[:300]}", remedy) from e
        raise EngineUnavailable(
            f"The container engine refused a request: {text[:300]}",
            "Read the engine's log, for example with `journalctl -u docker`.",
        ) from e
    except (
        docker.errors.DockerException,
        docker.errors.StreamParseError,
        requests.RequestException,
        urllib3.exceptions.HTTPError,
        http.client.HTTPException,
        OSError,
    ) as e:
        raise EngineUnavailable(
            f"No container engine answers ({_innermost_reason(e)})",
            "Start it (`systemctl start docker`), or set DOCKER_HOST to the socket of another one.",
        ) from e


def _innermost_reason(error: BaseException) -> str:
    """The message of the first cause, which the client library wraps several times."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return str(error)[:200] or type(error).__name__
