"""Trailers: headers that follow the body of an answer, such as a signature over that body.

An app sends them by the ASGI extension `http.response.trailers`: it says `trailers: True` at the start of an answer
without a length, and sends a message of that type after the body. The server's own protocol for HTTP/1.1 lacks the
extension, so the front adds it. A client of HTTP/1.0 gets the answer without trailers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.types import Message, Scope, Send

    from soundsright.services.http.connection import Connection

_EXTENSION = "http.response.trailers"


def with_trailers(scope: Scope, send: Send, connection: Connection) -> Send:
    """The `send` of a request whose answer can have trailers. The scope then says so."""
    scope.setdefault("extensions", {})[_EXTENSION] = {}
    can_trail = scope.get("http_version") == "1.1" and scope.get("method") != "HEAD"
    has_trailers = False

    async def sending(message: Message) -> None:
        nonlocal has_trailers
        if message["type"] == "http.response.start":
            has_trailers = bool(message.get("trailers", False))
        elif message["type"] == _EXTENSION:
            if can_trail:
                connection.conn.trailers = tuple((bytes(name), bytes(value)) for name, value in message["headers"])
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        elif has_trailers and not message.get("more_body", False):
            message = {**message, "more_body": True}
        await send(message)

    return sending


def trailers(headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    """The message that ends an answer with these headers."""
    return {"type": _EXTENSION, "headers": headers}
