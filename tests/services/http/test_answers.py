"""A peer reads by GET, limits each reply, and can demand an answer that its receiver signed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from starlette.responses import StreamingResponse
from starlette.testclient import TestClient

from soundsright.adapters.peers import client
from soundsright.adapters.peers.auth import RequestGate, signed_headers
from soundsright.adapters.peers.client import SignedPeers
from soundsright.adapters.peers.keys import Hotkey
from soundsright.adapters.peers.service import SignedService
from soundsright.core.endpoint import PeerNetworks
from soundsright.core.errors import PeerUnavailable, RequestRefused
from soundsright.services.http.answers import sign_answers
from soundsright.services.http.requests import HttpService, answer_refusals, listening, signed_body

ALICE, BOB, EVE = (Hotkey.of_seed(name) for name in ("alice", "bob", "eve"))
SIZE = 200_000


def app_of(receiver: Hotkey, *, signer: Hotkey | None) -> FastAPI:
    """An app whose routes read signed requests. `signer` signs its answers."""
    app, gate = FastAPI(), RequestGate(receiver.address)
    answer_refusals(app)

    async def sender_of(request: Request) -> str:
        sender, _ = await signed_body(
            request, admit=gate.admit_read, throttle=lambda _client: None, max_bytes=1_000
        )
        return sender

    @app.get("/list")
    @app.post("/list")
    async def listed(request: Request) -> dict[str, str]:
        return {"sender": await sender_of(request), "query": request.url.query}

    @app.get("/large")
    async def large(request: Request) -> Response:
        await sender_of(request)
        return Response(b"x" * SIZE)

    @app.get("/huge")
    async def huge(request: Request) -> Response:
        await sender_of(request)
        return StreamingResponse(iter([b"x" * 1_000_000] * 3))

    @app.get("/refused")
    async def refused(request: Request) -> None:
        await sender_of(request)
        raise RequestRefused("not_yet", "Not yet", status=409)

    @app.get("/public")
    def public() -> dict[str, str]:
        return {"anybody": "may read"}

    @app.get("/{name}")
    async def name(request: Request, name: str) -> dict[str, str]:
        return {"sender": await sender_of(request), "name": name}

    if signer is not None:
        sign_answers(app, signer.sign)
    return app


@pytest.fixture
def endpoint(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where Bob's app listens. Its parameter is the account that signs the answers."""
    sock = listening("127.0.0.1", 0, host_variable="H", port_variable="P")
    service = HttpService(app_of(BOB, signer=getattr(request, "param", BOB)), sock, name="t").start()
    yield f"127.0.0.1:{service.port}"
    service.close()


def peers(account: Hotkey = ALICE) -> SignedPeers:
    return SignedPeers(account, PeerNetworks.of("loopback"))


def test_a_peer_reads_by_a_signed_get(endpoint: str) -> None:
    reply = peers().get(endpoint, BOB.address, "/list?a=%2F&b=1", timeout_s=5)
    assert reply.status == 200
    assert reply.body == b'{"sender":"%s","query":"a=%%2F&b=1"}' % ALICE.address.encode()
    assert peers().get(endpoint, EVE.address, "/list", timeout_s=5).status == 401


def test_the_path_is_signed_as_it_was_sent(endpoint: str) -> None:
    for path in ("/a%3Fb", "/a%0Ab", "/%C3%A4"):
        assert peers().get(endpoint, BOB.address, path, timeout_s=5).status == 200, path
    headers = signed_headers(ALICE, method="GET", path="/a?b", body=b"", receiver=BOB.address)
    browser = TestClient(app_of(BOB, signer=None))
    assert browser.get("/a%3Fb", headers=headers).json()["code"] in ("stale", "bad_signature")


def test_a_get_goes_only_where_a_peer_may_be(endpoint: str) -> None:
    with pytest.raises(PeerUnavailable) as caught:
        SignedPeers(ALICE).get(endpoint, BOB.address, "/list", timeout_s=5)
    assert caught.value.code == "forbidden_address"


def test_each_call_has_its_own_limit_of_bytes(endpoint: str) -> None:
    with pytest.raises(PeerUnavailable) as caught:
        peers().get(endpoint, BOB.address, "/large", timeout_s=5)
    assert caught.value.code == "too_large"
    assert len(peers().get(endpoint, BOB.address, "/large", timeout_s=5, max_bytes=SIZE).body) == SIZE
    with pytest.raises(PeerUnavailable) as caught:
        peers().call(endpoint, BOB.address, "/list", b"{}", timeout_s=5, max_bytes=10)
    assert caught.value.code == "too_large"


