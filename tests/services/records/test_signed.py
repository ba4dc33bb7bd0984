"""Signed documents: a signature is valid for one text of one kind only."""

from __future__ import annotations

import json

import pytest

from soundsright.adapters.peers.keys import Hotkey, valid_signature
from soundsright.core.errors import RequestRefused
from soundsright.services.records.signed import DocumentKind, open_envelope, sign_document

VERDICT = DocumentKind("verdict", "test.verdict/1", "test.verdict-envelope/1")
RECEIPT = DocumentKind("receipt", "test.receipt/1", "test.receipt-envelope/1")
SIGNER = Hotkey.of_seed("victor")


def test_an_envelope_opens_to_the_text_that_was_signed() -> None:
    raw = sign_document(VERDICT, {"schema": VERDICT.schema, "passed": True}, SIGNER).encode()
    envelope = open_envelope(VERDICT, raw, valid_signature=valid_signature)
    assert envelope.validator == SIGNER.address
    assert json.loads(envelope.document) == {"schema": VERDICT.schema, "passed": True}


def test_a_document_of_another_kind_does_not_open() -> None:
    raw = sign_document(VERDICT, {}, SIGNER)
    with pytest.raises(RequestRefused, match=r"not a receipt of schema test\.receipt/1"):
        open_envelope(RECEIPT, raw.encode(), valid_signature=valid_signature)


def test_a_signature_is_not_valid_for_another_kind() -> None:
    raw = sign_document(VERDICT, {}, SIGNER).replace(VERDICT.envelope_schema, RECEIPT.envelope_schema)
    with pytest.raises(RequestRefused, match=f"{SIGNER.address} did not sign this receipt"):
        open_envelope(RECEIPT, raw.encode(), valid_signature=valid_signature)
