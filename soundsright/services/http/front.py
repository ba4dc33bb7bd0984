"""The front of every HTTP service: which connections it holds, for how long, and which it drops when it is full.

Times are in seconds, sizes in bytes. Most of the time a connection waits for its client: for a request, for the
rest of a body, or for the client to read the reply. Waiting connections get in nobody's way: when the front is
full, it drops one of them for a new connection. A connection whose complete request is in work is never dropped.

All of this runs on the server's event loop, so nothing here needs a lock.
"""

from __future__ import annotations

import asyncio
import enum
import socket
from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from soundsright.core.endpoint import client_network
from soundsright.core.errors import UsageError
from soundsright.services.http.turns import Turns

if TYPE_CHECKING:
    import uvicorn
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

_VOUCH = "soundsright.vouch"
_MAX_KNOWN_NETWORKS = 4_096
_MAX_HEADER_BYTES = 16_384
_SOCKET_BYTES = 128 << 10
_SHUTDOWN_S = 3


@dataclass(frozen=True)
class Limits:
    """What a front allows its clients.

    A client is an IPv4 address or the /64 of an IPv6 address.
    """

    connections: int = 256
    """Open connections of all clients."""
    per_client: int = 64
    """Open connections of one client, of which a quarter may be in work at the same time.

    0: no limit, for a service behind a proxy that has limits.
    """
    reserve: int = 32
    """How many of all connections are kept for clients that `vouch` names."""
    held_bytes: int = 128 << 20
    """Bytes of unfinished requests and unread replies that are in memory."""
    header_s: float = 10.0
    """Time to send the whole header, from the connection or from its first byte."""
    body_s: float = 60.0
    """Time to send the whole body."""
    read_s: float = 30.0
    """Time to read the next `read_bytes` of a reply."""
    read_bytes: int = 16 << 10
    idle_s: float = 15.0
    """Time between two requests of one connection."""

    def __post_init__(self) -> None:
        if self.connections < 8:
            raise UsageError(f"{self.connections} connections are too few", "Allow 8 or more.")
        if not 0 <= self.reserve < self.connections or self.per_client < 0:
            raise UsageError(
                f"{self.per_client} connections for each client and {self.reserve} in reserve do not fit to "
                f"{self.connections} in all",
                "Allow more connections in all.",
            )

    @classmethod
    def of(cls, connections: int, per_client: int) -> Limits:
        """The usual times, with these numbers of connections. An eighth of them is the reserve."""
        return cls(connections=connections, per_client=per_client, reserve=connections // 8)


DEFAULT_LIMITS = Limits()


class Stage(enum.Enum):
    """What a connection waits for."""

    HEADER = "the header of a request"
    BODY = "the body of a request"
    TURN = "its turn, because the service works on other requests of this client"
    WORK = "the service"
    REPLY = "the end of a reply"
    IDLE = "the next request"
    CLOSING = "the client to read the last reply"


class Front:
    """The open connections of one service."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._connections: set[Any] = set()
        self._by_peer: dict[Any, Any] = {}
        self._turns = Turns(
            per_client=max(1, limits.per_client // 4) if limits.per_client else limits.connections,
            total=2 * limits.connections,  # More than there are connections: some clients leave before the reply.
        )
        self._per_client: Counter[str] = Counter()
        self._known: OrderedDict[str, None] = OrderedDict()
        self._is_sweeping = False
        self._sweep_s = min(0.5, min(limits.header_s, limits.body_s, limits.read_s) / 5)

    def vouch(self, network: str) -> None:
        """Prefer this client's connections from now on: it has sent a request that only a few may send."""
        self._known[network] = None
        self._known.move_to_end(network)
        if len(self._known) > _MAX_KNOWN_NETWORKS:
            self._known.popitem(last=False)

    def in_turn(self, app: ASGIApp) -> ASGIApp:
        """The app, which works on few requests of one client at the same time."""
        from starlette.requests import ClientDisconnect
        from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

        # A proxy on this machine tells the address of its client. It counts for the rates of requests.
        inner: Any = ProxyHeadersMiddleware(app, trusted_hosts="127.0.0.1,::1")  # type: ignore[arg-type]

        async def outer(scope: Scope, receive: Receive, send: Send) -> None:
            connection = self._by_peer.get(scope["client"])
            if connection is None:
                return  # The client has gone.
            client = connection.client_network
            connection.turn = self._turns.request(client)
            if not await connection.turn:
                connection.transport.abort()
                return
            has_turn = True

            def end_turn() -> None:
                nonlocal has_turn
                if has_turn:
                    has_turn = False
                    self._turns.end(client)

            async def send_after_turn(message: Any) -> None:
                end_turn()
                await send(message)

            scope[_VOUCH] = lambda: self.vouch(client)
            try:
                await inner(scope, receive, send_after_turn)
            except ClientDisconnect:
                return  # It left before its request was complete. That is no fault of the app.
            finally:
                end_turn()

        return outer

    def opened(self, connection: Any) -> bool:
        """Make room for a new connection. False if there is none."""
        client, limits = connection.client_network, self.limits
        if limits.per_client and self._per_client[client] >= limits.per_client:
            has_room = self._drop_one_of([each for each in self._connections if each.client_network == client])
        else:
            room = limits.connections - (0 if client in self._known else limits.reserve)
            has_room = len(self._connections) < room or self._drop_one_of(self._connections)
        if has_room:
            self._connections.add(connection)
            self._by_peer[connection.client] = connection
            self._per_client[client] += 1
            self._start_sweeping()
        return has_room

    def closed(self, connection: Any) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
            self._by_peer.pop(connection.client, None)
            if connection.turn is not None:
                self._turns.give_up(connection.client_network, connection.turn)
            self._per_client[connection.client_network] -= 1
            if not self._per_client[connection.client_network]:
                del self._per_client[connection.client_network]

    def _drop_one_of(self, connections: Iterable[Any]) -> bool:
        """Drop the connection that matters least. False if the service works on all of them.

        Clients that nobody vouched for come first, then requests that are not complete, then the client with the
        most connections, then the oldest.
        """
        waiting = [each for each in connections if each.look() is not Stage.WORK]
        if not waiting:
            return False
        self._drop(min(waiting, key=self._rank))
        return True

    def _rank(self, connection: Any) -> tuple[bool, bool, int, float]:
        return (
            connection.client_network in self._known,
            connection.stage in (Stage.REPLY, Stage.CLOSING),
            -self._per_client[connection.client_network],
            connection.since_s,
        )

    def _drop(self, connection: Any) -> None:
        self.closed(connection)
        connection.transport.abort()

    def _start_sweeping(self) -> None:
        if not self._is_sweeping:
            self._is_sweeping = True
            asyncio.get_running_loop().call_later(self._sweep_s, self._sweep)

    def _sweep(self) -> None:
        """Drop the connections that are late, and the largest ones while too much is in memory."""
        self._is_sweeping = False
        now_s = asyncio.get_running_loop().time()
        for connection in list(self._connections):
            connection.look()
            if connection.is_late(now_s, self.limits):
                self._drop(connection)
        self._free_memory()
        if self._connections:
            self._start_sweeping()

    def _free_memory(self) -> None:
        held: Counter[str] = Counter()
        for connection in self._connections:
            held[connection.client_network] += connection.held_bytes
        while sum(held.values()) > self.limits.held_bytes:
            waiting = [each for each in self._connections if each.stage is not Stage.WORK and each.held_bytes]
            if not waiting:
                return
            largest = min(
                waiting,
                key=lambda each: (
                    each.client_network in self._known,
                    -held[each.client_network],
                    -each.held_bytes,
                ),
            )
            held[largest.client_network] -= largest.held_bytes
            self._drop(largest)


def vouch(request: Request) -> None:
    """Tell the front that this request came from a client that it should prefer."""
    vouch_for_client = request.scope.get(_VOUCH)
    if vouch_for_client is not None:
        vouch_for_client()


def server_config(app: ASGIApp, limits: Limits) -> uvicorn.Config:
    """The configuration of a server for `app` behind a front.

    The server logs errors only. A stranger could fill a disk with warnings about what the stranger sends.
    """
    import uvicorn

    _allow_open_files(limits.connections)
    front = Front(limits)
    return uvicorn.Config(
        front.in_turn(app), http=_protocol(front), ws="none", lifespan="off", interface="asgi3", log_config=None,
        log_level="error", access_log=False, server_header=False, proxy_headers=False, backlog=128,
        timeout_keep_alive=max(1, round(limits.idle_s)), timeout_graceful_shutdown=_SHUTDOWN_S,
        h11_max_incomplete_event_size=_MAX_HEADER_BYTES,
    )  # fmt: skip


def _allow_open_files(connections: int) -> None:
    """Let this process open a file for each connection, as far as the system allows it."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * connections + 512  # A process can serve two APIs.
    wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _protocol(front: Front) -> Any:
    """The server's protocol for one connection, which reports to the front."""
    import h11
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Connection(H11Protocol):
        stage = Stage.HEADER
        since_s = 0.0
        received_bytes = 0
        reply_bytes = 0
        read_since_s: float | None = None
        turn: asyncio.Future[bool] | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.client_network = client_network(self.client[0] if self.client else "")
            self.since_s, self.exchange = self.loop.time(), self.cycle
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                # The system would hold megabytes for a client that does not read, and show no progress meanwhile.
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, option, _SOCKET_BYTES)
            if not front.opened(self):
                transport.abort()

        def connection_lost(self, exc: Exception | None) -> None:
            front.closed(self)
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            self.received_bytes += len(data)
            super().data_received(data)
            self.look()

        def on_response_complete(self) -> None:
            self.received_bytes, self.turn = 0, None
            super().on_response_complete()

        @property
        def held_bytes(self) -> int:
            return self.received_bytes + int(self.transport.get_write_buffer_size())

        def look(self) -> Stage:
            """The present stage. A new stage or exchange starts the clock again."""
            stage = self.present_stage()
            if (self.cycle, stage) != (self.exchange, self.stage):
                self.exchange, self.stage, self.since_s = self.cycle, stage, self.loop.time()
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
            return self.stops_reading(now_s, limits)

        def stops_reading(self, now_s: float, limits: Limits) -> bool:
            """Whether the client read too little of the reply for too long."""
            unread_bytes = int(self.transport.get_write_buffer_size())
            # The service writes more only after the client has read most of what there was.
            has_read = not self.reply_bytes - limits.read_bytes < unread_bytes <= self.reply_bytes
            if not unread_bytes:
                self.read_since_s = None
            elif self.read_since_s is None or has_read:
                self.read_since_s, self.reply_bytes = now_s, unread_bytes
            return self.read_since_s is not None and now_s - self.read_since_s > limits.read_s

    return Connection
