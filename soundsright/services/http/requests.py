"""What every HTTP service of this program shares: bounded bodies, refusals as JSON, ports, running in a thread.

Sizes in bytes, times in seconds.
"""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from soundsright.core.errors import InfrastructureFault, RequestRefused, UsageError

if TYPE_CHECKING:
    from fastapi import FastAPI, Request
    from pydantic import BaseModel
    from starlette.responses import JSONResponse

    M = TypeVar("M", bound=BaseModel)

Admit = Callable[[str, str, Mapping[str, str], bytes], str]
"""Who signed a request, from method, path, headers and raw body. Raises RequestRefused."""

Throttle = Callable[[str], None]
"""Counts a request of an address. Raises RequestRefused when there are too many."""

_START_TIMEOUT_S = 20.0


async def bounded_body(request: Request, max_bytes: int) -> bytes:
    """The raw body, read no further than allowed.

    Raises:
        RequestRefused: `too_large`.
    """
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > max_bytes:
            raise RequestRefused("too_large", f"A request holds at most {max_bytes} bytes", status=413)
    return bytes(body)


async def signed_body(request: Request, *, admit: Admit, throttle: Throttle, max_bytes: int) -> tuple[str, bytes]:
    """The sender and the raw body. Counted first, then bounded, then verified, and only then parsed by anybody.

    Raises:
        RequestRefused: as `throttle`, `bounded_body` and `admit` say.
    """
    throttle(request.client.host if request.client else "")
    body = await bounded_body(request, max_bytes)
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return admit(request.method, path, request.headers, body), body


def parsed(model: type[M], body: bytes) -> M:
    """The body as that model.

    Raises:
        RequestRefused: `malformed`, with the first place that is wrong and not its value.
    """
    from pydantic import ValidationError

    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "body"
        raise RequestRefused("malformed", f"{place[:100]}: {first['msg'][:200]}", status=422) from None


def answer_refusals(app: FastAPI) -> None:
    """Make refusals and faults of `app` JSON with a stable code; no traceback leaves the machine."""
    from starlette.responses import JSONResponse

    def refused(_request: Request, error: Any) -> JSONResponse:
        return JSONResponse({"code": error.code, "sentence": error.sentence}, error.status)

    def failed(_request: Request, _error: Any) -> JSONResponse:
        return JSONResponse({"code": "unavailable", "sentence": "The service cannot answer now"}, 503)

    app.add_exception_handler(RequestRefused, refused)
    app.add_exception_handler(InfrastructureFault, failed)


class PortTaken(UsageError):
    """Another program listens on that port."""


def listening(host: str, port: int, *, host_variable: str, port_variable: str) -> socket.socket:
    """A socket that listens there; port 0 takes a free one.

    Raises:
        PortTaken: another program listens there.
        UsageError: the port needs more rights, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(128)
    except PermissionError as error:
        sock.close()
        raise UsageError(f"{port_variable} {port} needs more rights", "Give a port from 1024.") from error
    except OSError as error:
        sock.close()
        if error.errno in (98, 48):
            raise PortTaken(f"{port_variable} {port} is taken", "Give another port.") from error
        raise UsageError(
            f"{host_variable} {host!r} cannot be listened on ({error.strerror or error})",
            "Give an address of this machine, or 0.0.0.0.",
        ) from error
    return sock


class HttpService:
    """An app served from a thread of its own, so that it answers whatever the rest of the process does.

    A client that takes longer than `patience_s` to send a request or to take an answer is cut off, and one address
    holds at most `MAX_CONNECTIONS`: nobody keeps others out by being slow.
    """

    MAX_CONNECTIONS = 64

    def __init__(self, app: FastAPI, sock: socket.socket, *, name: str, patience_s: float = 30.0) -> None:
        import uvicorn

        config = uvicorn.Config(
            app, http=_impatient(patience_s, self.MAX_CONNECTIONS), ws="none", lifespan="off", log_config=None,
            access_log=False, server_header=False, backlog=128, limit_concurrency=200, timeout_keep_alive=15,
            h11_max_incomplete_event_size=16_384,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._sock = sock
        self._thread = threading.Thread(target=self._server.run, args=([sock],), name=name, daemon=True)

    @property
    def port(self) -> int:
        return int(self._sock.getsockname()[1])

    def start(self) -> HttpService:
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop answering and wait for what is being answered."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(_START_TIMEOUT_S)
        self._sock.close()


def _impatient(patience_s: float, max_connections: int) -> Any:
    """The server's protocol, with a deadline for what a client has to do, and a bound of its connections."""
    import h11
    from uvicorn.protocols.http.h11_impl import H11Protocol

    held: Counter[str] = Counter()

    class Impatient(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.address = self.client[0] if self.client else ""
            self.waited_for: Any = (None, "request")
            held[self.address] += 1
            self.watch = self.loop.call_later(patience_s, self.look)
            if held[self.address] > max_connections:
                transport.abort()

        def connection_lost(self, exc: Exception | None) -> None:
            self.watch.cancel()
            held[self.address] -= 1
            if not held[self.address]:
                del held[self.address]
            super().connection_lost(exc)

        def look(self) -> None:
            """Cut the client off where it has been waited for since the last look."""
            waits_for = self.waits_for()
            if waits_for is not None and waits_for == self.waited_for:
                self.transport.abort()
                return
            self.waited_for = waits_for
            self.watch = self.loop.call_later(patience_s, self.look)

        def waits_for(self) -> Any:
            """What the client is to do next in which exchange; None: nothing, or it rests between two requests."""
            if self.flow.write_paused:
                return self.cycle, "take the answer"
            if self.conn.their_state is h11.SEND_BODY:
                return self.cycle, "body"
            if self.conn.their_state is h11.IDLE and self.timeout_keep_alive_task is None:
                return self.cycle, "request"
            return None

    return Impatient
