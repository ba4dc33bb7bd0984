"""The HTTP client keeps its deadline and its limit of bytes, however the other side behaves."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from soundsright.adapters.peers.client import SignedPeers, request
from soundsright.adapters.peers.keys import Hotkey
from soundsright.core.errors import PeerUnavailable

ALICE, BOB = (Hotkey.of_seed(name) for name in ("alice", "bob"))
BODY = b'{"a": 1}'


@pytest.fixture
def server() -> Iterator[tuple[str, list[bytes]]]:
    """A server that sends the pieces of a list 0.1 s apart, and hangs after the last one."""
    pieces: list[bytes] = []
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                for piece in pieces:
                    try:
                        connection.sendall(piece)
                    except OSError:
                        return
                    done.wait(0.1)
                done.wait(10)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", pieces
        done.set()
        thread.join(5)


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [b"HTTP/1.1 200 OK\r\n", *[b"X-Slow: 1\r\n"] * 50],
        [b"HTTP/1.1 200 OK\r\n\r\n", *[b"x"] * 50],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n", *[b"x"] * 50],
    ],
    ids=["silent", "slow-headers", "slow-body-without-length", "slow-body"],
)
def test_a_peer_that_hangs_or_sends_slowly_is_given_up_in_time(
    server: tuple[str, list[bytes]], pieces: list[bytes]
) -> None:
    url, planned = server
    planned.extend(pieces)
    started_s = time.monotonic()
    with pytest.raises(PeerUnavailable, match=r"0\.5 s"):
        request(url, "GET", "/", timeout_s=0.5)
    assert time.monotonic() - started_s < 5


def test_an_answer_that_is_too_large_is_given_up(server: tuple[str, list[bytes]]) -> None:
    url, planned = server
    planned.append(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5_000)
    with pytest.raises(PeerUnavailable, match="more than 1000 bytes"):
        request(url, "GET", "/", timeout_s=5, max_bytes=1_000)


@pytest.mark.parametrize(
    "endpoint",
    ["1.2.3.4:99999", "1.2.3.4:-1", "[abc:80", "2001:db8::1:8091", "a..b:80", f"{'a' * 70}.x:80", "a b:80"],
)
def test_a_bad_endpoint_is_a_peer_that_does_not_answer(endpoint: str) -> None:
    with pytest.raises(PeerUnavailable, match="does not answer"):
        SignedPeers(ALICE).call(endpoint, BOB.address, "/reveal", BODY, timeout_s=1.0)


@pytest.fixture
def unanswered() -> Iterator[int]:
    """A port that neither accepts nor refuses connections, because its queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield int(listener.getsockname()[1])


def test_a_name_with_many_addresses_gets_no_more_time_than_one(
    unanswered: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", unanswered))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: [address] * 40)
    started_s = time.monotonic()
    with pytest.raises(PeerUnavailable, match=r"0\.2 s"):
        request(f"http://many.example:{unanswered}", "GET", "/", timeout_s=0.2)
    assert time.monotonic() - started_s < 4


def test_a_host_is_reached_by_the_first_address_that_answers(
    server: tuple[str, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, planned = server
    planned.append(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
    port = int(url.rpartition(":")[2])
    addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in ("127.0.0.2", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: addresses)
    assert request(f"http://two.example:{port}", "GET", "/", timeout_s=5).body == b"hi"


def test_an_address_that_never_answers_leaves_time_for_the_next(
    unanswered: int, server: tuple[str, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, planned = server
    planned.append(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
    ports = (unanswered, int(url.rpartition(":")[2]))
    addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: addresses)
    assert request("http://two.example", "GET", "/", timeout_s=4).body == b"hi"


def test_a_handshake_gets_only_the_time_that_connecting_left(
    server: tuple[str, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect_s = 0.05
    timeouts_s: list[float] = []

    class Slow(socket.socket):
        def connect(self, address: Any) -> None:
            super().connect(address)
            time.sleep(connect_s)

    def handshake(_context: ssl.SSLContext, sock: socket.socket, **_options: object) -> None:
        timeout_s = sock.gettimeout()
        assert timeout_s is not None
        timeouts_s.append(timeout_s)
        raise ssl.SSLError("no handshake")

    monkeypatch.setattr(socket, "socket", Slow)
    monkeypatch.setattr(ssl.SSLContext, "wrap_socket", handshake)
    with pytest.raises(PeerUnavailable, match="no handshake"):
        request(server[0].replace("http:", "https:"), "GET", "/", timeout_s=5)
    assert [timeout_s < 5 - connect_s for timeout_s in timeouts_s] == [True]
