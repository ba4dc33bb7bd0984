"""One WebSocket of an HTTP service, as the front sees it. Times are in seconds, sizes in bytes.

`front.py` imports this module for a service that has streams. A WebSocket takes a place in the front like any other
connection. Once it is accepted, the front never drops it for a new one: the service limits how many there are.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from soundsright.core.endpoint import client_network
from soundsright.services.http.connection import Held, HoldsConnections
from soundsright.services.http.limits import Limits, Stage

if TYPE_CHECKING:
    import asyncio

_UNREAD_BYTES = 16_384
"""The server writes no more than this ahead of what the client has read, half a second at 16 kHz."""


class StreamConnection(Held, WebSocketsSansIOProtocol):
    """The server's protocol for one WebSocket, which reports to the front."""

    def __init__(self, front: HoldsConnections, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.front = front
        self.client_network = ""
        self.since_s = 0.0
        self.turn: asyncio.Future[bool] | None = None
        self._is_refused = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.client_network = client_network(self.client[0] if self.client else "")
        self.since_s = self.front.clock_s()
        transport.set_write_buffer_limits(high=_UNREAD_BYTES)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, option, _UNREAD_BYTES)
        if not self.front.opened(self):
            self._is_refused = True
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.front.closed(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._is_refused:
            super().data_received(data)

    def abandon(self) -> None:
        """End the connection at once."""
        self.transport.abort()

    @property
    def stage(self) -> Stage:
        if self.transport.is_closing():
            return Stage.CLOSING
        return Stage.STREAM if self.handshake_complete else Stage.WORK

    def look(self) -> Stage:
        """The present stage."""
        return self.stage

    @property
    def held_bytes(self) -> int:
        return int(self.transport.get_write_buffer_size())

    def is_late(self, now_s: float, limits: Limits) -> bool:
        return self.stops_reading(now_s, limits.read_bytes, limits.stream_read_s)
