"""`POST /update`: a list of submissions is taken as a whole, or not at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from soundsright.adapters.peers.keys import Hotkey, valid_signature
from soundsright.core.errors import EntryRefused, StateUnavailable
from soundsright.core.images import MAX_SUBMISSIONS
from soundsright.core.signed_http import answer_text
from soundsright.core.sources import ImageRef
from soundsright.services.executor_api import MAX_UPDATE_BYTES
from tests.services.executor_api.executors import (
    EVE,
    MINER,
    OWNER,
    VICTOR,
    MemoryExecutor,
    app_of,
    signed,
    submission,
    talkhead,
)

STANDING = (submission(EVE, 9),)


@pytest.fixture
def executor() -> MemoryExecutor:
    return MemoryExecutor(standing=STANDING)


def sent(executor: MemoryExecutor, body: bytes, **how: Any) -> Any:
    """The answer to an update that Victor signed, unless `how` says something else."""
    return TestClient(app_of(executor)).post(
        "/update", content=body, headers=signed("POST", "/update", body, **how)
    )


def body_of(*values: object) -> bytes:
    return json.dumps(values).encode()


def test_an_update_counts_new_and_changed_submissions(executor: MemoryExecutor) -> None:
    taken = submission(EVE, 10), submission(MINER)
    reply = sent(executor, body_of(*(each.facts() for each in taken)))
    assert (reply.status_code, reply.json()) == (200, {"count": 2, "new": 1, "changed": 1})
    assert executor.standing == taken
    assert reply.headers["x-answer-signature"].startswith("0x")


def test_an_empty_list_is_a_list(executor: MemoryExecutor) -> None:
    assert sent(executor, b"[]").json() == {"count": 0, "new": 0, "changed": 0}
    assert executor.standing == ()


def test_a_list_may_have_the_uids_of_the_hotkeys(executor: MemoryExecutor) -> None:
    assert sent(executor, body_of({**submission().facts(), "uid": 7})).status_code == 200
    assert [each.uid for each in executor.standing] == [7]


GOOD = submission().facts()
OTHER = submission(VICTOR).facts()
FAULTS = {
    "a tag": (body_of(OTHER, {**GOOD, "image_ref": "reg.example/lab/gate:latest"}), "bad_image_ref"),
    "63 digits": (body_of({**GOOD, "image_ref": GOOD["image_ref"][:-1]}), "bad_image_ref"),
    "no image": (body_of({**GOOD, "image_ref": None}), "bad_image_ref"),
    "the same hotkey twice": (body_of(OTHER, GOOD, {**GOOD, "submit_time": 5}), "duplicate_hotkey"),
    "an unknown key": (body_of(OTHER, {**GOOD, "score": 1.0}), "bad_submission"),
    "a missing key": (body_of({"hotkey": GOOD["hotkey"]}), "bad_submission"),
    "no object": (body_of(OTHER, 7), "bad_submission"),
    "no address": (body_of({**GOOD, "hotkey": "../../etc"}), "bad_submission"),
    "a time with a fraction": (body_of({**GOOD, "submit_time": 1.5}), "bad_submission"),
    "a time before 1970": (body_of({**GOOD, "submit_time": -1}), "bad_submission"),
    "a time that is true": (body_of({**GOOD, "submit_time": True}), "bad_submission"),
    "NaN": (body_of({**GOOD, "submit_time": float("nan")}), "malformed"),
    "an infinite number": (body_of(GOOD).replace(b"1000", b"1e999"), "malformed"),
    "a key twice": (body_of(GOOD).replace(b'"submit_time"', b'"hotkey": "x", "submit_time"'), "malformed"),
    "no list": (body_of(GOOD)[1:-1], "malformed"),
    "too deep": (b"[" * 5 + b"]" * 5, "malformed"),
    "far too deep": (b"[" * 200_000, "malformed"),
    "no JSON": (b"hotkey=5F", "malformed"),
    "no text": (b"\xff\xfe", "malformed"),
    "no body": (b"", "malformed"),
    "too many": (b"[" + b",".join([b"0"] * (MAX_SUBMISSIONS + 1)) + b"]", "too_many"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_anywhere_refuses_the_whole_list(executor: MemoryExecutor, fault: str) -> None:
    body, code = FAULTS[fault]
    reply = sent(executor, body)
    assert (reply.status_code, reply.json()["code"]) == (422, code)
    assert reply.json().keys() == {"code", "sentence"}
    assert executor.standing == STANDING


def test_a_refusal_names_the_place_in_the_list(executor: MemoryExecutor) -> None:
    reply = sent(executor, FAULTS["a tag"][0])
    assert reply.json()["sentence"].startswith("Submission 1: ")


def test_the_longest_list_of_the_longest_names_is_taken(executor: MemoryExecutor) -> None:
    longest = ImageRef.of_text("reg.example/" + "a" * 200 + "@sha256:" + "f" * 64)
    keys = [Hotkey.of_seed("each").address[:-4] + f"{n:04d}".replace("0", "z") for n in range(MAX_SUBMISSIONS)]
    values = [{"hotkey": key, "image_ref": str(longest), "submit_time": 2**40, "uid": 65_535} for key in keys]
    reply = sent(executor, json.dumps(values).encode())
    assert (reply.status_code, reply.json()) == (
        200,
        {"count": MAX_SUBMISSIONS, "new": MAX_SUBMISSIONS, "changed": 0},
    )


@pytest.mark.parametrize("says_its_length", [True, False])
def test_a_body_of_5_megabytes_is_too_large(executor: MemoryExecutor, says_its_length: bool) -> None:
    body = b" " * 5_000_000
    content = body if says_its_length else iter([body[:MAX_UPDATE_BYTES], body[MAX_UPDATE_BYTES:]])
    headers = signed("POST", "/update", body)
    reply = TestClient(app_of(executor)).post("/update", content=content, headers=headers)
    assert (reply.status_code, reply.json()["code"]) == (413, "too_large")
    assert executor.standing == STANDING


@pytest.mark.parametrize(
    ("how", "status", "code"),
    [
        ({"receiver": EVE}, 401, "wrong_receiver"),
        ({"late_s": 60}, 401, "stale"),
        ({"late_s": -60}, 401, "stale"),
        ({"key": MINER}, 403, "no_permit"),
    ],
)
def test_only_a_fresh_request_of_a_validator_to_this_executor_counts(
    executor: MemoryExecutor, how: dict[str, Any], status: int, code: str
) -> None:
    reply = sent(executor, body_of(GOOD), **how)
    assert (reply.status_code, reply.json()["code"]) == (status, code)
    assert executor.standing == STANDING


def test_a_request_counts_once(executor: MemoryExecutor) -> None:
    body = body_of(GOOD)
    client, headers = TestClient(app_of(executor)), signed("POST", "/update", body)
    assert client.post("/update", content=body, headers=headers).status_code == 200
    executor.standing = STANDING
    again = client.post("/update", content=body, headers=headers)
    assert (again.status_code, again.json()["code"]) == (401, "replayed")
    assert executor.standing == STANDING


def test_a_changed_body_is_not_what_was_signed(executor: MemoryExecutor) -> None:
    client = TestClient(app_of(executor))
    reply = client.post("/update", content=body_of(OTHER), headers=signed("POST", "/update", body_of(GOOD)))
    assert (reply.status_code, reply.json()["code"]) == (401, "bad_signature")


def test_an_older_dialect_may_not_write(executor: MemoryExecutor) -> None:
    reply = TestClient(app_of(executor)).post("/update", content=body_of(GOOD), headers=talkhead("/update"))
    assert reply.status_code == 401
    assert executor.standing == STANDING


def test_the_refusal_of_the_executor_is_the_answer(executor: MemoryExecutor) -> None:
    executor.refusal = EntryRefused("bad_submission", "The submit_time is in the future")
    reply = sent(executor, body_of(GOOD))
    assert (reply.status_code, reply.json()) == (
        422,
        {"code": "bad_submission", "sentence": "The submit_time is in the future"},
    )


def test_a_fault_of_the_executors_database_is_told_without_details(executor: MemoryExecutor) -> None:
    executor.refusal = StateUnavailable("secret.db is locked")
    reply = sent(executor, body_of(GOOD))
    assert (reply.status_code, reply.json()["code"]) == (503, "unavailable")
    assert "secret" not in reply.text


def test_the_answer_is_signed_by_the_executors_hotkey(executor: MemoryExecutor) -> None:
    client, body = TestClient(app_of(executor)), body_of(GOOD)
    headers = signed("POST", "/update", body)
    reply = client.post("/update", content=body, headers=headers)
    text = answer_text(int(headers["X-Bittensor-Nonce"]), VICTOR.address, 200, reply.content)
    signature = bytes.fromhex(reply.headers["x-answer-signature"].removeprefix("0x"))
    assert valid_signature(OWNER.address, text, signature)
