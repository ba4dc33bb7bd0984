"""The address of a Redis server: a URL, or a host, a port, an index and a password.

A server of another machine needs a password: without one, anybody who reaches it could change the counters.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import SecretStr

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 6_379
DEFAULT_INDEX = 1
MAX_INDEX = 65_535
_URL_FORM = "give redis://:PASSWORD@HOST:PORT/INDEX, rediss:// for TLS, or unix:///SOCKET?db=INDEX"


@dataclass(frozen=True)
class RedisServer:
    """The address of Redis. A `socket` is a file, and replaces the host and the port."""

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    index: int = DEFAULT_INDEX
    username: str = ""
    password: SecretStr | None = None
    tls: bool = False
    socket: str = ""

    @property
    def title(self) -> str:
        """The server in messages, without its password."""
        return f"Redis at {self.socket or f'{self.host}:{self.port}'} (database {self.index})"

    @property
    def is_on_this_machine(self) -> bool:
        return bool(self.socket) or is_loopback(self.host)


def redis_server(url: str) -> RedisServer:
    """The server of a URL.

    Raises:
        ValueError: it is not the URL of a Redis server, or has no password and is on another machine.

    >>> redis_server("redis://:secret@10.0.0.5/2").title
    'Redis at 10.0.0.5:6379 (database 2)'
    """
    parts = urlsplit(url)
    password = SecretStr(unquote(parts.password)) if parts.password else None
    username = unquote(parts.username or "")
    if parts.scheme == "unix" and parts.path and not parts.fragment:
        index = parse_qs(parts.query).get("db", [str(DEFAULT_INDEX)])[0]
        server = RedisServer(index=_index(index), username=username, password=password, socket=unquote(parts.path))
    elif parts.scheme in ("redis", "rediss") and parts.hostname and not parts.query and not parts.fragment:
        try:
            port = parts.port or DEFAULT_PORT
        except ValueError:
            raise ValueError(_URL_FORM) from None
        server = RedisServer(
            host=parts.hostname,
            port=port,
            index=_index(parts.path.strip("/") or str(DEFAULT_INDEX)),
            username=username,
            password=password,
            tls=parts.scheme == "rediss",
        )
    else:
        raise ValueError(_URL_FORM)
    if password is None and not server.is_on_this_machine:
        raise ValueError(f"{server.host} is another machine, so its Redis needs a password; {_URL_FORM}")
    return server


def is_loopback(host: str) -> bool:
    """Whether the host is this machine.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("redis.example")
    (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _index(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text[:6]) <= MAX_INDEX:
        raise ValueError(f"the index {text[:20]!r} is not a number from 0 to {MAX_INDEX}; {_URL_FORM}")
    return int(text)
