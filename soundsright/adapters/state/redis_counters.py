"""The port `Counters` in Redis. Each change is one Lua script, which Redis runs as one step.

- `stats:SCOPE`: a hash of counters
- `stats-scopes`: the set of scopes
- `stats-intervals`: a hash of closed intervals with their counts as JSON; `stats-order`: the list of their names
- `stats-marks:N`: the additions that must not count twice and were made after N intervals were closed

Each key begins with the organiser's name and a colon if the organiser has a name. Redis Cluster is not supported.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from soundsright.adapters.state.counters import Counts, forgotten
from soundsright.adapters.state.redis_scripts import ADD, CLOSE, FORGET, READ_ALL
from soundsright.config import RedisServer
from soundsright.core.errors import StateUnavailable, UsageError
from soundsright.core.ports.tables import MARKS_KEPT, MAX_COUNT, checked_deltas, checked_name

if TYPE_CHECKING:
    from redis import Redis

CONNECT_TIMEOUT_S = 5.0
TIMEOUT_S = 10.0
_VERSION = "1"
_TOO_HIGH = "too high:"
_LOOPBACK = ("127.", "::1", "localhost", "-::1")
_PASSWORD_REMEDY = "Set a password (requirepass), and give it in DATABASE_PASSWORD or REDIS_URL."


class RedisCounters:
    """The `Counters` port over Redis. Counters are as durable as the server: see its settings `appendonly`.

    With `read_only`, it does not mark a new server as one that has counters: for a look at whether it can be used.

    A call is never repeated by itself, because Redis may have counted it before the connection was lost.

    Raises:
        UsageError: the password is wrong, the server is open to everyone, evicts keys, or has newer counters.
        StateUnavailable: in every method, if the server does not answer.
    """

    def __init__(self, server: RedisServer, *, scope: str = "", read_only: bool = False) -> None:
        self._server = server
        self._read_only = read_only
        self._prefix = f"{scope}:" if scope else ""
        self._client: Any = _client(server)
        try:
            with self._errors():
                self._check()
        except BaseException:
            self._client.close()
            raise

    def add(self, scope: str, deltas: Mapping[str, int], *, once: str | None = None) -> bool:
        """Add to the counters of a scope, all or none. Returns False if `once` was counted before."""
        checked_name(scope, "scope")
        added = checked_deltas(deltas)
        mark = "" if once is None else f"{scope} {checked_name(once, 'mark')}"
        pairs = [str(part) for pair in added.items() for part in pair]
        reply = self._run(ADD, scope, mark, MARKS_KEPT, MAX_COUNT, *pairs)
        if str(reply).startswith(_TOO_HIGH):
            raise ValueError(f"{scope}: the counter {str(reply).removeprefix(_TOO_HIGH)} would pass {MAX_COUNT}")
        return bool(reply)

    def read(self, scope: str) -> Mapping[str, int]:
        """The counters of a scope."""
        with self._errors():
            return _sorted_counts(self._client.hgetall(f"{self._prefix}stats:{scope}"))

    def read_all(self) -> Counts:
        """The counters of every scope that has any."""
        return _parsed(self._run(READ_ALL))

    def close_interval(self, name: str, *, keep: Collection[str] = ()) -> Counts:
        """Archive all counters under a name and set them to zero. A repeat returns the same counts."""
        checked_name(name, "interval")
        return _archived(name, self._run(CLOSE, name, MARKS_KEPT, *sorted(keep)))

    def interval(self, name: str) -> Counts | None:
        """The counts of a closed interval, or None if it was not closed."""
        with self._errors():
            archived = self._client.hget(f"{self._prefix}stats-intervals", name)
        return None if archived is None else _archived(name, archived)

    def forget_intervals(self, *, keep: int) -> tuple[str, ...]:
        """Remove the counts of all closed intervals except the latest `keep`. Returns the names of the others."""
        if keep < 1:
            raise ValueError(f"keep={keep}: at least one interval must be kept")
        return tuple(self._run(FORGET, keep))

    def close(self) -> None:
        self._client.close()

    def _run(self, script: str, *arguments: Any) -> Any:
        with self._errors():
            # The client sends a script's digest, and the script itself only if Redis does not know it.
            return self._client.register_script(script)(keys=[self._prefix], args=list(arguments))

    def _check(self) -> None:
        """Check that the server keeps counters safely, and that this program can read those it has.

        Raises:
            UsageError: it does not, or has newer counters.
        """
        info = self._client.info("memory")
        if info.get("maxmemory", 0) and info.get("maxmemory_policy") != "noeviction":
            raise UsageError(
                f"{self._server.title} removes keys when its memory is full ({info.get('maxmemory_policy')})",
                "Set its maxmemory-policy to noeviction: a removed counter would look like zero.",
            )
        if self._server.password is None:
            self._check_is_private()
        version_key = f"{self._prefix}stats-version"
        if not self._read_only:
            self._client.set(version_key, _VERSION, nx=True)
        version = self._client.get(version_key)
        if version != _VERSION and not (self._read_only and version is None):
            raise UsageError(
                f"{self._server.title} has counters of a newer version ({version!r})",
                "Update soundsright. The counters were not changed.",
            )

    def _check_is_private(self) -> None:
        """Check that a server without a password does not answer other machines."""
        from redis.exceptions import ResponseError

        try:
            bound = self._client.config_get("bind", "protected-mode", "port")
        except ResponseError as error:
            raise UsageError(
                f"{self._server.title} has no password, and does not tell where it listens ({error})",
                _PASSWORD_REMEDY,
            ) from error
        addresses = str(bound.get("bind", "*")).split()
        public = [address for address in addresses if not address.startswith(_LOOPBACK)]
        if bound.get("port") != "0" and bound.get("protected-mode") != "yes" and (public or not addresses):
            raise UsageError(
                f"{self._server.title} has no password, and listens on {' '.join(public) or 'every address'}",
                _PASSWORD_REMEDY,
            )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        from redis.exceptions import AuthenticationError, RedisError

        try:
            yield
        except (RedisError, OSError) as error:
            cause = str(error).splitlines()[0] if str(error) else type(error).__name__
            if isinstance(error, AuthenticationError) or cause.startswith(("NOAUTH", "WRONGPASS", "NOPERM")):
                raise UsageError(f"{self._server.title} refuses the password: {cause}", _PASSWORD_REMEDY) from error
            raise StateUnavailable(
                f"{self._server.title} failed: {cause}", "Check that the server runs, its memory and its disk."
            ) from error


def _client(server: RedisServer) -> Redis:
    try:
        from redis import Connection, ConnectionPool, Redis, SSLConnection, UnixDomainSocketConnection
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError as error:
        raise UsageError(f"Redis cannot be used: {error}", "Run `pip install 'soundsright[redis]'`.") from error
    shared: dict[str, Any] = {
        "db": server.index,
        "username": server.username or None,
        "password": None if server.password is None else server.password.get_secret_value(),
        "socket_timeout": TIMEOUT_S,
        "decode_responses": True,
        "retry": Retry(NoBackoff(), 0),
    }
    if server.socket:
        pool = ConnectionPool(connection_class=UnixDomainSocketConnection, path=server.socket, **shared)
    else:
        kind = SSLConnection if server.tls else Connection
        pool = ConnectionPool(
            connection_class=kind,
            host=server.host,
            port=server.port,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            **shared,
        )
    return Redis.from_pool(pool)


def _archived(name: str, archived: str) -> Counts:
    if not archived:
        raise forgotten(name)
    return _parsed(archived)


def _parsed(counts: str) -> Counts:
    return {scope: _sorted_counts(own) for scope, own in sorted(json.loads(counts).items()) if own}


def _sorted_counts(counts: Mapping[str, str]) -> dict[str, int]:
    return {name: int(value) for name, value in sorted(counts.items())}
