"""Clients that open connections to a service, for the tests of its front."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable

from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse

from soundsright.adapters.peers.client import request
from soundsright.core.errors import PeerUnavailable
from soundsright.services.http.front import vouch
from soundsright.services.http.limits import Limits
from soundsright.services.http.requests import HttpService, answer_refusals, bounded_body

SMALL = Limits(connections=24, per_client=8, reserve=2)


LARGE = b"x" * 3_000_000


FOUR_STRANGERS = [f"127.0.0.{last}" for last in (2, 3, 4, 5)]


BEGUN = {
    "silent": b"",
    "slow-header": b"POST /take HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    "slow-body": b"POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf",
    "idle": b"GET /quick HTTP/1.1\r\nHost: x\r\n\r\n",
    "slow-reader": b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n",
    "endless-reply": b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n",
}


Serve = Callable[..., HttpService]


Dial = Callable[..., socket.socket]


def app_of_tests() -> FastAPI:
    app = FastAPI()
    answer_refusals(app)

    @app.get("/quick")
    async def quick() -> str:
        return "quick"

    @app.get("/vouched")
    async def vouched(request: Request) -> str:
        vouch(request)
        return "vouched"

    @app.get("/large")
    async def large() -> Response:
        return Response(LARGE)

    @app.get("/endless")
    async def endless() -> StreamingResponse:
        async def pieces() -> AsyncIterator[str]:
            while True:
                yield "x"
                await asyncio.sleep(0.1)

        return StreamingResponse(pieces())

    @app.post("/take")
    async def take(request: Request) -> dict[str, int]:
        return {"bytes": len(await bounded_body(request, 3_000_000))}

    return app


def is_answered(service: HttpService, path: str = "/quick") -> bool:
    try:
        return request(f"http://127.0.0.1:{service.port}", "GET", path, timeout_s=3).status == 200
    except PeerUnavailable:
        return False
