"""Which connection a full service drops, and which it never drops."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest
from fastapi import FastAPI, Request

from soundsright.core.errors import UsageError
from soundsright.services.http.connection import Connection
from soundsright.services.http.limits import Limits
from soundsright.services.http.requests import HttpService, answer_refusals
from soundsright.services.http.turns import Turns
from tests.services.http.connections import (
    BEGUN,
    FOUR_STRANGERS,
    LARGE,
    Dial,
    Serve,
    app_of_tests,
    is_answered,
)


def is_open(sock: socket.socket) -> bool:
    """Whether the other side still holds the connection. It has sent nothing."""
    sock.settimeout(0.03)
    try:
        return sock.recv(1) != b""
    except TimeoutError:
        return True
    except ConnectionError:
        return False


def is_refused(sock: socket.socket) -> bool:
    """Whether the other side ends the connection without an answer."""
    sock.settimeout(20)
    try:
        return sock.recv(1) == b""
    except ConnectionError:
        return True


def received_until(sock: socket.socket, end: bytes) -> bytes:
    received = b""
    while not received.endswith(end) and (piece := sock.recv(4_096)):
        received += piece
    return received


def received_bytes(sock: socket.socket, count: int) -> int:
    """Read that many bytes. Returns how many came before the end."""
    received = 0
    while received < count and (piece := sock.recv(min(16_384, count - received))):
        received += len(piece)
    return received


def connections_of(service: HttpService) -> list[Any]:
    return list(service._server.server_state.connections)


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


class Work:
    """A route whose requests stay in work until the `with` block ends. It counts them."""

    REQUEST = b"GET /work HTTP/1.1\r\nHost: x\r\n\r\n"

    def __init__(self) -> None:
        self.running = self.most = 0
        self._done, self._lock = threading.Event(), threading.Lock()

    def add_to(self, app: FastAPI) -> None:
        @app.get("/work")
        def work() -> str:
            with self._lock:
                self.running += 1
                self.most = max(self.most, self.running)
            self._done.wait(30)
            with self._lock:
                self.running -= 1
            return "done"

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, *_: object) -> None:
        self._done.set()


class SteppedClock:
    """A clock that stands until the test moves it. It counts how often the service looks at it."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.looks = 0

    def __call__(self) -> float:
        self.looks += 1
        return self.now_s

    def step(self, seconds: float) -> None:
        self.now_s += seconds

    def wait_for_looks(self, count: int) -> None:
        wanted = self.looks + count
        wait_until(lambda: self.looks >= wanted)


def open_ones(sockets: list[socket.socket]) -> int:
    return sum(map(is_open, sockets))


def test_a_client_at_its_limit_loses_its_own_oldest_connection(serve: Serve, dial: Dial) -> None:
    service = serve()
    other = dial(service, b"", "127.0.0.2")
    own = [dial(service, b"", "127.0.0.3") for _ in range(12)]
    assert is_answered(service)
    assert [is_open(sock) for sock in own] == [False] * 4 + [True] * 8
    assert is_open(other)


def test_a_full_service_drops_the_connections_of_the_client_that_has_most(serve: Serve, dial: Dial) -> None:
    service = serve()
    few = [dial(service, b"", address) for address in FOUR_STRANGERS]
    for _ in range(4):
        for last in range(20, 26):
            dial(service, b"", f"127.0.0.{last}")
    assert is_answered(service)
    assert open_ones(few) == 4


def test_a_full_service_of_single_connections_drops_the_oldest(serve: Serve, dial: Dial) -> None:
    service = serve()
    many = [dial(service, b"", f"127.0.0.{last}") for last in range(2, 32)]
    assert is_answered(service)
    kept = [is_open(sock) for sock in many]
    assert kept == sorted(kept)
    assert 20 <= sum(kept) <= 22


def test_a_vouched_client_keeps_its_connection_in_a_flood_from_many_addresses(serve: Serve, dial: Dial) -> None:
    service = serve()
    assert is_answered(service, "/vouched")
    validators = dial(service, b"POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n")
    for last in range(2, 60):
        dial(service, b"", f"127.0.0.{last}")
    validators.sendall(b"ab")
    assert received_until(validators, b"}").endswith(b'{"bytes":2}')


