"""Signed answers: a client can check that the service of the hotkey that it called gave this answer to its request.

A signature covers the nonce and the sender of a signed request, and the status and the body of its answer. It is in
the header `X-Answer-Signature`, or in the trailer of that name of an answer that has trailers. Only answers to
admitted requests are signed. Otherwise a stranger could send the nonce of somebody else to a public route, and get
an answer that the other one takes for the answer to its own request. Sizes are in bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from soundsright.core.signed_http import ANSWER_HEADER, answer_text_of_digest
from soundsright.services.http.trailers import TRAILERS

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_MAX_SIGNED_BYTES = 2 << 20
_NONCE = b"x-bittensor-nonce"
_ADMITTED = "soundsright.admitted"


def sign_answers(app: FastAPI, sign: Callable[[bytes], bytes], *, max_bytes: int = _MAX_SIGNED_BYTES) -> None:
    """Let `app` sign its answers to requests that `signed_body` admitted. Larger bodies stay unsigned."""
    app.add_middleware(_SignedAnswers, sign=sign, max_bytes=max_bytes)


class _SignedAnswers:
    """ASGI middleware that holds an answer until its body is complete, and then adds the signature."""

    def __init__(self, app: ASGIApp, sign: Callable[[bytes], bytes], max_bytes: int) -> None:
        self._app = app
        self._sign = sign
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not any(name == _NONCE for name, _ in scope["headers"]):
            await self._app(scope, receive, send)
            return
        admitted: list[tuple[int, str]] = []
        scope[_ADMITTED] = admitted
        held: list[Message] = []
        size = 0
        trailing = _Trailing(self._sign)

        async def hold(message: Message) -> None:
            nonlocal size
            if trailing.takes(message):
                await send(trailing.signed(message, *admitted[0]) if admitted else message)
                return
            if size > self._max_bytes:
                await send(message)
                return
            held.append(message)
            size += len(message.get("body", b""))
            is_last = message["type"] == "http.response.body" and not message.get("more_body", False)
            if is_last and size <= self._max_bytes and admitted:
                self._add_signature(held, *admitted[0])
            if is_last or size > self._max_bytes:
                for each in held:
                    await send(each)

        await self._app(scope, receive, hold)

    def _add_signature(self, held: list[Message], nonce: int, sender: str) -> None:
        digest = hashlib.sha256()
        for part in held:
            digest.update(part.get("body", b""))
        header = _signature(self._sign, nonce, sender, int(held[0]["status"]), digest.hexdigest())
        held[0]["headers"] = [*held[0].get("headers", ()), header]


class _Trailing:
    """An answer with trailers: it is sent as it comes, and its signature follows."""

    def __init__(self, sign: Callable[[bytes], bytes]) -> None:
        self._sign = sign
        self._status: int | None = None
        self._digest = hashlib.sha256()

    def takes(self, message: Message) -> bool:
        """Whether this message belongs to an answer with trailers."""
        if message["type"] == "http.response.start" and message.get("trailers", False):
            self._status = int(message["status"])
        return self._status is not None

    def signed(self, message: Message, nonce: int, sender: str) -> Message:
        """The message, with the signature if it has the trailers."""
        self._digest.update(message.get("body", b""))
        if message["type"] != TRAILERS or self._status is None:
            return message
        header = _signature(self._sign, nonce, sender, self._status, self._digest.hexdigest())
        return {**message, "headers": [*message["headers"], header]}


def _signature(
    sign: Callable[[bytes], bytes], nonce: int, sender: str, status: int, body_sha256: str
) -> tuple[bytes, bytes]:
    signature = sign(answer_text_of_digest(nonce, sender, status, body_sha256))
    return ANSWER_HEADER.lower().encode(), b"0x" + signature.hex().encode()


def note_admitted(request: Request, sender: str) -> None:
    """Let the answer to this request be signed. Call it once the request is admitted."""
    admitted: list[tuple[int, str]] | None = request.scope.get(_ADMITTED)
    nonce = request.headers.get(_NONCE.decode(), "")
    if admitted is not None and nonce.isascii() and nonce.isdigit():
        admitted.append((int(nonce), sender))
