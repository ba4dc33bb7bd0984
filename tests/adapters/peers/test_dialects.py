"""The dialects that only read: off by default, each request once, and never a write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from starlette.datastructures import Headers

from soundsright.adapters.peers.auth import RequestGate, signed_headers
from soundsright.adapters.peers.dialects import READ_DIALECTS, leoma_text, talkhead_text
from soundsright.adapters.peers.keys import Hotkey
from soundsright.core.errors import RequestRefused
from soundsright.core.signed_http import DIALECTS

ALICE, BOB, EVE = (Hotkey.of_seed(name) for name in ("alice", "bob", "eve"))
NOW_S = 1_700_000_000
BODY = b'{"image_ref":"x"}'
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_s: float = NOW_S

    def __call__(self) -> int:
        return int(self.now_s * 1e9)


def gate_at(clock: Clock, *dialects: str, receiver: str = BOB.address, **options: Any) -> RequestGate:
    """A gate that has run for an hour."""
    clock.now_s -= 3_600
    gate = RequestGate(receiver, dialects=("btauth", *dialects), now_ns=clock, **options)
    clock.now_s += 3_600
    return gate


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(clock: Clock) -> RequestGate:
    return gate_at(clock, "leoma", "talkhead")


def leoma(body: bytes = b"", *, at_s: int = NOW_S, key: Hotkey = ALICE) -> dict[str, str]:
    signature = key.sign(leoma_text(body=body, timestamp_s=at_s)).hex()
    return {"X-Validator-Hotkey": key.address, "X-Timestamp": str(at_s), "X-Signature": signature}


def talkhead(path: str = "/submissions", *, at_s: int = NOW_S, key: Hotkey = ALICE) -> dict[str, str]:
    signature = key.sign(talkhead_text(path=path, timestamp_s=at_s, sender=key.address)).hex()
    return {"X-Hotkey": key.address, "X-Timestamp": str(at_s), "X-Signature": signature}


def refusal(
    gate: RequestGate,
    headers: Mapping[str, str],
    *,
    method: str = "GET",
    path: str = "/submissions",
    body: bytes = b"",
    writes: bool = False,
) -> str:
    """The code with which the gate refuses a request; empty if it admits it."""
    try:
        sender = (gate.admit if writes else gate.admit_read)(method, path, headers, body)
    except RequestRefused as refused:
        return refused.code if refused.status in (401, 429) else f"{refused.code} with {refused.status}"
    assert sender == ALICE.address
    return ""


def test_the_text_that_leoma_signs_is_the_hash_of_the_body_and_the_time() -> None:
    expected = b"dfdaa84238899d9b2115b729e5714274fc0828f138cc5cf8e3c28c18c12b28b4:1700000000"
    assert leoma_text(body=BODY, timestamp_s=1_700_000_000) == expected


def test_the_text_that_talkhead_signs_is_the_path_the_time_and_the_sender() -> None:
    assert talkhead_text(path="/a?b=1", timestamp_s=5, sender="5F") == b"<Bytes>/a?b=1:5:5F</Bytes>"


def test_a_setting_knows_every_dialect() -> None:
    assert ("btauth", *(dialect.name for dialect in READ_DIALECTS)) == DIALECTS


def test_a_read_is_admitted_in_each_dialect(gate: RequestGate) -> None:
    assert refusal(gate, leoma()) == ""
    assert refusal(gate, leoma(BODY), method="POST", body=BODY) == ""
    assert refusal(gate, talkhead()) == ""
    assert refusal(gate, {name.lower(): value for name, value in talkhead("/b").items()}, path="/b") == ""
    signed = signed_headers(ALICE, method="GET", path="/c", body=b"", receiver=BOB.address, nonce_ns=NOW_S * 10**9)
    assert refusal(gate, signed, path="/c") == ""


def test_no_dialect_is_on_by_default(clock: Clock) -> None:
    gate = gate_at(clock)
    for headers in (leoma(), talkhead()):
        assert refusal(gate, headers) == "unsigned"
        assert refusal(gate, headers, writes=True) == "unsigned"


def test_each_dialect_is_switched_on_alone(clock: Clock) -> None:
    assert refusal(gate_at(clock, "leoma"), talkhead()) == "unsigned"
    assert refusal(gate_at(clock, "talkhead"), leoma()) == "unsigned"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_only_btauth_may_write(gate: RequestGate, method: str) -> None:
    for headers in (leoma(BODY), talkhead()):
        assert refusal(gate, headers, method=method, body=BODY, writes=True) == "dialect_reads_only"


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "get "])
def test_a_route_that_reads_takes_no_other_method(gate: RequestGate, method: str) -> None:
    for headers in (leoma(), talkhead()):
        assert refusal(gate, headers, method=method) == "dialect_reads_only"
    assert refusal(gate, talkhead(), method="POST") == "dialect_reads_only"


def test_talkhead_is_refused_wherever_there_is_a_body(gate: RequestGate) -> None:
    assert refusal(gate, talkhead(), body=b"{}") == "body_unsigned"
    assert refusal(gate, talkhead(), method="HEAD", body=b" ") == "body_unsigned"


def test_a_request_is_answered_once(gate: RequestGate, clock: Clock) -> None:
    for headers in (leoma(), talkhead()):
        assert refusal(gate, headers) == ""
        assert refusal(gate, headers) == "replayed"
    clock.now_s += 100
    assert refusal(gate, leoma()) == refusal(gate, talkhead()) == "replayed"


def test_a_signature_serves_one_request_even_where_it_does_not_cover_all_of_it(gate: RequestGate) -> None:
    """leoma signs neither the path nor the method."""
    headers = leoma()
    assert refusal(gate, headers, path="/a") == ""
    assert refusal(gate, headers, path="/b") == "replayed"
    assert refusal(gate, headers, path="/a", method="HEAD") == "replayed"
    second = {**headers, "X-Signature": ALICE.sign(leoma_text(body=b"", timestamp_s=NOW_S)).hex()}
    assert second != headers
    assert refusal(gate, second, path="/c") == "replayed"


def test_another_writing_of_the_sender_or_signature_is_no_new_request(gate: RequestGate) -> None:
    headers = leoma()
    assert refusal(gate, headers) == ""
    for change in (
        {"X-Signature": "0x" + headers["X-Signature"]},
        {"X-Signature": headers["X-Signature"].upper()},
    ):
        assert refusal(gate, headers | change) == "replayed"
    for change in (
        {"X-Validator-Hotkey": _address_of_network(ALICE, 0)},
        {"X-Validator-Hotkey": _public_key(ALICE).hex()},
        {"X-Validator-Hotkey": ALICE.address + " "},
        {"X-Timestamp": f"0{NOW_S}"},
        {"X-Timestamp": f"+{NOW_S}"},
        {"X-Timestamp": f"{NOW_S}.0"},
        {"X-Timestamp": "1_700_000_000"},
        {"X-Signature": " ".join((headers["X-Signature"][:64], headers["X-Signature"][64:]))},
    ):
        assert refusal(gate, headers | change) == "unsigned"


def test_a_request_that_was_sent_to_another_service_can_be_sent_on_once_but_writes_nothing(
    gate: RequestGate, clock: Clock
) -> None:
    """Neither dialect signs the receiver. That is why they may only read."""
    for headers in (leoma(), talkhead()):
        elsewhere = gate_at(clock, "leoma", "talkhead", receiver=EVE.address)
        assert refusal(elsewhere, headers) == ""
        assert refusal(gate, headers, writes=True, method="POST") == "dialect_reads_only"
        assert refusal(gate, headers) == ""
        assert refusal(gate, headers) == "replayed"


@pytest.mark.parametrize(
    "path", ["/submissions/", "/Submissions", "/submissions?x=1", "/%73ubmissions", "//submissions"]
)
def test_talkhead_is_for_one_path_with_its_query(gate: RequestGate, path: str) -> None:
    assert refusal(gate, talkhead(), path=path) == "bad_signature"


def test_leoma_is_for_one_body(gate: RequestGate) -> None:
    assert refusal(gate, leoma(BODY), method="POST", body=BODY + b" ") == "bad_signature"
    assert refusal(gate, leoma(), method="POST", body=BODY) == "bad_signature"


@pytest.mark.parametrize(("sign", "age_s"), [(leoma, 300), (talkhead, 120)])
def test_a_request_has_the_age_of_its_dialect(clock: Clock, sign: Any, age_s: int) -> None:
    for offset_s, code in ((-age_s - 1, "stale"), (-age_s, ""), (2, ""), (3, "stale"), (10**10, "stale")):
        gate = gate_at(clock, "leoma", "talkhead")
        assert refusal(gate, sign(at_s=NOW_S + offset_s)) == code


def test_the_setting_lowers_every_age_and_raises_none(clock: Clock) -> None:
    short = gate_at(clock, "leoma", "talkhead", max_age_s=5)
    long = gate_at(clock, "leoma", "talkhead", max_age_s=86_400)
    for sign, age_s in ((leoma, 300), (talkhead, 120)):
        assert refusal(short, sign(at_s=NOW_S - 6)) == "stale"
        assert refusal(short, sign(at_s=NOW_S - 4)) == ""
        assert refusal(long, sign(at_s=NOW_S - age_s - 1)) == "stale"
    for max_age_s, at_s in ((5, NOW_S - 6), (86_400, NOW_S - 11)):
        headers = signed_headers(
            ALICE, method="GET", path="/x", body=b"", receiver=BOB.address, nonce_ns=at_s * 10**9
        )
        assert refusal(gate_at(clock, max_age_s=max_age_s), headers, path="/x") == "stale"


def test_a_request_signed_before_a_restart_is_not_answered_after_it(clock: Clock) -> None:
    gate = RequestGate(BOB.address, dialects=DIALECTS, now_ns=clock)
    clock.now_s += 5
    assert refusal(gate, leoma(at_s=NOW_S - 1)) == refusal(gate, talkhead(at_s=NOW_S - 1)) == "stale"
    assert refusal(gate, leoma(at_s=NOW_S + 1)) == ""


def test_a_clock_that_is_set_back_admits_nothing_twice(gate: RequestGate, clock: Clock) -> None:
    assert refusal(gate, talkhead()) == ""
    clock.now_s += 200
    assert refusal(gate, talkhead(at_s=NOW_S + 200)) == ""
    clock.now_s -= 150
    assert refusal(gate, talkhead()) == "stale"


def test_a_flood_in_one_dialect_does_not_close_the_others(
    gate: RequestGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soundsright.adapters.peers.freshness._MAX_REQUESTS", 2)
    codes = [refusal(gate, talkhead(at_s=NOW_S - n)) for n in range(3)]
    assert codes == ["", "", "busy"]
    assert refusal(gate, leoma()) == ""
    assert refusal(gate, talkhead(key=EVE) | {"X-Hotkey": ALICE.address}) == "bad_signature"


def test_a_refused_request_does_not_use_up_its_signature(gate: RequestGate) -> None:
    assert refusal(gate, talkhead(), path="/other") == "bad_signature"
    assert refusal(gate, talkhead(key=EVE) | {"X-Hotkey": ALICE.address}) == "bad_signature"
    assert refusal(gate, talkhead()) == ""


def test_no_signature_counts_in_another_dialect(gate: RequestGate) -> None:
    for headers in (leoma(), talkhead()):
        for name in ("X-Hotkey", "X-Validator-Hotkey"):
            if name not in headers:
                swapped = {name: ALICE.address, **{k: v for k, v in headers.items() if "Hotkey" not in k}}
                assert refusal(gate, swapped) == "bad_signature"
    body = talkhead_text(path="/submissions", timestamp_s=NOW_S, sender=ALICE.address)
    wrapped = talkhead() | {
        "X-Signature": ALICE.sign(body.removeprefix(b"<Bytes>").removesuffix(b"</Bytes>")).hex()
    }
    assert refusal(gate, wrapped) == "bad_signature"


def test_a_request_in_two_dialects_is_refused(gate: RequestGate) -> None:
    signed = signed_headers(ALICE, method="GET", path="/submissions", body=b"", receiver=BOB.address)
    assert refusal(gate, leoma() | {"X-Hotkey": EVE.address}) == "unsigned"
    assert refusal(gate, signed | leoma()) == refusal(gate, signed | talkhead()) == "unsigned"
    assert refusal(gate, {**signed, "X-Hotkey": EVE.address}, writes=True) == "unsigned"


@pytest.mark.parametrize("name", ["X-Hotkey", "X-Timestamp", "X-Signature", "X-Bittensor-Nonce"])
def test_a_header_that_is_there_twice_is_refused(gate: RequestGate, name: str) -> None:
    """A proxy could check the first one, and the service the second."""
    pairs = [(key.lower().encode(), value.encode()) for key, value in talkhead().items()]
    twice = Headers(raw=[*pairs, (name.lower().encode(), b"1"), (name.lower().encode(), b"1")])
    assert refusal(gate, twice) == refusal(gate, twice, writes=True) == "unsigned"


@pytest.mark.parametrize(
    "change",
    [
        {"X-Hotkey": ""},
        {"X-Hotkey": "5" * 48},
        {"X-Hotkey": "\xe9" * 48},
        {"X-Hotkey": "5" * 100_000},
        {"X-Timestamp": ""},
        {"X-Timestamp": "-5"},
        {"X-Timestamp": "1e9"},
        {"X-Timestamp": "\u0661\u0667" * 5},
        {"X-Timestamp": "9" * 5_000},
        {"X-Signature": ""},
        {"X-Signature": "00"},
        {"X-Signature": "\uff11" * 128},
        {"X-Signature": "0" * 130},
        {"X-Signature": "0x" * 64},
    ],
)
def test_headers_in_odd_forms_are_refused(gate: RequestGate, change: dict[str, str]) -> None:
    assert refusal(gate, talkhead() | change) == "unsigned"


def _public_key(account: Hotkey) -> bytes:
    number = 0
    for letter in account.address:
        number = 58 * number + _BASE58.index(letter)
    return number.to_bytes(35, "big")[1:33]


def _address_of_network(account: Hotkey, network: int) -> str:
    """The account's key as an address of another network. It stands for the same key."""
    import hashlib

    raw = bytes([network]) + _public_key(account)
    number = int.from_bytes(raw + hashlib.blake2b(b"SS58PRE" + raw).digest()[:2], "big")
    text = ""
    while number:
        number, digit = divmod(number, 58)
        text = _BASE58[digit] + text
    return "1" * (network == 0) + text
