"""A model that somebody else runs, at an address where it speaks the model protocol over HTTP.

Times are in seconds, sizes in bytes. Nothing here starts, limits or ends the model's program.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from soundsright.adapters.sandboxes.session import ModelSession, StartedModel, loaded_session
from soundsright.adapters.sandboxes.stopping import STOPPED, StopSource
from soundsright.core.errors import EngineUnavailable, ModelCrashed, UsageError
from soundsright.core.ports import SandboxLimits
from soundsright.core.submission import FetchedModel

_DEFAULT_PORTS = {"http": 80, "https": 443}


class EndpointRunner:
    """The `Runner` of a model at `url`, such as http://127.0.0.1:6500. It has one set of uploads, so it runs once.

    Raises:
        UsageError: the URL has another form.
    """

    name = "endpoint"

    def __init__(self, url: str) -> None:
        self._host, self._port, self._context = _address(url)
        self._url = url
        self._stop_source = StopSource()
        self._in_use = threading.Lock()

    def prepare(self, model: FetchedModel) -> None:
        """Do nothing: the model runs already."""

    @contextlib.contextmanager
    def run(self, model: FetchedModel, *, limits: SandboxLimits) -> Iterator[ModelSession]:
        """Wait until the model is ready.

        Raises:
            ModelFault: it did not become ready.
            EngineUnavailable: it runs here already. Two runs would mix their uploads.
        """
        with self._alone(), self._stop_source.token() as token:
            open_sockets: set[socket.socket] = set()
            stopped = threading.Event()
            started = StartedModel(
                started_s=time.monotonic(),
                by_files=False,
                connect=lambda timeout_s: self._connection(timeout_s, open_sockets),
                open_folder=_no_folder,
                ended=lambda: ModelCrashed(STOPPED) if stopped.is_set() else None,
                stop=lambda: None,
                log=lambda: "",
                peak_memory_bytes=lambda: 0,
            )

            def stop() -> None:
                stopped.set()
                for each in tuple(open_sockets):
                    with contextlib.suppress(OSError):
                        each.shutdown(socket.SHUT_RDWR)

            with token.on_stop(stop):
                yield loaded_session(started, limits)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._in_use.acquire(blocking=False):
            raise EngineUnavailable(f"{self._url} is in use, and takes one recording at a time", "Give one slot.")
        try:
            yield
        finally:
            self._in_use.release()

    def stop(self) -> None:
        """End the exchanges with the model. The model itself goes on."""
        self._stop_source.stop()

    def _connection(self, timeout_s: float, open_sockets: set[socket.socket]) -> socket.socket:
        open_sockets -= {each for each in open_sockets if each.fileno() < 0}
        sock = socket.create_connection((self._host, self._port), timeout_s)
        if self._context is not None:
            sock = self._context.wrap_socket(sock, server_hostname=self._host)
        open_sockets.add(sock)
        return sock


def _address(url: str) -> tuple[str, int, ssl.SSLContext | None]:
    remedy = "Give the address of a model's server, such as http://127.0.0.1:6500."
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise UsageError(f"{url[:200]!r} is not the address of a model", remedy) from None
    extra = parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None
    if parts.scheme not in _DEFAULT_PORTS or not host or extra:
        raise UsageError(f"{url[:200]!r} is not the address of a model", remedy)
    context = ssl.create_default_context() if parts.scheme == "https" else None
    return host, port or _DEFAULT_PORTS[parts.scheme], context


def _no_folder(path: PurePosixPath) -> int:
    raise FileNotFoundError(path)
