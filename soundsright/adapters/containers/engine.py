"""A container engine behind its API socket (Docker Engine or Podman): reached, asked, and its errors named.

Whatever the harness makes carries its labels, and only what carries them is ever removed.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shutil
import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from soundsright.adapters.sandboxes import PRIVATE_PREFIX
from soundsright.core.errors import EngineUnavailable, InfrastructureFault

if TYPE_CHECKING:
    import docker

LABEL = "soundsright"
"""On every container and image of the harness."""
OWNER_LABEL = "soundsright.owner"
"""The process that made a container; once it is gone, the container is nobody's."""
PRIVATE_LABEL = "soundsright.private"
"""The folder on the host that goes with a container."""
ROUND_LABEL, ENTRY_LABEL, CONTENT_LABEL = "soundsright.round", "soundsright.entry", "soundsright.content"

_TIMEOUT_S = 120
_START = "Start it (`systemctl start docker`), or name another by DOCKER_HOST."
_REMEDIES = (
    (r"no space left on device", "The engine's disk is full", "Free space there, such as by `docker image prune`."),
    (
        r"could not select device driver|cdi|nvidia",
        "The engine cannot give out GPUs",
        "Install the vendor's container toolkit, or use --gpus none.",
    ),
    (
        r"unknown or invalid runtime|runtime .* not found|unknown runtime",
        "The engine has no such runtime",
        "Install it, or leave --runtime out.",
    ),
)


class Engine:
    """One engine. `url` is its socket; without it, DOCKER_HOST or the default socket."""

    def __init__(self, url: str | None = None) -> None:
        self.url = url
        self._lock = threading.Lock()
        self._client: docker.DockerClient | None = None
        self._version: dict[str, Any] = {}
        self._holds: bool | None = None

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
                    "The docker sandbox needs the `docker` package", "pip install soundsright[validator]"
                ) from e
            with engine_faults():
                _knock(self.url or os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock")
                if self._client is None:
                    client = (
                        docker.DockerClient(self.url, timeout=_TIMEOUT_S)
                        if self.url
                        else docker.from_env(timeout=_TIMEOUT_S)
                    )
                    self._version = client.version()
                    self._client = client
            return self._client

    def available(self) -> str | None:
        """None if the engine answers, else the reason in one line."""
        try:
            client = self.client
            with engine_faults():
                client.ping()
        except InfrastructureFault as e:
            return e.problem
        return None

    @property
    def is_podman(self) -> bool:
        _ = self.client
        return any(part.get("Name") == "Podman Engine" for part in self._version.get("Components", ()))

    def weakness(self) -> str | None:
        """Why this engine cannot hold a model to its limits, or None if it can.

        Raises:
            EngineUnavailable: if it does not answer.
        """
        if self._holds is None:
            with engine_faults():
                facts = self.client.info()
            # Some that cannot limit anything take the limits all the same.
            rootless = any("rootless" in str(option) for option in facts.get("SecurityOptions") or ())
            old = str(facts.get("CgroupVersion", "1")).lstrip("v") == "1"
            self._holds = not (rootless and old) and bool(facts.get("MemoryLimit")) and bool(facts.get("PidsLimit"))
        return None if self._holds else "The engine cannot limit a model's memory and processes on this machine"

    def forget(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._client is not None:
                self._client.close()
            self._client = None

    def sweep(self) -> int:
        """Remove containers that a harness of this machine made and did not live to remove; says how many."""
        removed = 0
        with engine_faults():
            for container in self.client.containers.list(
                all=True, filters={"label": OWNER_LABEL}, ignore_removed=True
            ):
                if not _alive(container.labels.get(OWNER_LABEL, "")):
                    with contextlib.suppress(*_gone()):
                        container.remove(force=True, v=True)
                        removed += 1
                    private = Path(container.labels.get(PRIVATE_LABEL, ""))
                    if private.name.startswith(PRIVATE_PREFIX):
                        shutil.rmtree(private, ignore_errors=True)
        return removed


class Stream:
    """A long answer of the engine, one JSON object after the other, which can be broken off from any thread.

    An engine ends a build or a pull whose asker has gone.
    """

    def __init__(
        self,
        engine: Engine,
        path: str,
        params: Mapping[str, Any],
        *,
        headers: Mapping[str, str] | None = None,
        body: IO[bytes] | None = None,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        self._api = engine.client.api
        self._path = path
        self._params = params
        self._headers = headers or {}
        self._body = body
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._response: Any = None
        self._cancelled = False

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Raises:
        OSError, DockerException: what `engine_faults` names.
        """
        response = self._api._post(
            self._api._url(self._path),
            params=self._params,
            headers=self._headers,
            data=_Given(self._body, self) if self._body is not None else None,
            stream=True,
            timeout=self._timeout_s,
        )
        with contextlib.closing(response):
            self._api._raise_for_status(response)
            with self._lock:
                self._response = response
                self._break_off()
            yield from self._api._stream_helper(response, decode=True)

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    def cancel(self) -> None:
        """Break off; whoever reads gets an error."""
        with self._lock:
            self._cancelled = True
            self._break_off()

    def _break_off(self) -> None:
        if self._cancelled and self._response is not None:
            with contextlib.suppress(OSError):
                self._api._get_raw_response_socket(self._response)._sock.shutdown(socket.SHUT_RDWR)


class _Given:
    """A request's body, whose sending ends when its stream is cancelled."""

    def __init__(self, body: IO[bytes], stream: Stream) -> None:
        self._body = body
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        while not self._stream.cancelled and (part := self._body.read(1 << 18)):
            yield part
        if self._stream.cancelled:
            raise ConnectionAbortedError("cancelled")


def _knock(url: str) -> None:
    """See whether anything listens at a socket's path; the client library leaves a socket open where nothing does.

    Raises:
        OSError: if nothing does.
    """
    if url.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as knocking:
            knocking.settimeout(_TIMEOUT_S)
            knocking.connect(url.removeprefix("unix://"))


@contextlib.contextmanager
def engine_faults() -> Iterator[None]:
    """What the engine's client raises, as faults with a remedy for the operator."""
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
        raise EngineUnavailable(f"The container engine refused: {text[:300]}", "See the engine's log.") from e
    except (
        docker.errors.DockerException,
        docker.errors.StreamParseError,
        requests.RequestException,
        urllib3.exceptions.HTTPError,
        http.client.HTTPException,
        OSError,
    ) as e:
        raise EngineUnavailable(f"No container engine answers ({_reason(e)})", _START) from e


def _reason(error: BaseException) -> str:
    """The innermost cause: the client wraps it five times."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return str(error)[:200] or type(error).__name__


def _gone() -> tuple[type[Exception], ...]:
    import docker.errors

    return (docker.errors.NotFound,)


def owner() -> str:
    """This process, so named that no other is taken for it: host, PID namespace, boot, number, start."""
    return "/".join((*_place(), _boot(), str(os.getpid()), _started(os.getpid())))


def _alive(name: str) -> bool:
    """Whether an owner still runs. One of another host or another container cannot be seen from here: it may."""
    host, space, boot, pid, started = (name.split("/") + [""] * 5)[:5]
    if (host, space) != _place():
        return True
    return boot == _boot() and pid.isdecimal() and started != "" and _started(int(pid)) == started


def _place() -> tuple[str, str]:
    with contextlib.suppress(OSError):
        return socket.gethostname(), Path("/proc/self/ns/pid").readlink().name
    return socket.gethostname(), ""


def _boot() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def _started(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return ""
