"""One connection of an HTTP service, as the front sees it: what it waits for, how long, and what it holds.

Times are in seconds of the front's clock, sizes in bytes. `front.py` imports this module when a service starts,
because the server takes long to import.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Protocol

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from soundsright.core.endpoint import client_network
from soundsright.core.errors import UsageError
from soundsright.services.http.limits import Limits, Stage

if TYPE_CHECKING:
    import asyncio

_SOCKET_BYTES = 128 << 10
_HEADER_BYTES = 16_384
_FIRST_UNTESTED = "0.55"
_READ_HERE = {
    H11Protocol: ("client", "conn", "cycle", "timeout_keep_alive_task", "transport"),
    RequestResponseCycle: ("disconnected", "response_complete", "response_started"),
}
"""The attributes of the server's classes that its documentation does not name."""


def check_server() -> None:
    """Check that connections of the installed server have everything that the front reads.

    Raises:
        UsageError: if something is missing.
    """
    missing = [
        name
        for kind, names in _READ_HERE.items()
        for name in names
        if name not in vars(kind)["__init__"].__code__.co_names
    ]
    if missing:
        version = uvicorn.__version__
        raise UsageError(
            f"uvicorn {version} cannot be used, because its connections have no `{'`, `'.join(missing)}`",
            f"Run `pip install 'uvicorn<{_FIRST_UNTESTED}'`.",
        )


class HoldsConnections(Protocol):
    """The part of the front to which a connection reports."""

    def clock_s(self) -> float: ...
    def opened(self, connection: Any) -> bool: ...
    def closed(self, connection: Any) -> None: ...


class Held:
    """The part of a connection that tells whether its client reads."""

    transport: Any
    reply_bytes = 0
    read_since_s: float | None = None

    def stops_reading(self, now_s: float, read_bytes: int, read_s: float) -> bool:
        """Whether the client read too little of the reply for too long."""
        unread_bytes = int(self.transport.get_write_buffer_size())
        # The service writes more only after the client has read most of what there was.
        has_read = not self.reply_bytes - read_bytes < unread_bytes <= self.reply_bytes
        if not unread_bytes:
            self.read_since_s = None
        elif self.read_since_s is None or has_read:
            self.read_since_s, self.reply_bytes = now_s, unread_bytes
        return self.read_since_s is not None and now_s - self.read_since_s > read_s


class _TrailingConnection(h11.Connection):
    """The parser of a connection. It sends `trailers` at the end of the next chunked answer."""

    trailers: tuple[tuple[bytes, bytes], ...] = ()

    def send(self, event: Any) -> Any:
        if isinstance(event, h11.EndOfMessage) and self.trailers:
            event, self.trailers = h11.EndOfMessage(headers=list(self.trailers)), ()
        return super().send(event)


class Connection(Held, H11Protocol):
    """The server's protocol for one connection, which reports to the front."""

    conn: _TrailingConnection

    def __init__(self, front: HoldsConnections, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.conn = _TrailingConnection(h11.SERVER, self.config.h11_max_incomplete_event_size or _HEADER_BYTES)
        self.front = front
        self.client_network = ""
        self.stage = Stage.HEADER
        self.since_s = 0.0
        self.received_bytes = 0
        self.turn: asyncio.Future[bool] | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.client_network = client_network(self.client[0] if self.client else "")
        self.since_s, self.exchange = self.front.clock_s(), self.cycle
        sock = transport.get_extra_info("socket")
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            # The system would hold megabytes for a client that does not read, and show no progress meanwhile.
            sock.setsockopt(socket.SOL_SOCKET, option, _SOCKET_BYTES)
        # Otherwise the second of two small messages waits 40 ms for the client to confirm the first.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self.front.opened(self):
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.front.closed(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self.received_bytes += len(data)
        super().data_received(data)
        self.look()

    def on_response_complete(self) -> None:
        self.received_bytes, self.turn = 0, None
        super().on_response_complete()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        # Another protocol takes this connection over, and a place of its own.
        self.front.closed(self)
        super().handle_websocket_upgrade(event)

    def abandon(self) -> None:
        """End the connection at once."""
        if self.cycle is not None:
            # The server learns of the end only later, and would log a request without an answer as an error.
            self.cycle.disconnected = True
        self.transport.abort()

    @property
    def held_bytes(self) -> int:
        return self.received_bytes + int(self.transport.get_write_buffer_size())

    def look(self) -> Stage:
        """The present stage. A new stage or exchange starts the clock again."""
        stage = self.present_stage()
        if (self.cycle, stage) != (self.exchange, self.stage):
            self.exchange, self.stage, self.since_s = self.cycle, stage, self.front.clock_s()
        return stage

    def present_stage(self) -> Stage:
        if self.transport.is_closing():
            return Stage.CLOSING
        if self.conn.their_state is h11.SEND_BODY:
            return Stage.BODY
        if self.cycle is not None and not self.cycle.response_complete:
            if self.cycle.response_started:
                return Stage.REPLY
            return Stage.WORK if self.turn is not None and self.turn.done() else Stage.TURN
        # The server's own timer runs exactly while it waits for the first byte of another request.
        return Stage.HEADER if self.timeout_keep_alive_task is None else Stage.IDLE

    def is_late(self, now_s: float, limits: Limits) -> bool:
        longest_s = {Stage.HEADER: limits.header_s, Stage.BODY: limits.body_s}.get(self.stage)
        if longest_s is not None and now_s - self.since_s > longest_s:
            return True
        return self.stops_reading(now_s, limits.read_bytes, limits.read_s)