def test_work_for_strangers_leaves_the_reserve_to_vouched_clients(serve: Serve, dial: Dial) -> None:
    app, work = app_of_tests(), Work()
    work.add_to(app)
    service = serve(app, Limits(connections=10, per_client=8, reserve=2))
    assert is_answered(service, "/vouched")
    wait_until(lambda: not connections_of(service))
    with work:
        workers = [dial(service, Work.REQUEST, address) for address in FOUR_STRANGERS * 2]
        wait_until(lambda: work.running == 8)
        assert is_refused(dial(service, BEGUN["idle"], "127.0.0.9"))
        assert is_answered(service)
    for sock in workers:
        assert received_until(sock, b'"done"').endswith(b'"done"'), "a request in work is never dropped"


@pytest.mark.parametrize("places", [6, 7])
def test_a_stranger_never_takes_the_place_of_a_vouched_client(serve: Serve, dial: Dial, places: int) -> None:
    app, work = app_of_tests(), Work()
    work.add_to(app)
    service = serve(app, Limits(connections=10, per_client=8, reserve=2))
    assert is_answered(service, "/vouched")
    wait_until(lambda: not connections_of(service))
    validators = dial(service, b"POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n")
    wait_until(lambda: len(connections_of(service)) == 1)
    with work:
        for address in (FOUR_STRANGERS * 2)[:places]:
            dial(service, Work.REQUEST, address)
        wait_until(lambda: work.running == places)
        silent = [dial(service, b"", f"127.0.0.{last}") for last in range(20, 27)]
        assert is_answered(service), "the reserve has places"
        validators.sendall(b"ab")
        assert received_until(validators, b"}").endswith(b'{"bytes":2}')
    assert all(is_refused(sock) for sock in silent[:places]), "there is room for eight"
    assert open_ones(silent[places:]) == 7 - places


def test_a_vouched_client_takes_the_place_of_a_stranger_that_waits(serve: Serve, dial: Dial) -> None:
    service = serve(limits=Limits(connections=10, per_client=8, reserve=2))
    assert is_answered(service, "/vouched")
    wait_until(lambda: not connections_of(service))
    strangers = [dial(service, b"", f"127.0.0.{last}") for last in range(20, 28)]
    wait_until(lambda: len(connections_of(service)) == 8)
    own = [dial(service, BEGUN["idle"]) for _ in range(4)]
    assert all(received_until(sock, b'"quick"').endswith(b'"quick"') for sock in own)
    assert [is_refused(sock) for sock in strangers[:2]] == [True, True]
    assert open_ones(strangers) == 6


def test_one_client_starts_little_work_at_the_same_time_even_if_it_leaves_at_once(serve: Serve, dial: Dial) -> None:
    app, work = app_of_tests(), Work()
    work.add_to(app)
    service = serve(app)
    with work:
        for _ in range(30):
            leaving = dial(service, Work.REQUEST, "127.0.0.2")
            time.sleep(0.005)
            leaving.close()
        waiting = [dial(service, Work.REQUEST, "127.0.0.2") for _ in range(4)]
        assert is_answered(service)
        wait_until(lambda: work.running == 2)
    for sock in waiting:
        assert received_until(sock, b'"done"').endswith(b'"done"')
    assert work.most == 2


def test_a_client_that_leaves_during_its_body_is_no_error_in_the_log(
    serve: Serve, dial: Dial, caplog: pytest.LogCaptureFixture
) -> None:
    service = serve()
    for _ in range(3):
        dial(service, BEGUN["slow-body"]).close()
    assert is_answered(service)
    service.close()
    assert not caplog.records


