"""One HTTP/1.1 exchange with an untrusted server: one deadline for the whole exchange, and a limit on the answer.

Times are in seconds of `time.monotonic`, sizes in bytes.

Client libraries limit the time of each read, not of the whole exchange. A server that sends one byte at a time
could keep them waiting for hours. So this module uses plain `http.client` on its own socket, where every send and
receive gets the time left until the deadline. It has no redirects, cookies, proxies or kept connections to abuse.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import IO, NamedTuple

Connect = Callable[[float], socket.socket]
"""Opens a connection within that many seconds, or raises OSError."""

_CHUNK_BYTES = 1 << 18
_FRAMING_BYTES = 1 << 18
"""Allowed for headers and chunk sizes, besides twice the limit of the body."""


class TooLarge(Exception):
    """The answer is larger than its limit."""


@dataclass(frozen=True, eq=False)
class Body:
    """A request body of known length."""

    content_type: str
    length: int
    parts: Iterable[bytes]


class HttpReply(NamedTuple):
    """The status of an answer. The times are before the first byte sent and after the last byte received."""

    status: int
    began_s: float
    ended_s: float


def exchange(
    connect: Connect,
    method: str,
    path: str,
    *,
    deadline: float,
    sink: IO[bytes],
    max_bytes: int,
    body: Body | None = None,
) -> HttpReply:
    """Send one request and write the answer's body to `sink`.

    Raises:
        TimeoutError: if the deadline passes at any point.
        TooLarge: if the body is larger than `max_bytes`.
        OSError, http.client.HTTPException: if the connection fails or the answer is not HTTP.
    """
    with connect(_seconds_left(deadline)) as sock:
        connection = http.client.HTTPConnection("model")
        connection.sock = BoundedSocket(sock, deadline, max_bytes)
        connection.putrequest(method, path, skip_accept_encoding=True)
        connection.putheader("Connection", "close")
        if body is not None:
            connection.putheader("Content-Type", body.content_type)
        if method == "POST":
            connection.putheader("Content-Length", str(body.length if body else 0))
        # The model can work while it reads the request slowly, so the clock starts before the first byte.
        began_s = time.monotonic()
        connection.endheaders(body.parts if body else None)
        try:
            status = _receive(connection.getresponse(), sink, max_bytes)
        except (ValueError, ArithmeticError) as error:
            # The length or the size of a chunk is a number without meaning, such as -5.
            raise http.client.HTTPException(f"the answer is not HTTP: {error}") from error
        return HttpReply(status, began_s, time.monotonic())


def _receive(response: http.client.HTTPResponse, sink: IO[bytes], max_bytes: int) -> int:
    declared = response.getheader("Content-Length", "")[:20]
    if declared.isdecimal() and int(declared) > max_bytes:
        raise TooLarge(f"the answer announces {declared} bytes, at most {max_bytes} are allowed")
    received = 0
    while chunk := response.read(_CHUNK_BYTES):
        received += len(chunk)
        if received > max_bytes:
            raise TooLarge(f"the answer has more than {max_bytes} bytes")
        sink.write(chunk)
    if declared.isdecimal() and received < int(declared):
        raise http.client.IncompleteRead(b"", int(declared) - received)
    return response.status


def _seconds_left(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("the deadline has passed")
    return seconds


class BoundedSocket:
    """The part of a socket that `http.client` uses, with a deadline for all calls together. Its owner closes it.

    It reads up to about twice `max_bytes`, to allow for HTTP's framing, and then raises `TooLarge`.
    """

    def __init__(self, sock: socket.socket, deadline: float, max_bytes: int) -> None:
        self._sock = sock
        self._deadline = deadline
        self._max_bytes = max_bytes

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(_seconds_left(self._deadline))
        self._sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._sock, self._deadline, self._max_bytes), _CHUNK_BYTES)

    def close(self) -> None:
        pass


class _Reader(io.RawIOBase):
    """Limits all received bytes, including headers: with a chunk size of -1, reading would never end."""

    def __init__(self, sock: socket.socket, deadline: float, max_bytes: int) -> None:
        self._sock = sock
        self._deadline = deadline
        self._max_bytes = max_bytes
        self._bytes_left = 2 * max_bytes + _FRAMING_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._sock.settimeout(_seconds_left(self._deadline))
        received = self._sock.recv_into(buffer)
        self._bytes_left -= received
        if self._bytes_left < 0:
            raise TooLarge(f"the answer has more than {self._max_bytes} bytes")
        return received
