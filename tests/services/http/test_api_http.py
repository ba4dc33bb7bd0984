"""Slow, broken and hostile HTTP clients cannot disturb other clients."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator

import pytest
from fastapi import FastAPI, Request

from soundsright.adapters.peers.client import request
from soundsright.services.http.limits import Limits
from soundsright.services.http.requests import HttpService, answer_refusals, bounded_body, listening

PATIENCE_S = 0.4
LIMITS = Limits(header_s=PATIENCE_S, body_s=PATIENCE_S, read_s=PATIENCE_S)
Dial = Callable[[], socket.socket]


@pytest.fixture
def service() -> Iterator[HttpService]:
    app = FastAPI()
    answer_refusals(app)

    @app.get("/large")
    def large() -> dict[str, str]:
        return {"data": "x" * 30_000_000}

    @app.post("/take")
    async def take(request: Request) -> dict[str, int]:
        return {"bytes": len(await bounded_body(request, 10_000))}

    sock = listening("127.0.0.1", 0, host_variable="H", port_variable="P")
    running = HttpService(app, sock, name="t", limits=LIMITS).start()
    yield running
    running.close()


@pytest.fixture
def dial(service: HttpService) -> Iterator[Dial]:
    with contextlib.ExitStack() as stack:

        def connect() -> socket.socket:
            return stack.enter_context(socket.create_connection(("127.0.0.1", service.port), timeout=10))

        yield connect


def take(service: HttpService, body: bytes) -> int:
    return request(f"http://127.0.0.1:{service.port}", "POST", "/take", body=body, timeout_s=5).status


def ended(connection: socket.socket) -> bool:
    """Read to the end, and return whether the server ended the connection."""
    try:
        while connection.recv(1 << 20):
            pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize(
    "sent_bytes",
    [
        b"",
        b"POST /take HTTP/1.1\r\nHost: x\r\n",
        b"POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf",
        b"POST /take HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe",
    ],
)
def test_a_client_that_stops_in_a_request_is_disconnected(
    service: HttpService, dial: Dial, sent_bytes: bytes
) -> None:
    connection = dial()
    connection.sendall(sent_bytes)
    assert ended(connection)
    assert take(service, b"x") == 200


def test_a_client_that_sends_single_bytes_is_disconnected(dial: Dial) -> None:
    connection = dial()
    sent = 0
    with contextlib.suppress(ConnectionError):
        while sent < 1_000:
            connection.sendall(b"G")
            sent += 1
            time.sleep(PATIENCE_S / 10)
    assert sent < 100


def test_a_client_that_does_not_read_the_reply_is_disconnected(service: HttpService, dial: Dial) -> None:
    connection = dial()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
    connections = service._server.server_state.connections
    deadline_s = time.monotonic() + 10
    while not connections:
        assert time.monotonic() < deadline_s
    while connections:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_one_connection_serves_one_request_after_the_other(service: HttpService) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=5)
    connection.connect()
    with contextlib.closing(connection):
        same = connection.sock
        for _ in range(4):
            connection.request("POST", "/take", body=b"ab")
            assert json.loads(connection.getresponse().read()) == {"bytes": 2}
            time.sleep(PATIENCE_S / 1.5)
        assert connection.sock is same


@pytest.mark.parametrize("lines", [["X-A: " + "a" * 400_000], [f"X-{n}: b" for n in range(60_000)]])
def test_a_flood_of_headers_is_refused(service: HttpService, dial: Dial, lines: list[str]) -> None:
    connection = dial()
    with contextlib.suppress(ConnectionError):
        connection.sendall(("GET /take HTTP/1.1\r\n" + "\r\n".join(["Host: x", *lines]) + "\r\n\r\n").encode())
    with contextlib.suppress(ConnectionError):
        answer = connection.recv(4_096)
        assert not answer or answer.startswith(b"HTTP/1.1 4")
    assert ended(connection)
    assert take(service, b"x") == 200


def test_a_body_is_read_only_up_to_the_limit(service: HttpService, dial: Dial) -> None:
    assert take(service, b"x" * 10_000) == 200
    assert take(service, b"x" * 10_001) == 413
    # Without a length, and without an end.
    connection = dial()
    connection.sendall(b"POST /take HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        for _ in range(200):
            connection.sendall(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
    with contextlib.suppress(ConnectionError):
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
        # The answer is empty if the connection was closed while the last bytes were sent.
        assert not answer or (answer.startswith(b"HTTP/1.1 413") and b"too_large" in answer)


@pytest.mark.parametrize(
    "sent_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /take\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nab",
        b"POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_other_bytes_than_http_are_refused_and_nothing_breaks(
    service: HttpService, dial: Dial, sent_bytes: bytes
) -> None:
    connection = dial()
    connection.sendall(sent_bytes)
    with contextlib.suppress(ConnectionError):
        answer = connection.recv(4_096)
        assert not answer.startswith(b"HTTP/1.1 5")
    assert take(service, b"x") == 200