@pytest.mark.parametrize("attack", ["silent", "slow-header", "slow-body", "slow-reader"])
def test_a_late_client_is_dropped_though_it_sends_or_reads_a_byte_now_and_then(
    serve: Serve, dial: Dial, attack: str
) -> None:
    clock = SteppedClock()
    service = serve(limits=Limits(header_s=0.3, body_s=0.3, read_s=0.3), clock_s=clock)
    sock = dial(service, BEGUN[attack])
    wait_until(lambda: bool(connections_of(service)))

    def is_dropped() -> bool:
        with contextlib.suppress(OSError):
            if attack == "slow-reader":
                sock.recv(10)
            elif attack != "silent":
                sock.send(b"x")
        clock.step(0.02)
        return not connections_of(service)

    wait_until(is_dropped)


def test_a_client_that_reads_steadily_is_not_dropped_however_long_it_takes(serve: Serve, dial: Dial) -> None:
    clock = SteppedClock()
    service = serve(limits=Limits(header_s=0.3, body_s=0.3, read_s=0.3), clock_s=clock)
    sock = dial(service, BEGUN["slow-reader"], window=65_536)
    for _ in range(5):
        assert received_bytes(sock, 500_000) == 500_000
        clock.wait_for_looks(2)
        clock.step(0.25)
        clock.wait_for_looks(2)
    assert received_bytes(sock, len(LARGE) - 2_500_000) == len(LARGE) - 2_500_000


def test_unread_replies_and_unfinished_bodies_have_a_bound_in_memory(serve: Serve, dial: Dial) -> None:
    service = serve(limits=Limits(held_bytes=10_000_000))
    own = dial(service, b"POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 1500000\r\n\r\n")
    own.sendall(b"a" * 1_000_000)
    for address in FOUR_STRANGERS:
        dial(service, BEGUN["slow-reader"], address)
    head = b"POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n"
    for address in FOUR_STRANGERS:
        dial(service, head + b"b" * 2_900_000, address)
    # Each of the eight holds 2.5 to 2.9 MB. Beside the first megabyte there is room for three of them.
    wait_until(lambda: len(connections_of(service)) == 4)
    wait_until(lambda: sum(each.held_bytes for each in connections_of(service)) <= 10_000_000)
    own.sendall(b"a" * 500_000)
    assert received_until(own, b"}").endswith(b'{"bytes":1500000}')


def test_a_limit_of_rates_counts_a_network_of_ipv6_as_one_client() -> None:
    from fastapi.testclient import TestClient

    from soundsright.adapters.peers.auth import RateLimit
    from soundsright.services.http.requests import signed_body

    app, limit = FastAPI(), RateLimit(per_minute=1, burst=2)
    answer_refusals(app)

    @app.post("/signed")
    async def signed(request: Request) -> str:
        await signed_body(request, admit=lambda *_: "x", throttle=limit.check, max_bytes=10)
        return "ok"

    def status(host: str) -> int:
        return TestClient(app, client=(host, 1)).post("/signed").status_code

    assert [status(f"2001:db8::{last}") for last in (1, 2, 3)] == [200, 200, 429]
    assert status("2001:db8:0:1::1") == 200


def test_turns_of_a_client_go_to_its_requests_in_their_order() -> None:
    async def outcome() -> list[bool]:
        turns = Turns(per_client=1, total=2)
        first, second, third = (turns.request("a") for _ in range(3))
        other, too_many = turns.request("b"), turns.request("c")
        turns.give_up("a", second)
        before = third.done()
        turns.end("a")
        assert (await first, await second, await third, await other) == (True, False, True, True)
        turns.end("a")
        turns.end("b")
        return [before, await too_many, await turns.request("c")]

    assert asyncio.run(outcome()) == [False, False, True]


@pytest.mark.parametrize("wrong", [{"connections": 2}, {"connections": 40, "reserve": 40}, {"per_client": -1}])
def test_limits_that_shut_everybody_out_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="Allow"):
        Limits(**wrong)


def test_the_server_knows_at_once_that_a_dropped_request_has_no_client() -> None:
    """Otherwise it logs an error for each of them, and strangers could fill a disk."""
    connection: Any = Connection.__new__(Connection)
    connection.cycle, connection.transport = Mock(disconnected=False), Mock()
    connection.abandon()
    assert connection.cycle.disconnected
    connection.transport.abort.assert_called_once()
