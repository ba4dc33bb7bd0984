"""Redis alone: servers that are refused, servers that go away, and what a lost connection costs."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from soundsright.adapters.state.redis_counters import RedisCounters
from soundsright.config import RedisServer
from soundsright.core.errors import StateUnavailable, UsageError
from tests.adapters.state import redis_program

pytest.importorskip("redis", reason="Redis needs soundsright[redis]")

pytestmark = redis_program.needs_redis


@pytest.fixture(scope="module")
def server() -> Iterator[redis_program.TestServer]:
    with redis_program.server() as running:
        yield running


def client_of(server: redis_program.TestServer) -> Any:
    from redis import Redis

    password = server.address.password.get_secret_value() if server.address.password else None
    return Redis(port=server.address.port, db=server.address.index, password=password, decode_responses=True)


@pytest.mark.parametrize("password", [None, "wrong"])
def test_a_wrong_password_is_refused_and_not_shown(server: redis_program.TestServer, password: str | None) -> None:
    address = replace(server.address, password=None if password is None else SecretStr(password))
    with pytest.raises(UsageError, match=r"refuses the password.*DATABASE_PASSWORD") as caught:
        RedisCounters(address)
    assert redis_program.PASSWORD not in str(caught.value)
    assert "wrong" not in str(caught.value).replace("WRONGPASS", "").replace("wrong number", "")


@pytest.mark.parametrize("options", [("--bind", "0.0.0.0", "--protected-mode", "no"), ("--protected-mode", "no")])
def test_a_server_that_is_open_to_everyone_is_refused(options: tuple[str, ...]) -> None:
    if options[0] != "--bind":
        options = ("--bind", "*", *options)
    with redis_program.server(*options, password=None) as running:
        with pytest.raises(UsageError, match=r"has no password, and listens on .*requirepass"):
            RedisCounters(running.address)
        client = client_of(running)
        assert client.dbsize() == 0
        client.close()


def test_a_server_of_this_machine_needs_no_password() -> None:
    with redis_program.server(password=None) as running:
        counters = RedisCounters(running.address)
        assert counters.add("5F", {"attempts": 1})
        counters.close()


def test_a_server_that_removes_keys_is_refused() -> None:
    options = ("--bind", "127.0.0.1", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    with (
        redis_program.server(*options) as running,
        pytest.raises(UsageError, match=r"removes keys.*allkeys-lru.*noeviction"),
    ):
        RedisCounters(running.address)


def test_a_look_at_a_new_server_leaves_no_keys(server: redis_program.TestServer) -> None:
    client = client_of(server)
    client.flushdb()
    RedisCounters(server.address, read_only=True).close()
    assert client.keys("*") == []


def test_newer_counters_are_refused_and_stay(server: redis_program.TestServer) -> None:
    client = client_of(server)
    client.set("newer:stats-version", "2")
    with pytest.raises(UsageError, match=r"newer version \('2'\).*Update soundsright"):
        RedisCounters(server.address, scope="newer")
    assert client.keys("newer:*") == ["newer:stats-version"]
    client.close()


def test_the_counters_of_a_scope_are_one_hash(server: redis_program.TestServer) -> None:
    counters = RedisCounters(server.address)
    counters.add("5F", {"attempts": 2, "successes": 1})
    client = client_of(server)
    assert client.hgetall("stats:5F") == {"attempts": "2", "successes": "1"}
    client.close()
    counters.close()


def test_marks_of_old_intervals_leave_no_keys(server: redis_program.TestServer) -> None:
    counters = RedisCounters(server.address, scope="marks")
    for number in range(6):
        counters.add("5F", {"attempts": 1}, once="m")
        counters.add("6F", {"attempts": 1}, once=f"n{number}")
        counters.close_interval(f"i{number}")
    client = client_of(server)
    assert len(client.keys("marks:stats-marks:*")) <= 3
    client.close()
    counters.close()


def test_a_server_that_is_away_is_an_infrastructure_fault_and_heals() -> None:
    with redis_program.server("--bind", "127.0.0.1", "--appendonly", "yes") as running:
        counters = RedisCounters(running.address)
        counters.add("5F", {"attempts": 1}, once="m1")
        running.kill()
        for call in (lambda: counters.add("5F", {"attempts": 1}, once="m2"), lambda: counters.read("5F")):
            with pytest.raises(StateUnavailable, match=r"Redis at 127.0.0.1:\d+ \(database 1\) failed"):
                call()
        with pytest.raises(StateUnavailable):
            RedisCounters(running.address)
        running.start()
        assert counters.add("5F", {"attempts": 1}, once="m2")
        assert counters.read("5F") == {"attempts": 2}
        counters.close()


class CutAfterAdding:
    """Passes bytes between a client and Redis. When told, it lets one request through, and drops the reply."""

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.is_cutting = False
        self._target = port
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            upstream = socket.create_connection(("127.0.0.1", self._target))
            self._sockets += [client, upstream]
            threading.Thread(target=self._pass, args=(client, upstream, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(upstream, client, True), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, is_reply: bool) -> None:
        try:
            while data := source.recv(65_536):
                if is_reply and self.is_cutting:
                    self.is_cutting = False
                    target.shutdown(socket.SHUT_RDWR)
                    return
                target.sendall(data)
        except OSError:
            return

    def close(self) -> None:
        self._listener.close()
        for opened in self._sockets:
            opened.close()


def test_an_addition_whose_reply_is_lost_is_counted_once(server: redis_program.TestServer) -> None:
    proxy = CutAfterAdding(server.address.port)
    address = RedisServer(port=proxy.port, password=server.address.password)
    counters = RedisCounters(address, scope="lost")
    counters.add("5F", {"attempts": 1}, once="m1")
    proxy.is_cutting = True
    with pytest.raises(StateUnavailable):
        counters.add("5F", {"attempts": 1}, once="m2")
    assert not counters.add("5F", {"attempts": 1}, once="m2"), "Redis had counted it"
    assert counters.read("5F") == {"attempts": 2}
    proxy.is_cutting = True
    with pytest.raises(StateUnavailable):
        counters.add("5F", {"attempts": 1})
    assert counters.read("5F") == {"attempts": 3}, "the adapter itself must not repeat"
    counters.close()
    proxy.close()
