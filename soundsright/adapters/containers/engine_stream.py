"""A long reply of the engine, such as that of a build or a pull, which another thread can cancel."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping
from typing import IO, Any

from soundsright.adapters.containers.engine import REQUEST_TIMEOUT_S, Engine

_PART_BYTES = 1 << 18


class EngineStream:
    """The JSON objects of a reply, one after the other.

    `cancel` breaks the connection. An engine ends the build or pull of a client that has gone.
    """

    def __init__(
        self,
        engine: Engine,
        path: str,
        params: Mapping[str, Any],
        *,
        headers: Mapping[str, str] | None = None,
        body: IO[bytes] | None = None,
        timeout_s: float = REQUEST_TIMEOUT_S,
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
        """Send the request and give each object.

        Raises:
            OSError, DockerException: the errors that `engine_faults` translates, also after `cancel`.
        """
        response = self._api._post(
            self._api._url(self._path),
            params=self._params,
            headers=self._headers,
            data=_CancellableBody(self._body, self) if self._body is not None else None,
            stream=True,
            timeout=self._timeout_s,
        )
        with contextlib.closing(response):
            self._api._raise_for_status(response)
            with self._lock:
                self._response = response
                self._disconnect_if_cancelled()
            yield from self._api._stream_helper(response, decode=True)

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled

    def cancel(self) -> None:
        """Break the connection, from any thread. The thread that reads gets an error."""
        with self._lock:
            self._cancelled = True
            self._disconnect_if_cancelled()

    def _disconnect_if_cancelled(self) -> None:
        if self._cancelled and self._response is not None:
            with contextlib.suppress(OSError):
                self._api._get_raw_response_socket(self._response)._sock.shutdown(socket.SHUT_RDWR)


class _CancellableBody:
    """A request's body, whose upload ends when its stream is cancelled."""

    def __init__(self, body: IO[bytes], stream: EngineStream) -> None:
        self._body = body
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        while not self._stream.cancelled and (part := self._body.read(_PART_BYTES)):
            yield part
        if self._stream.cancelled:
            raise ConnectionAbortedError("cancelled")
