"""The coordinator's HTTP API: status, headers and bodies, and requests that it refuses."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from fastapi.testclient import TestClient

from soundsright.adapters.peers.auth import signed_headers
from soundsright.adapters.peers.dialects import talkhead_text
from soundsright.adapters.peers.keys import Hotkey
from tests.services.subnet_api.subnet_bench import ALICE, BOB, OWNER, STRANGER, VICTOR, Bench, bench, image


class Caller:
    """Sends signed requests to a coordinator's app."""

    def __init__(self, on: Bench) -> None:
        self._http = TestClient(on.app(), raise_server_exceptions=False)

    def post(self, account: Hotkey, body: bytes, *, receiver: str = OWNER.address, **changes: int) -> Any:
        headers = signed_headers(account, method="POST", path="/submit", body=body, receiver=receiver, **changes)
        return self._http.post("/submit", content=body, headers=headers)

    def submit(self, account: Hotkey, reference: object, hotkey: str | None = None) -> Any:
        return self.post(
            account, json.dumps({"hotkey": hotkey or account.address, "image_ref": reference}).encode()
        )

    def get(self, account: Hotkey, path: str, **extra: str) -> Any:
        headers = signed_headers(account, method="GET", path=path, body=b"", receiver=OWNER.address)
        return self._http.get(path, headers={**headers, **extra})

    def get_as_talkhead(self, account: Hotkey, path: str) -> Any:
        now_s = int(time.time()) + 1  # A gate refuses what was signed before it was made.
        signature = account.sign(talkhead_text(path=path, timestamp_s=now_s, sender=account.address)).hex()
        headers = {"X-Hotkey": account.address, "X-Timestamp": str(now_s), "X-Signature": signature}
        return self._http.get(path, headers=headers)


def test_a_submission_is_created_once_and_then_stands() -> None:
    call = Caller(bench())
    created, again = (call.submit(ALICE, str(image())) for _ in range(2))
    assert (created.status_code, again.status_code) == (201, 200)
    assert (
        created.json()
        == again.json()
        == {
            "submission_id": f"{ALICE.address}-1000000",
            "hotkey": ALICE.address,
            "image_ref": str(image()),
            "submit_time": 1_000_000,
            "next_allowed_at": 1_345_600,
        }
    )


def test_a_cool_down_says_when_to_come_again_and_what_stands() -> None:
    on = bench()
    call = Caller(on)
    standing = call.submit(ALICE, str(image())).json()
    on.clock.jump(345_599)
    on.coordinator.tick()
    refused = call.submit(ALICE, str(image("1")))
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert (refused.json()["code"], refused.json()["standing"]) == ("cooldown", standing)
    on.clock.jump(1)
    assert call.submit(ALICE, str(image("1"))).status_code == 201


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 422, "malformed"),
        (b"[]", 422, "malformed"),
        (b'{"hotkey": NaN, "image_ref": "a"}', 422, "malformed"),
        (json.dumps({"hotkey": ALICE.address}).encode(), 422, "malformed"),
        (json.dumps({"hotkey": ALICE.address, "image_ref": 5}).encode(), 422, "malformed"),
        (json.dumps({"hotkey": ALICE.address, "image_ref": str(image()), "time": 1}).encode(), 422, "malformed"),
        (json.dumps({"hotkey": ALICE.address, "image_ref": "lab/gate:1.0"}).encode(), 422, "bad_image_ref"),
        (json.dumps({"hotkey": ALICE.address, "image_ref": "\u0000" * 60}).encode(), 422, "bad_image_ref"),
        (json.dumps({"hotkey": BOB.address, "image_ref": str(image())}).encode(), 403, "wrong_hotkey"),
        (b" " * 5_000_000, 413, "too_large"),
    ],
)
def test_a_bad_submission_is_refused_and_changes_nothing(body: bytes, status: int, code: str) -> None:
    call = Caller(bench())
    refused = call.post(ALICE, body)
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert call.get(VICTOR, "/submissions").json() == []


def test_a_stranger_and_requests_for_others_or_of_another_time_are_refused() -> None:
    call = Caller(bench())
    assert call.submit(STRANGER, str(image())).json()["code"] == "not_registered"
    body = json.dumps({"hotkey": ALICE.address, "image_ref": str(image())}).encode()
    assert call.post(ALICE, body, receiver=BOB.address).json()["code"] == "wrong_receiver"
    assert call.post(ALICE, body, nonce_ns=time.time_ns() - 60 * 10**9).json()["code"] == "stale"
    assert call.get(VICTOR, "/submissions").json() == []


def test_an_unchanged_list_is_not_sent_again() -> None:
    call = Caller(bench())
    call.submit(ALICE, str(image()))
    first = call.get(VICTOR, "/submissions")
    assert first.json() == [
        {"hotkey": ALICE.address, "image_ref": str(image()), "submit_time": 1_000_000, "uid": 0}
    ]
    tag = first.headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        same = call.get(VICTOR, "/submissions", **{"If-None-Match": known})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    other = call.get(VICTOR, "/submissions?known=other", **{"If-None-Match": tag})
    assert other.status_code == 200  # Somebody on the way put the present tag into the header.
    known = call.get(VICTOR, "/submissions?known=" + tag.strip('"'), **{"If-None-Match": tag})
    assert known.status_code == 304
    call.submit(BOB, str(image("1")))
    changed = call.get(VICTOR, "/submissions", **{"If-None-Match": tag})
    assert (changed.status_code, len(changed.json())) == (200, 2)
    assert call.get(ALICE, "/submissions", **{"If-None-Match": tag}).status_code == 403


def test_validators_read_the_round_and_the_burn_ratio_in_both_dialects() -> None:
    call = Caller(bench(burn_ratio=0.25))
    for get in (call.get, call.get_as_talkhead):
        assert get(VICTOR, "/burn_ratio").json() == {"burn_ratio": 0.25}
        found = get(VICTOR, "/challenge").json()
        assert set(found) == {"round", "seed_block", "block_hash", "competition", "clips", "corpus_digest"}
        assert get(ALICE, "/challenge").json()["code"] == "no_permit"


def test_a_round_that_is_not_final_and_a_chain_that_is_away_have_their_status() -> None:
    on = bench()
    call = Caller(on)
    on.chain.finalized_block = 9
    on.coordinator.tick()
    early = call.get(VICTOR, "/challenge")
    assert (early.status_code, early.json()["code"]) == (409, "not_final")
    on.clock.jump(61)
    for path in ("/submissions", "/challenge", "/burn_ratio"):
        assert call.get(VICTOR, path).status_code == 503
    assert call.submit(ALICE, str(image())).status_code == 503