def test_an_answer_is_proved_to_be_the_receivers(endpoint: str) -> None:
    for path, status in (("/list", 200), ("/refused", 409), ("/large", 200)):
        reply = peers().get(endpoint, BOB.address, path, timeout_s=5, max_bytes=SIZE, signed_answer=True)
        assert reply.status == status
    assert peers().call(endpoint, BOB.address, "/list", b"{}", timeout_s=5, signed_answer=True).status == 200


@pytest.mark.parametrize("endpoint", [EVE, None], indirect=True, ids=["by-another", "unsigned"])
def test_an_answer_that_the_receiver_did_not_sign_is_not_used(endpoint: str) -> None:
    assert peers().get(endpoint, BOB.address, "/list", timeout_s=5).status == 200
    with pytest.raises(PeerUnavailable, match="did not sign") as caught:
        peers().get(endpoint, BOB.address, "/list", timeout_s=5, signed_answer=True)
    assert caught.value.code == "unsigned_answer"


@pytest.mark.parametrize(
    "change",
    [
        {"body": b'{"weights":{}}'},
        {"status": 201},
        {"signature": ""},
        {"signature": "0x"},
        {"signature": "0xzz"},
        {"signature": "twice"},
        {"signature": "\xe9" * 130},
    ],
    ids=["body", "status", "missing", "empty", "not-hex", "twice", "not-ascii"],
)
def test_a_changed_answer_is_not_used(
    endpoint: str, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = client.request

    def changed(*args: Any, **options: Any) -> Any:
        reply = real(*args, **options)
        assert reply.signature
        values = dict(change)
        if values.get("signature") == "twice":
            values["signature"] = f"{reply.signature}, {reply.signature}"
        return replace(reply, **values)

    monkeypatch.setattr(client, "request", changed)
    with pytest.raises(PeerUnavailable, match="did not sign"):
        peers().get(endpoint, BOB.address, "/list", timeout_s=5, signed_answer=True)


def test_an_answer_to_another_request_is_not_used(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eve asks with the nonce that Alice will use, and puts her answer in place of Alice's."""
    nonce_ns = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: nonce_ns)
    by_eve = peers(EVE).get(endpoint, BOB.address, "/other", timeout_s=5, signed_answer=True)

    def swapped(*_args: Any, **_options: Any) -> Any:
        return by_eve

    monkeypatch.setattr(client, "request", swapped)
    with pytest.raises(PeerUnavailable, match="did not sign"):
        peers(ALICE).get(endpoint, BOB.address, "/list", timeout_s=5, signed_answer=True)


def test_only_answers_to_admitted_requests_are_signed() -> None:
    """Otherwise anybody could get an answer of a public route signed for the nonce of somebody else."""
    browser = TestClient(app_of(BOB, signer=BOB))
    headers = signed_headers(ALICE, method="GET", path="/other", body=b"", receiver=BOB.address)
    for path, status in (("/public", 200), ("/list", 401), ("/none/such", 404)):
        reply = browser.get(path, headers=headers)
        assert (reply.status_code, "x-answer-signature" in reply.headers) == (status, False)
    assert "x-answer-signature" not in browser.get("/public").headers
    fresh = signed_headers(ALICE, method="GET", path="/list", body=b"", receiver=BOB.address)
    assert "x-answer-signature" in browser.get("/list", headers=fresh).headers
    assert "x-answer-signature" not in browser.get("/list", headers=fresh).headers  # A replay.


def test_a_large_answer_is_sent_unsigned_and_not_held() -> None:
    app = app_of(BOB, signer=BOB)
    headers = signed_headers(ALICE, method="GET", path="/huge", body=b"", receiver=BOB.address)
    reply = TestClient(app).get("/huge", headers=headers)
    assert len(reply.content) == 3_000_000
    assert "x-answer-signature" not in reply.headers


class Signer:
    """Alice's account, which says when it has signed."""

    def __init__(self) -> None:
        self.address = ALICE.address
        self.signed = threading.Event()
        self.count = 0

    def sign(self, message: bytes) -> bytes:
        signature = ALICE.sign(message)
        self.count += 1
        self.signed.set()
        return signature


def test_a_request_that_waited_for_a_service_to_start_is_signed_again() -> None:
    alice, sock = Signer(), listening("127.0.0.1", 0, host_variable="H", port_variable="P")
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    service = SignedService(url, BOB.address, alice, "The coordinator", "SUBNET_API_URL", timeout_s=30)
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(service.get, "/list")
        assert alice.signed.wait(30)
        server = HttpService(app_of(BOB, signer=BOB), sock, name="t").start()
        try:
            assert waiting.result(60).status == 200
        finally:
            server.close()
    assert alice.count == 2
