"""WebSockets behind the front: they take places, keep them, and cannot be used to hold others up."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import connect

from soundsright.services.http.limits import Limits
from soundsright.services.http.requests import HttpService, listening
from tests.services.http.connections import is_answered


def echo_app() -> FastAPI:
    app = FastAPI()

    @app.get("/quick")
    async def quick() -> str:
        return "quick"

    @app.websocket("/echo")
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                await websocket.send_bytes(await websocket.receive_bytes())

    return app


@contextlib.contextmanager
def serving(limits: Limits, *, has_streams: bool = True) -> Iterator[HttpService]:
    sock = listening("127.0.0.1", 0, host_variable="H", port_variable="P")
    service = HttpService(echo_app(), sock, name="t", limits=limits, has_streams=has_streams).start()
    try:
        yield service
    finally:
        service.close()


def url_of(service: HttpService) -> str:
    return f"ws://127.0.0.1:{service.port}/echo"


def test_small_messages_are_sent_at_once() -> None:
    with serving(Limits()) as service, connect(url_of(service)) as client:
        client.send(b"x")
        assert client.recv(5) == b"x"
        (connection,) = service._server.server_state.connections
        sock = connection.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_service_without_streams_refuses_websockets() -> None:
    with serving(Limits(), has_streams=False) as service, pytest.raises(InvalidStatus), connect(url_of(service)):
        pass


def test_an_accepted_websocket_keeps_its_place_when_the_front_is_full() -> None:
    limits = Limits(connections=8, per_client=0, reserve=0)
    with serving(limits) as service, connect(url_of(service)) as client, contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(socket.create_connection(("127.0.0.1", service.port), 5))
        client.send(b"still here")
        assert client.recv(5) == b"still here"
        assert is_answered(service)


def test_one_client_cannot_take_more_places_than_its_own() -> None:
    limits = Limits(connections=32, per_client=4, reserve=0)
    with serving(limits) as service, contextlib.ExitStack() as stack:
        opened = 0
        for _ in range(10):
            with contextlib.suppress(OSError, EOFError, WebSocketException):
                stack.enter_context(connect(url_of(service), open_timeout=5))
                opened += 1
        assert opened == 4


def test_a_message_that_is_too_long_closes_the_websocket() -> None:
    with serving(Limits()) as service, connect(url_of(service), compression=None) as client:
        with contextlib.suppress(ConnectionClosed):
            client.send(b"x" * 100_000)
        with pytest.raises(ConnectionClosed):
            client.recv(5)
        assert client.close_code in (1009, 1006)


def test_a_client_that_does_not_read_loses_its_place() -> None:
    with serving(Limits(stream_read_s=0.5)) as service, contextlib.ExitStack() as stack:
        client = stack.enter_context(socket.socket())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.connect(("127.0.0.1", service.port))
        client.sendall(
            b"GET /echo HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert client.recv(12) == b"HTTP/1.1 101"
        client.settimeout(0.2)
        frame = bytes([0x82, 0x80 | 126]) + (4_000).to_bytes(2, "big") + bytes(4) + bytes(4_000)
        deadline = time.monotonic() + 15
        while service._server.server_state.connections:
            assert time.monotonic() < deadline
            with contextlib.suppress(OSError):
                client.sendall(frame)
