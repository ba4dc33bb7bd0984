"""Trailers: headers that follow the body of an answer, such as a signature over that body.

An app sends them by the ASGI extension `http.response.trailers`: it says `trailers: True` at the start of an answer
without a length, and sends a message of that type after the body. The server's own protocol for HTTP/1.1 lacks the
extension, so the front adds it. A client of HTTP/1.0 gets the answer without trailers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from soundsright.core.signed_http import ANSWER_HEADER

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import Message, Scope, Send

    from soundsright.services.http.connection import Connection

TRAILERS = "http.response.trailers"


def with_trailers(scope: Scope, send: Send, connection: Connection) -> Send:
    """The `send` of a request whose answer can have trailers. The scope then says so."""
    scope.setdefault("extensions", {})[TRAILERS] = {}
    can_trail = scope.get("http_version") == "1.1" and scope.get("method") != "HEAD"
    has_trailers = False

    async def sending(message: Message) -> None:
        nonlocal has_trailers
        if message["type"] == "http.response.start":
            has_trailers = bool(message.get("trailers", False))
        elif message["type"] == TRAILERS:
            if can_trail:
                connection.conn.trailers = tuple((bytes(name), bytes(value)) for name, value in message["headers"])
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        elif has_trailers and not message.get("more_body", False):
            message = {**message, "more_body": True}
        await send(message)

    return sending


def trailers(headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    """The message that ends an answer with these headers."""
    return {"type": TRAILERS, "headers": headers}


def trailing_response(pieces: AsyncIterator[bytes], *, media_type: str, headers: Mapping[str, str]) -> Response:
    """A chunked answer whose signature comes in the trailer, from `sign_answers`."""
    from starlette.responses import StreamingResponse

    class TrailingResponse(StreamingResponse):
        async def stream_response(self, send: Send) -> None:
            start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            await send({**start, "trailers": True})
            async for piece in self.body_iterator:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            await send(trailers([]))

    return TrailingResponse(pieces, media_type=media_type, headers={**headers, "Trailer": ANSWER_HEADER})
