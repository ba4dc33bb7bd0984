"""A statement's subjects are what its document says, and nothing can take the document's own place."""

from __future__ import annotations

from typing import Any

import pytest

from soundsright.adapters.peers import valid_signature
from soundsright.core.errors import UsageError
from soundsright.services.log import Admission, any_signer, statement_of
from soundsright.services.records import DocumentKind, sign_document
from tests.services.log.log_bench import REPLAY, ROUND, VICTOR

OTHER = {"sha256": "00" * 32}


def stated(kind: DocumentKind, **facts: Any) -> bytes:
    raw = sign_document(kind, {"schema": kind.schema, "round": "round-1", **facts}, VICTOR).encode()
    return statement_of(*Admission(valid_signature, check_signer=any_signer).opened(raw))


def test_a_file_of_the_documents_own_name_is_refused() -> None:
    assert b"scores.jsonl" in stated(ROUND, files={"scores.jsonl": OTHER})
    with pytest.raises(UsageError, match=r"names round.json among its files"):
        stated(ROUND, files={"round.json": OTHER})
    with pytest.raises(UsageError, match=r"names replay.json among its files"):
        stated(REPLAY, files={"replay.json": OTHER})


def test_a_bundle_of_two_digests_is_refused() -> None:
    assert b"11" * 32 in stated(REPLAY, bundle="11" * 32)
    with pytest.raises(UsageError, match="as its bundle and among its files"):
        stated(REPLAY, bundle="11" * 32, files={"round.json": OTHER})
