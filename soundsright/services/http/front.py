"""The front of every HTTP service: which connections it holds, for how long, and which it drops when it is full.

Times are in seconds, sizes in bytes. Most of the time a connection waits for its client: for a request, for the
rest of a body, or for the client to read the reply. Waiting connections get in nobody's way: when the front is
full, it drops one of them for a new connection. A connection whose complete request is in work is never dropped.

All of this runs on the server's event loop, so nothing here needs a lock.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from soundsright.services.http.limits import Limits, Stage
from soundsright.services.http.trailers import with_trailers
from soundsright.services.http.turns import Turns

if TYPE_CHECKING:
    import uvicorn
    from starlette.requests import HTTPConnection
    from starlette.types import ASGIApp, Receive, Scope, Send

    from soundsright.services.http.connection import Connection
    from soundsright.services.http.websockets import StreamConnection

    AnyConnection = Connection | StreamConnection

_VOUCH = "soundsright.vouch"
_MAX_KNOWN_NETWORKS = 4_096
_MAX_HEADER_BYTES = 16_384
_SHUTDOWN_S = 3
MAX_MESSAGE_BYTES = 8_192
"""The longest message of a WebSocket: more than two frames of 20 ms at 48 kHz."""


class Front:
    """The open connections of one service. `clock_s` tells how long a client takes."""

    def __init__(self, limits: Limits, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self.clock_s = clock_s
        self._connections: set[AnyConnection] = set()
        self._by_peer: dict[Any, AnyConnection] = {}
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

        from soundsright.services.http.connection import Connection

        # A proxy on this machine limits the connections, and tells the address of its client for other limits.
        # Anything else that connects from here, such as a tunnel, lets its clients write the header.
        inner = app if self.limits.per_client else _behind_proxy(app)

        async def outer(scope: Scope, receive: Receive, send: Send) -> None:
            connection = self._by_peer.get(scope["client"])
            if connection is None:
                await _close_unanswered(scope, send)
                return  # The client has gone.
            client = connection.client_network
            connection.turn = self._turns.request(client)
            if not await connection.turn:
                connection.abandon()
                await _close_unanswered(scope, send)
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
            sending: Send = send_after_turn
            if isinstance(connection, Connection):
                sending = with_trailers(scope, send_after_turn, connection)
            try:
                await inner(scope, receive, sending)
            except ClientDisconnect:
                return  # It left before its request was complete. That is no fault of the app.
            else:
                if has_turn:
                    await _close_unanswered(scope, send)
            finally:
                end_turn()

        return outer

    def opened(self, connection: AnyConnection) -> bool:
        """Make room for a new connection. False if there is none."""
        client, limits = connection.client_network, self.limits
        if limits.per_client and self._per_client[client] >= limits.per_client:
            has_room = self._drop_one_of([each for each in self._connections if each.client_network == client])
        else:
            is_known = client in self._known
            room = limits.connections - (0 if is_known else limits.reserve)
            # A stranger takes only the place of another stranger.
            has_room = len(self._connections) < room or self._drop_one_of(
                each for each in self._connections if is_known or each.client_network not in self._known
            )
        if has_room:
            self._connections.add(connection)
            self._by_peer[connection.client] = connection
            self._per_client[client] += 1
            self._start_sweeping()
        return has_room

    def closed(self, connection: AnyConnection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
            self._by_peer.pop(connection.client, None)
            if connection.turn is not None:
                self._turns.give_up(connection.client_network, connection.turn)
            self._per_client[connection.client_network] -= 1
            if not self._per_client[connection.client_network]:
                del self._per_client[connection.client_network]

    def _drop_one_of(self, connections: Iterable[AnyConnection]) -> bool:
        """Drop the one of these that matters least. False if the service works on all of them, or there is none.

        Clients that nobody vouched for come first, then requests that are not complete, then the client with the
        most connections, then the oldest.
        """
        waiting = [each for each in connections if each.look() not in (Stage.WORK, Stage.STREAM)]
        if not waiting:
            return False
        self._drop(min(waiting, key=self._rank))
        return True

    def _rank(self, connection: AnyConnection) -> tuple[bool, bool, int, float]:
        return (
            connection.client_network in self._known,
            connection.stage in (Stage.REPLY, Stage.CLOSING),
            -self._per_client[connection.client_network],
            connection.since_s,
        )

    def _drop(self, connection: AnyConnection) -> None:
        connection.abandon()
        self.closed(connection)

    def _start_sweeping(self) -> None:
        if not self._is_sweeping:
            self._is_sweeping = True
            asyncio.get_running_loop().call_later(self._sweep_s, self._sweep)

    def _sweep(self) -> None:
        """Drop the connections that are late, and the largest ones while too much is in memory."""
        self._is_sweeping = False
        now_s = self.clock_s()
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


def _behind_proxy(app: ASGIApp) -> ASGIApp:
    """The app, which takes a client's address from `X-Forwarded-For` if this machine sent the request."""
    from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

    wrapped: Any = ProxyHeadersMiddleware(cast("Any", app), trusted_hosts="127.0.0.1,::1")
    return cast("ASGIApp", wrapped)


async def _close_unanswered(scope: Scope, send: Send) -> None:
    """Close a WebSocket that got no answer, because the server would log that as an error."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close"})


def vouch(request: HTTPConnection) -> None:
    """Tell the front that this request came from a client that it should prefer."""
    vouch_for_client = request.scope.get(_VOUCH)
    if vouch_for_client is not None:
        vouch_for_client()


def server_config(
    app: ASGIApp, limits: Limits, *, clock_s: Callable[[], float] = time.monotonic, has_streams: bool = False
) -> uvicorn.Config:
    """The configuration of a server for `app` behind a front. With `has_streams` it accepts WebSockets.

    The server logs errors only. A stranger could fill a disk with warnings about what the stranger sends.

    Raises:
        UsageError: the installed server has changed too much for the front.
    """
    import uvicorn

    from soundsright.services.http.connection import Connection, check_server

    check_server()
    _allow_open_files(limits.connections)
    front = Front(limits, clock_s)
    protocol: Any = partial(Connection, front)
    websockets: Any = _websockets(front) if has_streams else "none"
    return uvicorn.Config(
        front.in_turn(app), http=protocol, ws=websockets, lifespan="off", interface="asgi3", log_config=None,
        log_level="error", access_log=False, server_header=False, proxy_headers=False, backlog=128,
        timeout_keep_alive=max(1, round(limits.idle_s)), timeout_graceful_shutdown=_SHUTDOWN_S,
        h11_max_incomplete_event_size=_MAX_HEADER_BYTES,
        ws_max_size=MAX_MESSAGE_BYTES, ws_per_message_deflate=False,
    )  # fmt: skip


def _websockets(front: Front) -> Any:
    """The protocol of WebSockets, whose messages are small and not compressed."""
    from soundsright.services.http.websockets import StreamConnection

    return partial(StreamConnection, front)


def _allow_open_files(connections: int) -> None:
    """Let this process open a file for each connection, as far as the system allows it."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * connections + 512  # A process can serve two APIs.
    wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
