"""One HTTP/1.1 exchange with a stranger's server: one deadline for all of it, a bound on every answer.

Times are in seconds of `time.monotonic`, sizes in bytes.

Plain `http.client` on a socket of our own making: client libraries bound each read, not the whole exchange, so
that a server which drips one byte of header at a time could hold them for hours. Here every receive and send is
given what is left until the deadline. There are no redirects, cookies, proxies or kept connections to be
abused.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import IO

Connect = Callable[[float], socket.socket]
"""Opens a connection within the given seconds, or raises OSError."""

_CHUNK_BYTES = 1 << 18
_FRAMING_BYTES = 1 << 18
"""For headers and the sizes of chunks, beside as much again as the body may have."""


class TooLarge(Exception):
    """The body is larger than the bound."""


@dataclass(frozen=True, eq=False)
class Body:
    """A request body of known length."""

    content_type: str
    length: int
    parts: Iterable[bytes]


def exchange(
    connect: Connect,
    method: str,
    path: str,
    *,
    deadline: float,
    sink: IO[bytes],
    max_bytes: int,
    body: Body | None = None,
) -> tuple[int, float]:
    """Send one request and write the answer's body to `sink`.

    Returns its status, and the seconds from the last byte that was sent to the last that came.

    Raises:
        TimeoutError: if the deadline passes, wherever the exchange is.
        TooLarge: if the body is larger than `max_bytes`.
        OSError, http.client.HTTPException: if the connection fails or the answer is not HTTP.
    """
    with connect(_left(deadline)) as sock:
        connection = http.client.HTTPConnection("model")
        connection.sock = BoundedSocket(sock, deadline, max_bytes)
        connection.putrequest(method, path, skip_accept_encoding=True)
        connection.putheader("Connection", "close")
        if body is not None:
            connection.putheader("Content-Type", body.content_type)
        if method == "POST":
            connection.putheader("Content-Length", str(body.length if body else 0))
        connection.endheaders(body.parts if body else None)
        sent = time.monotonic()
        try:
            status = _receive(connection.getresponse(), sink, max_bytes)
        except (ValueError, ArithmeticError) as error:
            # A length or a chunk's size that is a number and makes no sense, such as -5.
            raise http.client.HTTPException(f"the answer is not HTTP: {error}") from error
        return status, time.monotonic() - sent


def _receive(response: http.client.HTTPResponse, sink: IO[bytes], max_bytes: int) -> int:
    declared = response.getheader("Content-Length", "")[:20]
    if declared.isdecimal() and int(declared) > max_bytes:
        raise TooLarge(f"{declared} bytes announced, at most {max_bytes} expected")
    received = 0
    while chunk := response.read(_CHUNK_BYTES):
        received += len(chunk)
        if received > max_bytes:
            raise TooLarge(f"more than {max_bytes} bytes")
        sink.write(chunk)
    if declared.isdecimal() and received < int(declared):
        raise http.client.IncompleteRead(b"", int(declared) - received)
    return response.status


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the deadline has passed")
    return left


class BoundedSocket:
    """The part of a socket that `http.client` uses, given the time left before each call. Closed by its owner.

    Of an answer it passes on some more than `max_bytes`, for its framing, and then raises `TooLarge`.
    """

    def __init__(self, sock: socket.socket, deadline: float, max_bytes: int) -> None:
        self._sock = sock
        self._deadline = deadline
        self._max_bytes = max_bytes

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(_left(self._deadline))
        self._sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._sock, self._deadline, self._max_bytes), _CHUNK_BYTES)

    def close(self) -> None:
        pass


class _Reader(io.RawIOBase):
    """Also bounds all that comes, headers and chunks' sizes included: a size of -1 reads on to the end."""

    def __init__(self, sock: socket.socket, deadline: float, max_bytes: int) -> None:
        self._sock = sock
        self._deadline = deadline
        self._max_bytes = max_bytes
        self._left = 2 * max_bytes + _FRAMING_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._sock.settimeout(_left(self._deadline))
        received = self._sock.recv_into(buffer)
        self._left -= received
        if self._left < 0:
            raise TooLarge(f"more than {self._max_bytes} bytes")
        return received
