"""The proof that a validator signed two different verdicts on one task. Anybody can check it. Sizes are in bytes.

A task is one of a federation: its number, its list of validators, its rules, and the hash of its first block. A
hotkey that validates in two federations signs two verdicts of one number, and has done nothing wrong.

A validator publishes the proofs that it has under `evidence/` in its bucket. The task then counts for nobody.

    {"schema": "soundsright.equivocation/1", "verdicts": [ENVELOPE, ENVELOPE]}

The envelopes are in the order of their documents' digests. The text is canonical JSON, and its SHA-256 names it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from soundsright.core.canonical import canonical_json
from soundsright.core.errors import RequestRefused
from soundsright.core.federation import Verdict
from soundsright.core.strict_json import NotStrictJson, strict_json
from soundsright.services.federation.verdict import (
    MAX_VERDICT_BYTES,
    VERDICT,
    SignedVerdict,
    TaskFacts,
    hash_digits,
    open_verdict,
)
from soundsright.services.records import ValidSignature

EVIDENCE_SCHEMA = "soundsright.equivocation/1"
MAX_EVIDENCE_BYTES = 2 * MAX_VERDICT_BYTES + 1_000


@dataclass(frozen=True)
class Evidence:
    """A proof that was checked: whom it is against, the digests of the two verdicts, and its text as published.

    `allowlist`, `rules` and `block_hash` are those that both verdicts name.
    """

    task: int
    validator: str
    digests: tuple[str, str]
    raw: bytes
    allowlist: str
    rules: str
    block_hash: str

    @property
    def digest(self) -> str:
        """The SHA-256 of the text, which names the proof in views and mirrors."""
        return hashlib.sha256(self.raw).hexdigest()

    def is_of(self, known: TaskFacts) -> bool:
        """Whether both verdicts are on this task of this federation, by a validator of its list."""
        return (
            self.task == known.task
            and self.validator in known.validators
            and (self.allowlist, self.rules) == (known.allowlist, known.rules)
            and self.block_hash == hash_digits(known.block_hash)
        )


def are_of_one_task(one: Verdict, other: Verdict) -> bool:
    """Whether one validator made both verdicts on the same task of the same federation."""
    return _task_of(one) == _task_of(other)


def _task_of(verdict: Verdict) -> tuple[int, str, str, str, str]:
    return (verdict.task, verdict.validator, verdict.allowlist, verdict.rules, hash_digits(verdict.block_hash))


def evidence_of(first: bytes, second: bytes, *, valid_signature: ValidSignature) -> Evidence:
    """The proof that two signed verdicts make together.

    Raises:
        RequestRefused: they are not two different verdicts of one validator on one task.
    """
    signed = sorted((_opened(raw, valid_signature) for raw in (first, second)), key=lambda each: each.digest)
    facts = {"schema": EVIDENCE_SCHEMA, "verdicts": [_envelope(each) for each in signed]}
    return open_evidence(canonical_json(facts).encode(), valid_signature=valid_signature)


def open_evidence(raw: bytes, *, valid_signature: ValidSignature) -> Evidence:
    """Check a proof.

    Raises:
        RequestRefused: `too_large`, `malformed`, `bad_signature`, `wrong_signer` or `no_equivocation`.
    """
    if len(raw) > MAX_EVIDENCE_BYTES:
        raise RequestRefused("too_large", f"A proof has at most {MAX_EVIDENCE_BYTES} bytes", status=413)
    first, second = (_opened(json.dumps(each).encode(), valid_signature) for each in _envelopes(raw))
    one, other = first.verdict, second.verdict
    if not are_of_one_task(one, other) or first.digest >= second.digest:
        raise RequestRefused("no_equivocation", "These are not two different verdicts of one validator on one task")
    return Evidence(
        one.task,
        one.validator,
        (first.digest, second.digest),
        raw,
        one.allowlist,
        one.rules,
        hash_digits(one.block_hash),
    )


def _envelopes(raw: bytes) -> list[Any]:
    try:
        facts = strict_json(raw)
        envelopes = facts["verdicts"]
        if facts.keys() != {"schema", "verdicts"} or facts["schema"] != EVIDENCE_SCHEMA or len(envelopes) != 2:
            raise ValueError("another form")
        if any(each.keys() != {"schema", "signer", "signature", "document"} for each in envelopes):
            raise ValueError("another form")
        if canonical_json(facts).encode() != raw:
            raise ValueError("not canonical")
    except (NotStrictJson, AttributeError, KeyError, TypeError, ValueError):
        raise RequestRefused("malformed", "This is not a proof of two verdicts on one task", status=422) from None
    return list(envelopes)


def _opened(raw: bytes, valid_signature: ValidSignature) -> SignedVerdict:
    return open_verdict(raw, valid_signature=valid_signature)


def _envelope(signed: SignedVerdict) -> Mapping[str, str]:
    envelope = signed.envelope
    return {
        "schema": VERDICT.schema,
        "signer": envelope.signer,
        "signature": envelope.signature,
        "document": envelope.document,
    }
