"""Two signed verdicts on one task are a proof that anybody can check, and nothing else is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from soundsright.adapters.peers import Hotkey, valid_signature
from soundsright.core.canonical import canonical_json
from soundsright.core.errors import RequestRefused
from soundsright.services.federation import (
    EVIDENCE_SCHEMA,
    MAX_EVIDENCE_BYTES,
    evidence_of,
    open_evidence,
    open_verdict,
    sign_verdict,
)
from tests.services.federation.published import TASK, account_of, sha, task_facts, verdict

SIGNER = account_of(TASK)
ONE, OTHER = (sign_verdict(verdict(miners=miners), SIGNER) for miners in (3, 4))


def refused_code(raw: bytes) -> str:
    with pytest.raises(RequestRefused) as refused:
        open_evidence(raw, valid_signature=valid_signature)
    return refused.value.code


def test_two_signed_verdicts_of_one_task_are_a_proof_in_either_order() -> None:
    proof = evidence_of(ONE, OTHER, valid_signature=valid_signature)
    assert proof == evidence_of(OTHER, ONE, valid_signature=valid_signature)
    assert (proof.task, proof.validator) == (TASK, SIGNER.address)
    digests = {open_verdict(raw, valid_signature=valid_signature).digest for raw in (ONE, OTHER)}
    assert set(proof.digests) == digests
    assert open_evidence(proof.raw, valid_signature=valid_signature) == proof


def test_a_proof_is_one_of_its_federation_alone() -> None:
    proof = evidence_of(ONE, OTHER, valid_signature=valid_signature)
    known = task_facts()
    assert proof.is_of(known)
    assert proof.is_of(task_facts(block_hash=known.block_hash.removeprefix("0x")))
    elsewhere: dict[str, Any] = {
        "allowlist": sha("list"),
        "rules": sha("rules of others"),
        "block_hash": "0x" + sha("chain"),
    }
    for name, value in elsewhere.items():
        assert not proof.is_of(task_facts(**{name: value}))
    assert not proof.is_of(task_facts(TASK + 1, block_hash=known.block_hash))
    assert not proof.is_of(task_facts(validators=()))


@pytest.mark.parametrize(
    "other",
    [
        ONE,
        sign_verdict(verdict(miners=3), SIGNER),
        sign_verdict(verdict(TASK + 3), SIGNER),
        sign_verdict(verdict(TASK, 1), account_of(TASK, 1)),
        sign_verdict(verdict(allowlist=sha("list")), SIGNER),
        sign_verdict(verdict(rules=sha("rules of others")), SIGNER),
        sign_verdict(verdict(block_hash="0x" + sha("another network")), SIGNER),
    ],
    ids=[
        "the same",
        "the same, signed again",
        "another task",
        "another validator",
        "another list",
        "other rules",
        "another network",
    ],
)
def test_what_is_no_second_verdict_proves_nothing(other: bytes) -> None:
    with pytest.raises(RequestRefused) as refused:
        evidence_of(ONE, other, valid_signature=valid_signature)
    assert refused.value.code == "no_equivocation"


def test_a_forged_verdict_proves_nothing() -> None:
    forged = sign_verdict(verdict(miners=4), Hotkey.of_seed("mallory"))
    with pytest.raises(RequestRefused) as refused:
        evidence_of(ONE, forged, valid_signature=valid_signature)
    assert refused.value.code == "wrong_signer"


def test_a_changed_proof_is_refused() -> None:
    proof = evidence_of(ONE, OTHER, valid_signature=valid_signature)
    facts = json.loads(proof.raw)
    first, second = facts["verdicts"]

    def changed(**changes: object) -> str:
        return refused_code(canonical_json({**facts, **changes}).encode())

    assert facts["schema"] == EVIDENCE_SCHEMA
    assert changed(verdicts=[second, first]) == "no_equivocation"
    assert changed(verdicts=[first, first]) == "no_equivocation"
    assert changed(verdicts=[first, {**second, "signature": first["signature"]}]) == "bad_signature"
    assert changed(verdicts=[first]) == "malformed"
    assert changed(verdicts=[first, second, second]) == "malformed"
    assert changed(verdicts=[first, {**second, "extra": 1}]) == "malformed"
    assert changed(verdicts="ab") == "malformed"
    assert changed(verdicts=[first, None]) == "malformed"
    assert changed(schema="soundsright.equivocation/2") == "malformed"
    assert changed(extra=1) == "malformed"
    assert refused_code(proof.raw + b"\n") == "malformed"
    assert refused_code(b" " * (MAX_EVIDENCE_BYTES + 1)) == "too_large"
    for raw in (b"", b"[]", b"null", b"\xff", b"[" * 100_000):
        assert refused_code(raw) == "malformed"
