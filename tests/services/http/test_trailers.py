"""An answer can have headers after its body, such as the signature of what was sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI

from soundsright.services.http.requests import HttpService
from soundsright.services.http.trailers import trailers
from tests.services.http.connections import Dial, Serve


def trailing_app() -> FastAPI:
    app = FastAPI()

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        async for piece in pieces():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        await send(trailers([(b"x-answer-signature", b"0xab")]))

    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        yield b"second"

    app.mount("/trailing", answer)

    @app.get("/plain")
    async def plain() -> str:
        return "plain"

    return app


def received(dial: Dial, service: HttpService, text: str) -> bytes:
    client = dial(service, text.encode())
    parts = []
    while part := client.recv(65_536):
        parts.append(part)
    return b"".join(parts)


def test_a_chunked_answer_ends_with_its_trailers(serve: Serve, dial: Dial) -> None:
    answer = received(
        dial, serve(trailing_app()), "GET /trailing/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    assert answer.endswith(b"5\r\nfirst\r\n6\r\nsecond\r\n0\r\nx-answer-signature: 0xab\r\n\r\n")


def test_the_next_answer_of_a_connection_has_none(serve: Serve, dial: Dial) -> None:
    first = "GET /trailing/ HTTP/1.1\r\nHost: x\r\n\r\n"
    second = "GET /plain HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = received(dial, serve(trailing_app()), first + second)
    assert answer.count(b"x-answer-signature") == 1
    assert answer.endswith(b'"plain"')


@pytest.mark.parametrize("line", ["GET /trailing/ HTTP/1.0", "HEAD /trailing/ HTTP/1.1"])
def test_a_client_that_cannot_read_trailers_gets_the_answer_without(serve: Serve, dial: Dial, line: str) -> None:
    answer = received(dial, serve(trailing_app()), f"{line}\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"x-answer-signature" not in answer
