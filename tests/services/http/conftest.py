"""Fixtures of the tests of the HTTP services."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator

import pytest
from fastapi import FastAPI

from soundsright.services.http.limits import Limits
from soundsright.services.http.requests import HttpService, listening
from tests.services.http.connections import (
    SMALL,
    Dial,
    Serve,
    app_of_tests,
)


@pytest.fixture
def serve() -> Iterator[Serve]:
    with contextlib.ExitStack() as stack:

        def start(
            app: FastAPI | None = None,
            limits: Limits | None = None,
            clock_s: Callable[[], float] = time.monotonic,
        ) -> HttpService:
            sock = listening("0.0.0.0", 0, host_variable="H", port_variable="P")
            service = HttpService(
                app or app_of_tests(),
                sock,
                name="t",
                limits=limits or SMALL,
                clock_s=clock_s,
            ).start()
            stack.callback(service.close)
            return service

        yield start


@pytest.fixture
def dial() -> Iterator[Dial]:
    with contextlib.ExitStack() as stack:

        def connect(
            service: HttpService, sent: bytes = b"", address: str = "127.0.0.1", window: int = 4_096
        ) -> socket.socket:
            sock = stack.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
            sock.settimeout(5)
            sock.bind((address, 0))
            sock.connect(("127.0.0.1", service.port))
            with contextlib.suppress(ConnectionError):
                sock.sendall(sent)
            return sock

        yield connect
