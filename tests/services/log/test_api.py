"""The log over HTTP: what it takes, what it refuses, and proofs that anyone can check."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from fastapi.testclient import TestClient

from soundsright.adapters.peers import valid_signature
from soundsright.core.errors import ChainUnavailable, RequestRefused
from soundsright.core.merkle import is_consistent, is_included, leaf_hash
from soundsright.services.log import Admission, AuditMemory, LogLimits, OwnLog, audit, log_app, open_head
from soundsright.services.records import EXECUTOR_RESULTS, DocumentKind, sign_document
from tests.services.log.log_bench import (
    ADMISSION,
    REPLAY,
    STRANGER,
    VICTOR,
    WALTER,
    Source,
    document_of,
    filled,
    own_log,
    round_document,
)


def client_of(log: OwnLog, admission: Admission = ADMISSION) -> TestClient:
    return TestClient(log_app(log, throttle=lambda _client: None, admission=admission))


def leaf_of(entry: Any) -> bytes:
    """The leaf as the documentation says: the canonical JSON of the entry."""
    return leaf_hash(json.dumps(entry, sort_keys=True, separators=(",", ":")).encode())


def test_a_document_gets_one_index_however_often_it_is_sent() -> None:
    client = client_of(own_log())
    first, again = round_document("round-1"), round_document("round-1")
    assert first != again, "two signatures of one document differ"
    answers = [client.post("/entries", content=raw) for raw in (first, again, first)]
    assert [answer.status_code for answer in answers] == [201, 200, 200]
    assert {answer.json()["index"] for answer in answers} == {0}
    assert client.get("/entries?start=0&end=9").json()["size"] == 1


def test_an_entry_has_the_envelope_and_what_follows_from_it() -> None:
    client = client_of(own_log())
    raw = round_document("round-1")
    client.post("/entries", content=raw)
    (entry,) = client.get("/entries?start=0&end=1").json()["entries"]
    assert entry["envelope"] == json.loads(raw)
    assert (entry["kind"], entry["signer"], entry["round"]) == ("soundsright.round/1", VICTOR.address, "round-1")


def test_an_answer_to_an_append_proves_that_the_document_is_in_the_log() -> None:
    client = client_of(filled(4))
    answer = client.post("/entries", content=round_document("round-9")).json()
    head = open_head(json.dumps(answer["head"]).encode(), valid_signature=valid_signature)
    (entry,) = client.get(f"/entries?start={answer['index']}&end=99").json()["entries"]
    proof = [bytes.fromhex(each) for each in answer["proof"]]
    assert is_included(leaf_of(entry), answer["index"], head.size, proof, head.root)


def test_a_second_document_of_one_signer_for_a_round_is_kept_as_evidence() -> None:
    client = client_of(own_log())
    client.post("/entries", content=round_document("round-1"))
    client.post("/entries", content=round_document("round-1", signer=WALTER))
    assert client.get("/equivocations").json() == []
    answer = client.post("/entries", content=round_document("round-1", weights=[1]))
    assert (answer.status_code, answer.json()["others"]) == (201, [0])
    assert client.get("/equivocations").json() == [
        {"kind": "soundsright.round", "signer": VICTOR.address, "round": "round-1", "indexes": [0, 2]}
    ]


def test_several_replays_of_a_round_are_no_equivocation() -> None:
    client = client_of(own_log())
    for depth in ("decide", "score"):
        facts = {"schema": REPLAY.schema, "round": "round-1", "depth": depth}
        assert client.post("/entries", content=sign_document(REPLAY, facts, VICTOR)).status_code == 201
    assert client.get("/equivocations").json() == []


OTHER = DocumentKind("verdict", "soundsright.verdict/1")


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"", 422, "malformed"),
        (b"[]", 422, "malformed"),
        (b"\xff", 422, "malformed"),
        (b"[" * 100_000, 422, "malformed"),
        (b'{"schema": "soundsright.round/1"}', 403, "unknown_signer"),
        (b'{"schema": ["soundsright.round/1"]}', 422, "unknown_kind"),
        (sign_document(OTHER, {"task": 7}, VICTOR).encode(), 422, "unknown_kind"),
        (round_document(signer=STRANGER), 403, "unknown_signer"),
        (round_document().replace(b"round-1", b"round-2"), 403, "bad_signature"),
        (b" " * ((12 << 20) + 1), 413, "too_large"),
        (b'{"schema": "soundsright.round/1", "signer": []}', 403, "unknown_signer"),
        (b'{"schema": "soundsright.round/1", "signer": {"a": 1}}', 403, "unknown_signer"),
    ],
)
def test_a_document_that_the_log_does_not_take(raw: bytes, status: int, code: str) -> None:
    client = client_of(own_log())
    answer = client.post("/entries", content=raw)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert len(answer.json()["sentence"]) < 300
    assert json.loads(client.get("/head").json()["document"])["size"] == 0


def test_without_a_list_of_signers_the_chain_is_asked_after_the_signature() -> None:
    asked: list[str] = []

    def check(hotkey: str) -> None:
        asked.append(hotkey)
        if hotkey != VICTOR.address:
            raise RequestRefused("no_permit", "Only validators of this executor get a reply")

    client = client_of(own_log(), Admission(valid_signature, check_signer=check))
    assert client.post("/entries", content=round_document().replace(b"round-1", b"round-2")).status_code == 403
    assert asked == [], "strangers must not cause readings of the chain"
    assert client.post("/entries", content=round_document()).status_code == 201
    refused = client.post("/entries", content=round_document(signer=STRANGER)).json()
    assert refused["code"] == "unknown_signer"


def test_an_unread_chain_is_no_refusal() -> None:
    def away(_hotkey: str) -> None:
        raise ChainUnavailable("The chain did not answer", "Try again.")

    answer = client_of(own_log(), Admission(valid_signature, check_signer=away)).post(
        "/entries", content=round_document()
    )
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


def test_proofs_by_index_and_by_digest() -> None:
    client = client_of(filled(7))
    entries = client.get("/entries?start=0&end=7").json()["entries"]
    head = open_head(client.get("/head").content, valid_signature=valid_signature)
    for index, entry in enumerate(entries):
        answer = client.get(f"/proof/inclusion?sha256={entry['sha256']}").json()
        assert answer == client.get(f"/proof/inclusion?index={index}&size=7").json()
        proof = [bytes.fromhex(each) for each in answer["proof"]]
        assert bytes.fromhex(answer["leaf"]) == leaf_of(entry)
        assert is_included(leaf_of(entry), index, 7, proof, head.root)


def test_the_proof_of_growth() -> None:
    log = filled(3)
    client = client_of(log)
    before = open_head(client.get("/head").content, valid_signature=valid_signature)
    for number in range(7, 12):
        client.post("/entries", content=round_document(f"round-{number}"))
    head = open_head(client.get("/head").content, valid_signature=valid_signature)
    answer = client.get("/proof/consistency?first=3&second=8").json()
    proof = [bytes.fromhex(each) for each in answer["proof"]]
    assert is_consistent(3, before.root, 8, head.root, proof)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/entries", 422),
        ("/entries?start=-1&end=3", 422),
        ("/entries?start=2&end=2", 422),
        ("/entries?start=a&end=b", 422),
        ("/entries?start=9999999999999999999999&end=2", 422),
        ("/entries?start=3&end=4", 404),
        ("/proof/inclusion", 422),
        ("/proof/inclusion?index=0&sha256=" + "0" * 64, 422),
        ("/proof/inclusion?sha256=" + "0" * 64, 404),
        ("/proof/inclusion?sha256=x", 422),
        ("/proof/inclusion?index=3", 404),
        ("/proof/inclusion?index=1&size=1", 404),
        ("/proof/inclusion?index=1&size=4", 404),
        ("/proof/consistency?first=0&second=2", 404),
        ("/proof/consistency?first=2&second=1", 404),
        ("/proof/consistency?first=2&second=4", 404),
    ],
)
def test_a_question_without_an_answer(path: str, status: int) -> None:
    answer = client_of(filled(3)).get(path)
    assert answer.status_code == status
    assert set(answer.json()) == {"code", "sentence"}


def test_a_page_is_bounded_and_the_rest_can_be_asked_for() -> None:
    client = client_of(own_log())
    for number in range(4):
        raw = round_document(f"round-{number}", evidence=os.urandom(800_000).hex())
        assert client.post("/entries", content=raw).status_code == 201
    page = client.get("/entries?start=0&end=256")
    assert len(page.content) <= 4_100_000
    count = len(page.json()["entries"])
    assert 0 < count < 4
    assert client.get(f"/entries?start={count}&end=256").json()["entries"][0]["round"] == f"round-{count}"


def test_an_answer_that_did_not_change_is_not_sent_again() -> None:
    client = client_of(filled(3))
    for path in ("/head", "/entries?start=0&end=3", "/proof/inclusion?index=1", "/equivocations"):
        first = client.get(path)
        again = client.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_every_request_is_counted() -> None:
    def throttle(_client: str) -> None:
        raise RequestRefused("busy", "Too many requests; try again in a minute", status=429)

    client = TestClient(log_app(filled(1), throttle=throttle, admission=ADMISSION))
    assert client.get("/head").status_code == 429
    assert client.post("/entries", content=round_document()).status_code == 429


def test_a_head_is_signed_by_the_logs_hotkey_and_names_it() -> None:
    document = json.loads(client_of(filled(2)).get("/head").json()["document"])
    assert set(document) == {"schema", "log", "size", "root", "time"}
    assert document["size"] == 2


def test_documents_are_counted_by_address_before_and_by_signer_after_they_are_read() -> None:
    counted: list[str] = []
    app = log_app(own_log(), throttle=lambda _client: None, throttle_writes=counted.append, admission=ADMISSION)
    client = TestClient(app)
    client.post("/entries", content=b"nothing")
    assert len(counted) == 1
    client.post("/entries", content=round_document())
    assert counted[1:] == [counted[0], VICTOR.address]


def test_the_evidence_of_one_round_is_bounded() -> None:
    client = client_of(own_log())
    answers = [client.post("/entries", content=round_document("round-1", n=n)).json() for n in range(103)]
    assert (answers[-1]["index"], answers[-1]["others"]) == (102, list(range(100)))
    (row,) = client.get("/equivocations").json()
    assert row["indexes"] == list(range(100))


def test_an_admission_that_would_let_everybody_in_is_refused() -> None:
    with pytest.raises(ValueError, match="needs signers"):
        Admission(valid_signature)


@pytest.mark.parametrize("schema", ["soundsright.round/1", "soundsright.replay/1", EXECUTOR_RESULTS.schema])
def test_the_largest_document_of_every_kind_is_taken_and_proved(schema: str) -> None:
    log = own_log()
    client = client_of(log)
    facts = {"schema": schema, "round": "round-1", "text": "x" * ((12 << 20) - 600)}
    raw = sign_document(DocumentKind("document", schema), facts, VICTOR).encode()
    assert (12 << 20) - 600 < len(raw) <= 12 << 20
    assert client.post("/entries", content=raw).status_code == 201
    report = audit(Source(log), AuditMemory(), valid_signature=valid_signature)
    assert report.head.size == 1


def test_one_signer_cannot_fill_a_log() -> None:
    size = len(ADMISSION.entry(round_document("round-1")).text)
    for limits in (LogLimits(signer_entries=2), LogLimits(signer_bytes=2 * size)):
        client = client_of(own_log(limits=limits))
        answers = [client.post("/entries", content=document_of(number)) for number in range(3)]
        assert [answer.status_code for answer in answers] == [201, 201, 409]
        assert answers[2].json()["code"] == "signer_full"
        assert client.post("/entries", content=document_of(0)).status_code == 200, "it is in the log already"
        assert client.post("/entries", content=round_document(signer=WALTER)).status_code == 201


def test_a_log_is_full_at_its_number_of_entries_or_bytes() -> None:
    size = len(ADMISSION.entry(round_document("round-1")).text)
    for limits in (LogLimits(entries=2), LogLimits(bytes=2 * size)):
        client = client_of(own_log(limits=limits))
        answers = [client.post("/entries", content=document_of(number)) for number in range(3)]
        assert [answer.status_code for answer in answers] == [201, 201, 409]
        assert answers[2].json()["code"] == "full"
