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
from soundsright.core.endpoint import PeerNetworks
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


def test_headers_of_one_name_are_joined_so_that_none_is_hidden(server: tuple[str, list[bytes]]) -> None:
    url, pieces = server
    pieces += [
        b"HTTP/1.1 401 x\r\nWWW-Authenticate: Bearer a\r\nwww-authenticate: Basic b\r\nContent-Length: 0\r\n\r\n"
    ]
    reply = request(url, "GET", "/v2/", timeout_s=5.0)
    assert reply.headers["www-authenticate"] == "Bearer a, Basic b"


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


NOT_A_PEER = {
    "127.0.0.1": "a loopback address",
    "127.1": "a loopback address",
    "2130706433": "a loopback address",
    "[::1]": "a loopback address",
    "[::ffff:127.0.0.1]": "a loopback address",
    "[64:ff9b::7f00:1]": "a loopback address",
    "[2002:7f00:1::]": "a loopback address",
    "localhost": "a loopback address",
    "169.254.169.254": "a cloud's metadata service",
    "[fd00:ec2::254]": "a cloud's metadata service",
    "169.254.7.7": "a link-local address",
    "[fe80::1]": "a link-local address",
    "224.0.0.251": "a multicast address",
    "[ff02::1]": "a multicast address",
    "0.0.0.0": "an unspecified address",
    "[::]": "an unspecified address",
    "10.1.2.3": "a private address",
    "192.168.0.1": "a private address",
    "100.64.0.1": "a private address",
    "[fd12::1]": "a private address",
    "240.0.0.1": "a reserved address",
}


@pytest.mark.parametrize("host", NOT_A_PEER)
def test_an_endpoint_that_is_not_of_the_public_internet_is_never_called(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("it connected"))
    with pytest.raises(PeerUnavailable, match=NOT_A_PEER[host]) as caught:
        SignedPeers(ALICE).call(f"{host}:6001", BOB.address, "/reveal", BODY, timeout_s=2.0)
    assert caught.value.code == "forbidden_address"
    assert "SOUNDSRIGHT_PEER_NETWORKS" in caught.value.remedy


def test_some_addresses_are_refused_under_every_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("it connected"))
    peers = SignedPeers(ALICE, PeerNetworks.of("private, loopback, 0.0.0.0/0, ::/0"))
    for host, kind in NOT_A_PEER.items():
        if "loopback" not in kind and "private" not in kind and "reserved" not in kind:
            with pytest.raises(PeerUnavailable, match=kind):
                peers.call(f"{host}:6001", BOB.address, "/reveal", BODY, timeout_s=2.0)


def test_a_setting_allows_the_networks_of_a_private_competition() -> None:
    university = PeerNetworks.of("10.20.0.0/16")
    assert university.refusal("10.20.3.4") is None
    assert university.refusal("10.21.3.4") == "a private address"
    assert university.refusal("127.0.0.1") == "a loopback address"
    assert PeerNetworks.of("private").refusal("fd12::1") is None
    assert PeerNetworks.of(" loopback ,").refusal("127.0.0.1") is None
    for wrong in ("169.254.0.0/16", "fe80::/64", "224.0.0.0/4", "10.0.0.1/8", "local", "0.0.0.0"):
        with pytest.raises(ValueError, match=r"network|where no peer can be"):
            PeerNetworks.of(wrong)


def test_a_name_is_looked_up_once_and_only_its_allowed_addresses_are_used(
    server: tuple[str, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, planned = server
    planned.append(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
    port = int(url.rpartition(":")[2])
    looked_up: list[str] = []

    def rebinding(host: str, *_args: object, **_options: object) -> list[Any]:
        looked_up.append(host)
        second = "127.0.0.1" if len(looked_up) == 1 else "127.0.0.2"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in ("10.0.0.1", second)]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    peers = SignedPeers(ALICE, PeerNetworks.of("127.0.0.1/32"))
    assert peers.call(f"rebinding.example:{port}", BOB.address, "/x", BODY, timeout_s=5).body == b"hi"
    assert looked_up == ["rebinding.example"]


def test_a_redirect_is_a_reply_and_is_not_followed(server: tuple[str, list[bytes]]) -> None:
    url, planned = server
    planned.append(b"HTTP/1.1 307 Away\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n")
    peers = SignedPeers(ALICE, PeerNetworks.of("loopback"))
    assert peers.call(url.removeprefix("http://"), BOB.address, "/x", BODY, timeout_s=5).status == 307


def test_a_look_up_that_hangs_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = threading.Event()
    answered: list[str] = []

    def hanging(host: str, *_args: object, **_options: object) -> list[Any]:
        hangs.wait(60)
        answered.append(host)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    try:
        with pytest.raises(PeerUnavailable) as caught:
            request("http://slow.example:1", "GET", "/", timeout_s=0.2)
        assert not answered, "it did not wait for the look-up"
    finally:
        hangs.set()
    assert caught.value.code == "timeout"


@pytest.mark.parametrize(
    "banner",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"220 mail.internal ESMTP \x1b[2J\r\n",
        b"HTTP/9 secret\r\n\r\n",
        b"HTTP/1.1 secret\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nsecret\r\n",
    ],
)
def test_an_error_says_nothing_that_the_other_side_sent(server: tuple[str, list[bytes]], banner: bytes) -> None:
    url, planned = server
    planned.append(banner)
    with pytest.raises(PeerUnavailable) as caught:
        request(url, "GET", "/", timeout_s=3)
    assert caught.value.code == "not_http"
    assert str(caught.value) == f"{url}/ does not answer (its answer is not HTTP). Try again."


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
    with pytest.raises(PeerUnavailable, match="no TLS handshake"):
        request(server[0].replace("http:", "https:"), "GET", "/", timeout_s=5)
    assert [timeout_s < 5 - connect_s for timeout_s in timeouts_s] == [True]
