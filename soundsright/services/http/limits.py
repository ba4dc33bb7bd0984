"""The limits that the front of a service sets its clients, and the stages of a connection.

Times are in seconds, sizes in bytes.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from soundsright.core.errors import UsageError


@dataclass(frozen=True)
class Limits:
    """The limits that a front sets its clients.

    A client is an IPv4 address or the /64 of an IPv6 address.
    """

    connections: int = 256
    """Open connections of all clients."""
    per_client: int = 64
    """Open connections of one client, of which a quarter may be in work at the same time.

    0: no limit, for a service behind a proxy that has limits. A proxy on this machine then tells the address of its
    client in `X-Forwarded-For`.
    """
    reserve: int = 32
    """How many of all connections are kept for clients that `vouch` names. Others never take their places."""
    held_bytes: int = 128 << 20
    """Bytes of unfinished requests and unread replies that are in memory."""
    header_s: float = 10.0
    """Time to send the whole header, from the connection or from its first byte."""
    body_s: float = 60.0
    """Time to send the whole body."""
    read_s: float = 30.0
    """Time to read the next `read_bytes` of a reply."""
    read_bytes: int = 16 << 10
    stream_read_s: float = 10.0
    """Time to read the next `read_bytes` of a WebSocket."""
    idle_s: float = 15.0
    """Time between two requests of one connection."""

    def __post_init__(self) -> None:
        if self.connections < 8:
            raise UsageError(f"{self.connections} connections are too few", "Allow 8 or more.")
        if not 0 <= self.reserve < self.connections or self.per_client < 0:
            raise UsageError(
                f"{self.per_client} connections for each client and {self.reserve} in reserve do not fit into "
                f"{self.connections} in all",
                "Allow more connections in all.",
            )

    @classmethod
    def of(cls, connections: int, per_client: int) -> Limits:
        """The usual times, with these numbers of connections. An eighth of them is the reserve."""
        return cls(connections=connections, per_client=per_client, reserve=connections // 8)


DEFAULT_LIMITS = Limits()


class Stage(enum.Enum):
    """The stage of a connection, by what it waits for."""

    HEADER = "the header of a request"
    BODY = "the body of a request"
    TURN = "its turn, because the service works on other requests of this client"
    WORK = "the service"
    REPLY = "the end of a reply"
    IDLE = "the next request"
    STREAM = "nothing: it is an accepted WebSocket"
    CLOSING = "the client to read the last reply"
