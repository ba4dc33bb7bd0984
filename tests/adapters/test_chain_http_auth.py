"""Signed requests: what is admitted once, and what never is. Read and written by Bittensor's own code too."""

from __future__ import annotations

import contextlib
import socket
import ssl
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from soundsright.adapters.peers.auth import Gate, RateLimit, signed_headers
from soundsright.adapters.peers.client import SignedPeers, request
from soundsright.adapters.peers.keys import Hotkey, new_hotkey
from soundsright.core.errors import PeerUnavailable, RequestRefused, UsageError

ALICE, BOB, EVE = (Hotkey.of_seed(name) for name in ("alice", "bob", "eve"))
BODY = b'{"a": 1}'


def headers_of(account: Hotkey = ALICE, **changes: object) -> dict[str, str]:
    asked = {"method": "POST", "path": "/reveal", "body": BODY, "receiver": BOB.address} | changes
    return signed_headers(account, **asked)  # type: ignore[arg-type]


def admit(headers: dict[str, str], *, body: bytes = BODY, path: str = "/reveal", gate: Gate | None = None) -> str:
    return (gate or Gate(BOB.address, now_ns=Clock())).admit("POST", path, headers, body)


class Clock:
    """A clock that lies in the past when it is first asked, so that a gate is older than the requests."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self) -> int:
        first, self.asked = not self.asked, True
        return time.time_ns() - (90_000_000_000 if first else 0)


def test_a_signed_request_tells_its_sender() -> None:
    assert admit(headers_of()) == ALICE.address


def test_header_names_are_read_in_any_case() -> None:
    assert admit({k.lower(): v for k, v in headers_of().items()}) == ALICE.address


def test_a_request_is_admitted_once() -> None:
    gate, headers = Gate(BOB.address, now_ns=Clock()), headers_of()
    admit(headers, gate=gate)
    with pytest.raises(RequestRefused) as caught:
        admit(headers, gate=gate)
    assert caught.value.code == "replayed"


@pytest.mark.parametrize(("ahead_s", "told"), [(60, "60 s behind"), (-60, "60 s ahead")])
def test_a_clock_that_is_a_minute_off_is_told_so(ahead_s: int, told: str) -> None:
    now_ns = time.time_ns()
    gate = Gate(BOB.address, now_ns=lambda: now_ns + ahead_s * 1_000_000_000)
    with pytest.raises(RequestRefused, match=told) as caught:
        admit(headers_of(nonce_ns=now_ns), gate=gate)
    assert caught.value.code == "stale"


def test_what_was_signed_before_a_restart_is_not_admitted_after_it() -> None:
    headers = headers_of()
    with pytest.raises(RequestRefused, match="before this service started"):
        admit(headers, gate=Gate(BOB.address))


def test_a_clock_that_is_set_back_admits_nothing_twice() -> None:
    now_ns = [time.time_ns()]
    gate = Gate(BOB.address, now_ns=lambda: now_ns[0])
    now_ns[0] += 30_000_000_000
    first = headers_of(nonce_ns=now_ns[0])
    admit(first, gate=gate)
    now_ns[0] += 15_000_000_000
    admit(headers_of(nonce_ns=now_ns[0]), gate=gate)
    now_ns[0] -= 14_000_000_000
    with pytest.raises(RequestRefused, match="clock was set back") as caught:
        admit(first, gate=gate)
    assert caught.value.code == "stale"
    admit(headers_of(nonce_ns=now_ns[0]), gate=gate)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"receiver": EVE.address}, "wrong_receiver"),
        ({"body": b"other"}, "bad_signature"),
        ({"path": "/feedback"}, "bad_signature"),
        ({"method": "GET"}, "bad_signature"),
    ],
)
def test_a_request_for_something_else_is_refused(changes: dict[str, object], code: str) -> None:
    with pytest.raises(RequestRefused) as caught:
        admit(headers_of(**changes))
    assert caught.value.code == code


def test_nobody_signs_for_another() -> None:
    with pytest.raises(RequestRefused) as caught:
        admit(headers_of(EVE) | {"X-Bittensor-Hotkey": ALICE.address})
    assert caught.value.code == "bad_signature"


def test_a_refused_request_does_not_use_up_the_nonce() -> None:
    gate, headers = Gate(BOB.address, now_ns=Clock()), headers_of()
    with pytest.raises(RequestRefused):
        admit(headers | {"X-Bittensor-Signature": "0x" + "00" * 64}, gate=gate)
    assert admit(headers, gate=gate) == ALICE.address


@pytest.mark.parametrize(
    "change",
    [
        {"X-Bittensor-Nonce": "soon"},
        {"X-Bittensor-Nonce": "-1"},
        {"X-Bittensor-Nonce": "٣" * 19},
        {"X-Bittensor-Nonce": "9" * 300},
        {"X-Bittensor-Signature": "0xzz"},
        {"X-Bittensor-Signature": "0x00"},
        {"X-Bittensor-Version": "2"},
        {"X-Bittensor-Crypto": "ed25519"},
        {"X-Bittensor-Hotkey": ""},
        {"X-Bittensor-Hotkey": "nobody"},
    ],
)
def test_headers_of_another_form_are_refused(change: dict[str, str]) -> None:
    with pytest.raises(RequestRefused) as caught:
        admit(headers_of() | change)
    assert caught.value.status == 401


def test_bittensor_reads_what_is_signed_here_and_the_other_way_round() -> None:
    from bittensor import http_auth

    caller = http_auth.verify(
        headers_of(), BODY, method="POST", path="/reveal", self_hotkey_ss58=BOB.address, nonce_store=None
    )
    assert caller.hotkey_ss58 == ALICE.address

    theirs = http_auth.sign(ALICE.keypair, method="POST", path="/reveal", body=BODY, receiver_ss58=BOB.address)
    assert admit(theirs) == ALICE.address


def test_a_rate_limit_refills_with_time_and_is_kept_by_address() -> None:
    now = [0.0]
    limit = RateLimit(per_minute=6, burst=2, monotonic_s=lambda: now[0])
    limit.check("a")
    limit.check("a")
    with pytest.raises(RequestRefused) as caught:
        limit.check("a")
    assert caught.value.status == 429
    limit.check("b")
    now[0] = 10.0
    limit.check("a")


def test_a_key_is_read_back_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    key, path = new_hotkey(), tmp_path / "w" / "hotkeys" / "h"
    key.write(path)
    assert Hotkey.read(path).address == key.address
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(UsageError, match="holds a key already"):
        key.write(path)


def test_a_key_of_a_bittensor_wallet_is_read(tmp_path: Path) -> None:
    import bittensor as bt

    wallet = bt.Wallet(name="w", hotkey="h", path=str(tmp_path))
    wallet.create_new_hotkey(use_password=False, overwrite=False, suppress=True)
    assert Hotkey.read(tmp_path / "w" / "hotkeys" / "h").address == wallet.hotkey.ss58_address


@pytest.mark.parametrize("content", [None, b"", b"secret-planted text", b'{"secretSeed": "planted"}', b"\xff" * 99])
def test_a_wallet_that_is_wrong_names_the_variable_and_shows_no_secret(
    tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "h").write_bytes(content)
    with pytest.raises(UsageError, match="HOTKEY") as caught:
        Hotkey.read(tmp_path / "h")
    assert "planted" not in str(caught.value)
    assert "planted" not in repr(caught.value.__context__ or "") or caught.value.__suppress_context__


@pytest.fixture
def server() -> Iterator[tuple[str, list[bytes]]]:
    """A server that sends the given pieces, a tenth of a second apart, and hangs after the last."""
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
def test_a_peer_that_hangs_or_trickles_is_given_up_in_time(
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
def test_an_endpoint_that_is_no_address_is_a_peer_that_does_not_answer(endpoint: str) -> None:
    with pytest.raises(PeerUnavailable, match="does not answer"):
        SignedPeers(ALICE).call(endpoint, BOB.address, "/reveal", BODY, timeout_s=1.0)


@pytest.fixture
def unanswered() -> Iterator[int]:
    """A port that takes no connection and refuses none: those that wait to be accepted fill it."""
    with contextlib.ExitStack() as held:
        listener = held.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield int(listener.getsockname()[1])


def test_a_name_with_many_addresses_gets_no_more_time_than_one(
    unanswered: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", unanswered))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_asked, **_how: [place] * 40)
    started_s = time.monotonic()
    with pytest.raises(PeerUnavailable, match=r"0\.2 s"):
        request(f"http://many.example:{unanswered}", "GET", "/", timeout_s=0.2)
    assert time.monotonic() - started_s < 4


def test_a_name_is_reached_at_whichever_of_its_addresses_answers(
    server: tuple[str, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, planned = server
    planned.append(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
    port = int(url.rpartition(":")[2])
    places = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in ("127.0.0.2", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_asked, **_how: places)
    assert request(f"http://two.example:{port}", "GET", "/", timeout_s=5).body == b"hi"


def test_an_address_that_swallows_everything_leaves_time_for_the_next(
    unanswered: int, server: tuple[str, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, planned = server
    planned.append(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
    ports = (unanswered, int(url.rpartition(":")[2]))
    places = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_asked, **_how: places)
    assert request("http://two.example", "GET", "/", timeout_s=4).body == b"hi"


def test_a_handshake_gets_no_more_time_than_the_connection_has_left(
    server: tuple[str, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    took_s, given_s = 0.05, []

    class Slow(socket.socket):
        def connect(self, address: Any) -> None:
            super().connect(address)
            time.sleep(took_s)

    def handshake(_context: ssl.SSLContext, sock: socket.socket, **_how: object) -> None:
        given_s.append(sock.gettimeout())
        raise ssl.SSLError("no handshake")

    monkeypatch.setattr(socket, "socket", Slow)
    monkeypatch.setattr(ssl.SSLContext, "wrap_socket", handshake)
    with pytest.raises(PeerUnavailable, match="no handshake"):
        request(server[0].replace("http:", "https:"), "GET", "/", timeout_s=5)
    assert [left_s < 5 - took_s for left_s in given_s] == [True]
