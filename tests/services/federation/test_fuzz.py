"""Changed verdicts, views and proofs are refused, whatever was changed: `make fuzz` tries 10 000 of each.

A change of the envelope that leaves document, signer and signature as they were, such as a space, is no change. A
signer can sign anything, so a document that was changed and signed again may be read. Then it is exactly what it
says: writing it again gives the same bytes.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from soundsright.adapters.peers import Hotkey, valid_signature
from soundsright.core.canonical import canonical_json
from soundsright.core.errors import RequestRefused
from soundsright.services.federation import (
    VERDICT,
    VIEW,
    evidence_of,
    open_evidence,
    open_verdict,
    open_view,
    sign_verdict,
    sign_view,
    verdict_facts,
    view_facts,
)
from soundsright.services.records import DocumentKind, sign_document
from tests.services.federation.published import ADDRESSES, TASK, VALIDATORS, account_of, sha, verdict, view

COUNT = int(os.environ.get("SOUNDSRIGHT_FUZZ", "300"))
VALUES: tuple[Any, ...] = (
    None,
    0,
    -1,
    1.5,
    1e300,
    2**64,
    "",
    "x" * 70,
    "\ud800",
    "../..",
    [],
    {},
    True,
    "0" * 64,
    {"a": {}},
    [[]],
)


@dataclass(frozen=True)
class Kind:
    """A kind of document: one of them signed, its digest, and how to read and write one."""

    name: str
    raw: bytes
    digest: Callable[[bytes], str]
    written: Callable[[bytes], dict[str, Any]]
    document: DocumentKind | None = None
    signer: Hotkey = VALIDATORS[0]


def opened(raw: bytes) -> Any:
    return open_verdict(raw, valid_signature=valid_signature)


def opened_view(raw: bytes) -> Any:
    return open_view(raw, valid_signature=valid_signature)


SIGNER = account_of(TASK)
ONE, OTHER = (sign_verdict(verdict(miners=miners), SIGNER) for miners in (2, 3))
LISTED = {11: {ADDRESSES[1]: sha("a")}, 12: {ADDRESSES[2]: sha("b")}}
KINDS = (
    Kind(
        "verdict",
        ONE,
        lambda raw: opened(raw).digest,
        lambda raw: verdict_facts(opened(raw).verdict),
        VERDICT,
        SIGNER,
    ),
    Kind(
        "view",
        sign_view(view(VALIDATORS[0], LISTED), VALIDATORS[0]),
        lambda raw: opened_view(raw).digest,
        lambda raw: view_facts(opened_view(raw).view),
        VIEW,
    ),
    Kind(
        "proof",
        evidence_of(ONE, OTHER, valid_signature=valid_signature).raw,
        lambda raw: " ".join(open_evidence(raw, valid_signature=valid_signature).digests),
        lambda raw: {},
    ),
)


def read_or_none(read: Callable[[], Any]) -> Any:
    """The value that is read, or None if it is refused. Any other error fails the test."""
    try:
        return read()
    except RequestRefused:
        return None


def flipped(rng: random.Random, raw: bytes) -> bytes:
    changed = bytearray(raw)
    for _ in range(rng.choice((1, 1, 1, 4, 40))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def cut(rng: random.Random, raw: bytes) -> bytes:
    first, second = sorted(rng.randrange(len(raw) + 1) for _ in range(2))
    return rng.choice((raw[:first], raw[:first] + raw[second:], raw[:second] + raw[first:]))


def with_another_value(rng: random.Random, value: Any) -> Any:
    """The JSON value with another value, key or place somewhere in it."""
    here = above = value
    key: Any = None
    while isinstance(here, dict | list) and here and (key is None or rng.random() < 0.9):
        above, key = here, rng.choice(sorted(here) if isinstance(here, dict) else range(len(here)))
        here = here[key]
    kind = rng.randrange(4)
    if kind == 0 and isinstance(above, dict):
        above[rng.choice(("extra", "schema", ""))] = deepcopy(rng.choice(VALUES))
    elif kind == 1:
        del above[key]
    elif kind == 2 and isinstance(above, list):
        above.append(deepcopy(here))
    else:
        above[key] = deepcopy(rng.choice(VALUES))
    return value


def of_a_value(rng: random.Random, raw: bytes) -> bytes:
    """Another value in the envelope or in the document, whose signature is as before."""
    envelope = json.loads(raw)
    if "document" in envelope and rng.random() < 0.6:
        envelope["document"] = canonical_json(with_another_value(rng, json.loads(envelope["document"])))
    else:
        envelope = with_another_value(rng, envelope)
    return json.dumps(envelope).encode()


CHANGES = (flipped, cut, of_a_value)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_no_changed_document_is_accepted(kind: Kind) -> None:
    rng, right, refused = random.Random(23), kind.digest(kind.raw), 0
    for number in range(COUNT):
        changed = CHANGES[number % len(CHANGES)](rng, kind.raw)
        digest = read_or_none(partial(kind.digest, changed))
        assert digest in (None, right), f"change {number} was accepted"
        refused += digest is None
    assert refused > 0.8 * COUNT


@pytest.mark.parametrize("kind", KINDS[:2], ids=lambda kind: kind.name)
def test_a_changed_document_that_its_signer_signed_is_refused_or_exactly_what_it_says(kind: Kind) -> None:
    rng, accepted = random.Random(29), 0
    assert kind.document is not None
    for _ in range(COUNT):
        facts = json.loads(json.loads(kind.raw)["document"])
        for _ in range(rng.choice((1, 1, 1, 3))):
            facts = with_another_value(rng, facts)
        signed = sign_document(kind.document, facts, kind.signer).encode()
        written = read_or_none(partial(kind.written, signed))
        if written is not None:
            assert canonical_json(written) == json.loads(signed)["document"]
            accepted += 1
    assert accepted < 0.2 * COUNT
