"""The front reads `X-Forwarded-For` only behind a declared proxy, and refuses a web server that it cannot read."""

from __future__ import annotations

import json

import pytest
from fastapi import FastAPI, Request
from uvicorn.protocols.http.h11_impl import H11Protocol

from soundsright.core.errors import UsageError
from soundsright.services.http.front import server_config
from soundsright.services.http.limits import Limits
from tests.services.http.connections import SMALL, Dial, Serve


def client_seen(serve: Serve, dial: Dial, limits: Limits, forwarded: str) -> str:
    """The address that a service takes for that of its client, which writes this header itself."""
    app = FastAPI()

    @app.get("/client")
    async def client(request: Request) -> str:
        return request.client.host if request.client else ""

    sent = f"GET /client HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {forwarded}\r\nConnection: close\r\n\r\n"
    received = b""
    connection = dial(serve(app, limits), sent.encode())
    while part := connection.recv(4_096):
        received += part
    return str(json.loads(received.split(b"\r\n\r\n", 1)[1]))


def test_a_client_of_a_tunnel_cannot_name_another_address(serve: Serve, dial: Dial) -> None:
    assert client_seen(serve, dial, SMALL, "203.0.113.7") == "127.0.0.1"


def test_a_service_that_leaves_connections_to_its_proxy_reads_the_address_of_the_proxys_client(
    serve: Serve, dial: Dial
) -> None:
    behind_proxy = Limits(connections=24, per_client=0, reserve=2)
    assert client_seen(serve, dial, behind_proxy, "203.0.113.7") == "203.0.113.7"
    # The last address is the one that the proxy added itself.
    assert client_seen(serve, dial, behind_proxy, "10.0.0.1, 203.0.113.7") == "203.0.113.7"


def test_a_server_that_the_front_cannot_read_is_refused_before_it_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    def renamed(self: object) -> None: ...

    monkeypatch.setattr(H11Protocol, "__init__", renamed)
    with pytest.raises(UsageError, match=r"uvicorn [\d.]+ .*`cycle`.*pip install"):
        server_config(FastAPI(), SMALL)
