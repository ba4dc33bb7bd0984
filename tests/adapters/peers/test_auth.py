"""Signed requests: a valid one is admitted once. Bittensor's own code reads and writes them too."""

from __future__ import annotations

import time
from typing import Any

import pytest

from soundsright.adapters.peers.auth import RateLimit, RequestGate, signed_headers
from soundsright.adapters.peers.keys import Hotkey
from soundsright.core.errors import RequestRefused

ALICE, BOB, EVE = (Hotkey.of_seed(name) for name in ("alice", "bob", "eve"))
BODY = b'{"a": 1}'


def headers_of(account: Hotkey = ALICE, **changes: object) -> dict[str, str]:
    request: dict[str, Any] = {"method": "POST", "path": "/reveal", "body": BODY, "receiver": BOB.address}
    return signed_headers(account, **(request | changes))


def admit(
    headers: dict[str, str], *, body: bytes = BODY, path: str = "/reveal", gate: RequestGate | None = None
) -> str:
    return (gate or RequestGate(BOB.address, now_ns=Clock())).admit("POST", path, headers, body)


class Clock:
    """A clock whose first reading is 90 s in the past, so that a gate is older than the requests."""

    def __init__(self) -> None:
        self.was_read = False

    def __call__(self) -> int:
        first, self.was_read = not self.was_read, True
        return time.time_ns() - (90_000_000_000 if first else 0)


def test_a_signed_request_proves_its_sender() -> None:
    assert admit(headers_of()) == ALICE.address


def test_header_names_are_read_in_any_case() -> None:
    assert admit({k.lower(): v for k, v in headers_of().items()}) == ALICE.address


def test_a_request_is_admitted_once() -> None:
    gate, headers = RequestGate(BOB.address, now_ns=Clock()), headers_of()
    admit(headers, gate=gate)
    with pytest.raises(RequestRefused) as caught:
        admit(headers, gate=gate)
    assert caught.value.code == "replayed"


@pytest.mark.parametrize(("ahead_s", "message"), [(60, "60 s behind"), (-60, "60 s ahead")])
def test_the_refusal_says_how_far_the_clock_is_off(ahead_s: int, message: str) -> None:
    now_ns = time.time_ns()
    gate = RequestGate(BOB.address, now_ns=lambda: now_ns + ahead_s * 1_000_000_000)
    with pytest.raises(RequestRefused, match=message) as caught:
        admit(headers_of(nonce_ns=now_ns), gate=gate)
    assert caught.value.code == "stale"


def test_a_request_signed_before_a_restart_is_refused_after_it() -> None:
    headers = headers_of()
    with pytest.raises(RequestRefused, match="before this service started"):
        admit(headers, gate=RequestGate(BOB.address))


def test_no_request_is_admitted_twice_when_the_clock_is_set_back() -> None:
    now_ns = [time.time_ns()]
    gate = RequestGate(BOB.address, now_ns=lambda: now_ns[0])
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
def test_a_signature_for_another_request_is_refused(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(RequestRefused) as caught:
        admit(headers_of(**changes))
    assert caught.value.code == code


def test_a_sender_cannot_sign_for_another() -> None:
    with pytest.raises(RequestRefused) as caught:
        admit(headers_of(EVE) | {"X-Bittensor-Hotkey": ALICE.address})
    assert caught.value.code == "bad_signature"


def test_a_refused_request_does_not_use_up_the_nonce() -> None:
    gate, headers = RequestGate(BOB.address, now_ns=Clock()), headers_of()
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
def test_malformed_headers_are_refused(change: dict[str, str]) -> None:
    with pytest.raises(RequestRefused) as caught:
        admit(headers_of() | change)
    assert caught.value.status == 401


def test_bittensor_accepts_our_signatures_and_we_accept_its_own() -> None:
    from bittensor import http_auth

    caller = http_auth.verify(
        headers_of(), BODY, method="POST", path="/reveal", self_hotkey_ss58=BOB.address, nonce_store=None
    )
    assert caller.hotkey_ss58 == ALICE.address

    theirs = http_auth.sign(ALICE.keypair, method="POST", path="/reveal", body=BODY, receiver_ss58=BOB.address)
    assert admit(theirs) == ALICE.address


def test_a_rate_limit_refills_with_time_and_counts_each_address_alone() -> None:
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
