"""Parts that all HTTP services of this program share: limits on requests, refusals as JSON, ports, a server thread.

Sizes are in bytes, times in seconds.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from soundsright.core.endpoint import client_network
from soundsright.core.errors import InfrastructureFault, RequestRefused, UsageError
from soundsright.services.http.answers import note_admitted
from soundsright.services.http.front import server_config
from soundsright.services.http.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from fastapi import FastAPI, Request
    from pydantic import BaseModel
    from starlette.requests import HTTPConnection
    from starlette.responses import JSONResponse
    from starlette.websockets import WebSocket

    M = TypeVar("M", bound=BaseModel)

Admit = Callable[[str, str, Mapping[str, str], bytes], str]
"""The signer of a request, from its method, path, headers and raw body. Raises RequestRefused."""

Throttle = Callable[[str], None]
"""Counts a request of an IPv4 address, or of the /64 of an IPv6 address. Raises RequestRefused if too many."""

_START_TIMEOUT_S = 20.0


async def bounded_body(request: Request, max_bytes: int) -> bytes:
    """The raw body. Reading stops at `max_bytes`.

    Raises:
        RequestRefused: `too_large`.
    """
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > max_bytes:
            raise RequestRefused("too_large", f"A request may have at most {max_bytes} bytes", status=413)
    return bytes(body)


async def signed_body(request: Request, *, admit: Admit, throttle: Throttle, max_bytes: int) -> tuple[str, bytes]:
    """The sender and the raw body of a request that was counted, limited in size, and verified, in this order.

    Raises:
        RequestRefused: as `throttle`, `bounded_body` and `admit`.
    """
    throttle(client_network(request.client.host if request.client else ""))
    body = await bounded_body(request, max_bytes)
    sender = admit(request.method, _sent_path(request), request.headers, body)
    note_admitted(request, sender)
    return sender, body


def signed_upgrade(websocket: WebSocket, *, admit: Admit, throttle: Throttle) -> tuple[str, int]:
    """The sender of a signed request for a WebSocket, and its nonce. It is counted before it is verified.

    Raises:
        RequestRefused: as `throttle` and `admit`.
    """
    throttle(client_network(websocket.client.host if websocket.client else ""))
    sender = admit("GET", _sent_path(websocket), websocket.headers, b"")
    return sender, int(websocket.headers["x-bittensor-nonce"])


async def deny(websocket: WebSocket, error: RequestRefused | InfrastructureFault) -> None:
    """Answer a request for a WebSocket by a refusal, as `answer_refusals` does for other requests."""
    await websocket.send_denial_response(_refusal(error))


def _refusal(error: RequestRefused | InfrastructureFault) -> JSONResponse:
    from starlette.responses import JSONResponse

    if isinstance(error, InfrastructureFault):
        sentence = "The service cannot answer now. Try again later."
        return JSONResponse({"code": "unavailable", "sentence": sentence}, 503)
    headers = None if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
    return JSONResponse({"code": error.code, "sentence": error.sentence}, error.status, headers)


def _sent_path(request: HTTPConnection) -> str:
    """The path with its query as the client sent and signed it: not decoded, so that `%0A` and `%3F` stay apart."""
    raw_path: bytes | None = request.scope.get("raw_path")
    path = quote(request.url.path) if raw_path is None else raw_path.decode("latin-1")
    query: bytes = request.scope.get("query_string", b"")
    return path + (f"?{query.decode('latin-1')}" if query else "")


def parsed(model: type[M], body: bytes) -> M:
    """The body as that model.

    Raises:
        RequestRefused: `malformed`. It names the first field that is wrong, but not its value.
    """
    from pydantic import ValidationError

    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"])) or "body"
        raise RequestRefused("malformed", f"{field[:100]}: {first['msg'][:200]}", status=422) from None


def refusals(**meanings: str) -> dict[int | str, dict[str, Any]]:
    """The refusals of a service for its description: by status, such as `s401="The request is not signed"`."""
    from pydantic import BaseModel

    class Refusal(BaseModel):
        code: str
        sentence: str

    return {
        int(status.removeprefix("s")): {"model": Refusal, "description": meaning}
        for status, meaning in meanings.items()
    }


def signed_refusals() -> dict[int | str, dict[str, Any]]:
    """The refusals of every service that reads signed requests."""
    return refusals(
        s401="The request is not signed, or not for this service, or not now",
        s403="The sender may not do this",
        s409="Not in the present state",
        s413="The request is too large",
        s422="The body is malformed",
        s429="Too many requests from this client",
        s503="The service cannot answer now",
    )


def described_body(form: type[BaseModel] | Mapping[str, Any]) -> dict[str, Any]:
    """The part of a service's description about a body that is verified before it is parsed.

    The form is a model or a JSON schema.
    """
    content = {"application/json": {"schema": form if isinstance(form, Mapping) else form.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


def answer_refusals(app: FastAPI) -> None:
    """Send refusals and faults of `app` as JSON with a stable code. No traceback leaves the machine."""

    def refused(_request: Request, error: Any) -> JSONResponse:
        return _refusal(error)

    app.add_exception_handler(RequestRefused, refused)
    app.add_exception_handler(InfrastructureFault, refused)


class PortTaken(UsageError):
    """Another program already listens on the port."""


def listening(host: str, port: int, *, host_variable: str, port_variable: str) -> socket.socket:
    """A socket that listens on the host and port. Port 0 picks a free port.

    The two names are those of the settings, for errors.

    Raises:
        PortTaken: another program already listens on the port.
        UsageError: the port needs more rights, or the address is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(128)
    except PermissionError as error:
        sock.close()
        raise UsageError(f"{port_variable} {port} needs more rights", "Choose a port of 1024 or higher.") from error
    except OSError as error:
        sock.close()
        if error.errno in (98, 48):
            other_port = port + 10 if port <= 65_525 else port - 10
            raise PortTaken(
                f"{port_variable} {port} is in use by another program",
                f"Set {port_variable}={other_port}, for example.",
            ) from error
        raise UsageError(
            f"This machine cannot listen on {host_variable} {host!r} ({error.strerror or error})",
            "Set it to an address of this machine, or to 0.0.0.0 for all of them.",
        ) from error
    return sock


class HttpService:
    """An app that a separate thread serves, so that it answers even while the process is busy.

    `limits` say which connections it holds: slow and silent clients cannot keep others out. `clock_s` measures how
    slow they are. With `has_streams` it accepts WebSockets.
    """

    def __init__(
        self,
        app: FastAPI,
        sock: socket.socket,
        *,
        name: str,
        limits: Limits = DEFAULT_LIMITS,
        clock_s: Callable[[], float] = time.monotonic,
        has_streams: bool = False,
    ) -> None:
        import uvicorn

        self._server = uvicorn.Server(server_config(app, limits, clock_s=clock_s, has_streams=has_streams))
        self._sock = sock
        self._thread = threading.Thread(target=self._server.run, args=([sock],), name=name, daemon=True)

    @property
    def port(self) -> int:
        return int(self._sock.getsockname()[1])

    def start(self) -> HttpService:
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop, after the requests that are being handled."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(_START_TIMEOUT_S)
        self._sock.close()
