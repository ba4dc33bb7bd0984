"""Signed documents: a signature is valid for one text of one kind only, and nothing unverified is opened."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundsright.adapters.peers.keys import Hotkey, valid_signature
from soundsright.core.canonical import canonical_json
from soundsright.core.errors import FaultClass, RequestRefused, fault_class
from soundsright.services.records.signed import (
    DocumentKind,
    SignedDocument,
    open_document,
    open_envelope,
    sign_document,
)

VERDICT = DocumentKind("verdict", "test.verdict/1", "test.verdict-envelope/1")
RECEIPT = DocumentKind("receipt", "test.receipt/1", "test.receipt-envelope/1")
KINDS = [
    DocumentKind("result", "soundsright.executor-result/1"),
    DocumentKind("verdict", "soundsright.verdict/2", previous="soundsright.verdict/1"),
    DocumentKind("answer", "soundsright.answer/1"),
    DocumentKind("audit", "soundsright.tournament-audit/1"),
]
NEWER = KINDS[1]
OLDER = DocumentKind("verdict", "soundsright.verdict/1")
SIGNER = Hotkey.of_seed("victor")


def opened(kind: DocumentKind, raw: str | bytes, **options: Any) -> SignedDocument:
    data = raw.encode() if isinstance(raw, str) else raw
    return open_document(kind, data, **({"valid_signature": valid_signature} | options))


def signed_text(kind: DocumentKind, document: str) -> str:
    """An envelope of any text, correctly signed."""
    message = f"{kind.schema}\n{hashlib.sha256(document.encode()).hexdigest()}".encode()
    signature = "0x" + SIGNER.sign(message).hex()
    return json.dumps(
        {"schema": kind.schema, "signer": SIGNER.address, "signature": signature, "document": document}
    )


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


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_system_has_its_kind_of_document(kind: DocumentKind) -> None:
    facts = {"task": 7, "scores": [0.25, None, True], "who": "Zoë\u2028", "nested": {"b": {}, "a": []}}
    raw = sign_document(kind, facts, SIGNER)
    envelope = json.loads(raw)
    assert set(envelope) == {"schema", "signer", "signature", "document"}
    assert envelope["schema"] == kind.schema
    assert envelope["document"] == canonical_json(facts)
    message = f"{kind.schema}\n{hashlib.sha256(envelope['document'].encode()).hexdigest()}".encode()
    assert valid_signature(SIGNER.address, message, bytes.fromhex(envelope["signature"][2:]))
    document = opened(kind, raw)
    assert (document.facts, document.signer, document.schema) == (facts, SIGNER.address, kind.schema)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("other", KINDS, ids=lambda kind: kind.name)
def test_a_document_is_never_one_of_another_schema(kind: DocumentKind, other: DocumentKind) -> None:
    if kind is other:
        return
    raw = sign_document(kind, {}, SIGNER)
    with pytest.raises(RequestRefused) as caught:
        opened(other, raw)
    assert caught.value.code == "malformed"
    with pytest.raises(RequestRefused) as caught:
        opened(other, raw.replace(kind.schema, other.schema))
    assert caught.value.code == "bad_signature"


def test_the_version_before_opens_as_what_it_is() -> None:
    raw = sign_document(OLDER, {"a": 1}, SIGNER)
    assert opened(NEWER, raw).schema == "soundsright.verdict/1"
    with pytest.raises(RequestRefused, match="did not sign"):
        opened(NEWER, raw.replace(OLDER.schema, NEWER.schema))
    with pytest.raises(RequestRefused, match="did not sign"):
        opened(NEWER, sign_document(NEWER, {}, SIGNER).replace(NEWER.schema, OLDER.schema))


def test_older_and_newer_versions_do_not_open() -> None:
    third = DocumentKind("verdict", "soundsright.verdict/3", previous="soundsright.verdict/2")
    for reader, writer in ((third, OLDER), (OLDER, NEWER), (NEWER, third)):
        with pytest.raises(RequestRefused, match=r"schema: .* was expected") as caught:
            opened(reader, sign_document(writer, {}, SIGNER))
        assert caught.value.code == "malformed"


@pytest.mark.parametrize(
    ("schema", "previous"),
    [
        ("verdict", ""),
        ("verdict/0", ""),
        ("a\nb/1", ""),
        ("", ""),
        ("a/3", "a/1"),
        ("a/1", "a/2"),
        ("a/2", "b/1"),
        ("a/2", "a/2"),
        ("a/1", "a/0"),
    ],
)
def test_a_kind_that_cannot_be_is_refused(schema: str, previous: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        DocumentKind("x", schema, previous=previous)


@pytest.mark.parametrize(
    "document",
    [
        '{"a":1,"a":2}',
        '{"a":{"b":1,"b":1}}',
        '{"a":NaN}',
        '{"a":-Infinity}',
        '{"a":1e999}',
        '{"a": 1}',
        '{"b":1,"a":2}',
        '{"a":1.0e0}',
        '{"a":"\u00fc"}',
        '{"a":"\\u0061"}',
        '{"a":1}\n',
        '{"a":"\\ud800"}',
        '{"schema":"soundsright.answer/1"}',
        "[]",
        '"a"',
        "1",
        "null",
        "",
        "{",
        '{"a":' + "9" * 5_000 + "}",
        '{"a":' + "[" * 40 + "]" * 40 + "}",
        '{"a":' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"a":' * 100_000 + "1" + "}" * 100_000,
    ],
    ids=lambda text: text[:20],
)
def test_a_signed_text_that_is_not_canonical_json_does_not_open(document: str) -> None:
    with pytest.raises(RequestRefused) as caught:
        opened(OLDER, signed_text(OLDER, document))
    assert caught.value.code == "malformed"
    assert len(caught.value.sentence) < 400


@pytest.mark.parametrize("key", ["schema", "signer", "signature", "document"])
@pytest.mark.parametrize("value", [None, 1, [], {}, "", "x" * 10_000, "0x" + "A" * 128, True])
def test_an_envelope_with_a_wrong_field_does_not_open(key: str, value: object) -> None:
    envelope = json.loads(sign_document(OLDER, {}, SIGNER))
    with pytest.raises(RequestRefused):
        opened(OLDER, json.dumps(envelope | {key: value}))
    del envelope[key]
    with pytest.raises(RequestRefused):
        opened(OLDER, json.dumps(envelope))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[" * 1_000_000,
        b'{"a":' * 200_000,
        b"1" * 10_000,
        b"\xef\xbb\xbf{}",
        b'{"document":"\\ud800"}',
    ],
    ids=lambda raw: repr(raw[:20]),
)
def test_bytes_that_are_no_envelope_do_not_open(raw: bytes) -> None:
    for kind in (OLDER, VERDICT):
        with pytest.raises(RequestRefused) as caught:
            open_envelope(kind, raw, valid_signature=valid_signature)
        assert caught.value.code == "malformed"


def test_a_lone_surrogate_in_a_document_does_not_open() -> None:
    envelope = json.loads(sign_document(OLDER, {}, SIGNER))
    with pytest.raises(RequestRefused) as caught:
        opened(OLDER, json.dumps(envelope | {"document": "\ud800"}))
    assert caught.value.code == "malformed"


def test_an_envelope_with_a_field_twice_does_not_open() -> None:
    raw = sign_document(OLDER, {"a": 1}, SIGNER)
    for field in ("schema", "signer", "signature", "document"):
        twice = raw[:-1] + f', "{field}": {json.dumps(json.loads(raw)[field])}}}'
        with pytest.raises(RequestRefused, match="a key comes twice"):
            opened(OLDER, twice)


def test_the_older_form_of_envelope_names_a_validator_and_the_newer_a_signer() -> None:
    old = json.loads(sign_document(VERDICT, {}, SIGNER))
    assert old["validator"] == SIGNER.address
    old["signer"] = old.pop("validator")
    with pytest.raises(RequestRefused, match="signer"):
        open_envelope(VERDICT, json.dumps(old).encode(), valid_signature=valid_signature)
    other = Hotkey.of_seed("mallory").address
    old |= {"validator": SIGNER.address, "signer": other}
    assert (
        open_envelope(VERDICT, json.dumps(old).encode(), valid_signature=valid_signature).signer == SIGNER.address
    )


def test_more_bytes_than_the_reader_takes_are_not_parsed() -> None:
    raw = sign_document(OLDER, {"a": "x" * 1_000}, SIGNER)
    assert opened(OLDER, raw, max_bytes=len(raw)).facts["a"]
    with pytest.raises(RequestRefused, match="at most") as caught:
        opened(OLDER, raw, max_bytes=len(raw) - 1)
    assert (caught.value.code, caught.value.status) == ("too_large", 413)
    with pytest.raises(RequestRefused, match="at most"):
        open_envelope(VERDICT, b" " * 8_000_001, valid_signature=valid_signature)


@pytest.mark.parametrize("error", [MemoryError, ModuleNotFoundError])
def test_a_fault_of_this_machine_is_not_charged_to_the_signer(error: type[Exception]) -> None:
    def fails(address: str, message: bytes, signature: bytes) -> bool:
        raise error("this machine cannot verify anything")

    for kind in (OLDER, VERDICT):
        with pytest.raises(error) as caught:
            open_envelope(kind, sign_document(kind, {}, SIGNER).encode(), valid_signature=fails)
        assert fault_class(caught.value) is FaultClass.LOCAL


@pytest.mark.parametrize("error", [ValueError, TypeError, RuntimeError, OSError, KeyError])
def test_any_error_while_a_signature_is_verified_makes_it_wrong(error: type[Exception]) -> None:
    def fails(address: str, message: bytes, signature: bytes) -> bool:
        raise error("the library is broken")

    for kind in (OLDER, VERDICT):
        with pytest.raises(RequestRefused, match="did not sign") as caught:
            open_envelope(kind, sign_document(kind, {}, SIGNER).encode(), valid_signature=fails)
        assert caught.value.code == "bad_signature"


@pytest.mark.parametrize("answer", [None, 0, 1, "yes", object(), NotImplemented])
def test_only_true_means_that_a_signature_is_right(answer: Any) -> None:
    with pytest.raises(RequestRefused, match="did not sign"):
        opened(OLDER, sign_document(OLDER, {}, SIGNER), valid_signature=lambda *_: answer)


def test_a_changed_text_or_signer_makes_the_signature_wrong() -> None:
    envelope = json.loads(sign_document(OLDER, {"passed": False}, SIGNER))
    mallory = Hotkey.of_seed("mallory").address
    for change in ({"document": '{"passed":true}'}, {"signer": mallory}, {"signature": "0x" + "0" * 128}):
        with pytest.raises(RequestRefused) as caught:
            opened(OLDER, json.dumps(envelope | change))
        assert caught.value.code == "bad_signature"


@pytest.mark.parametrize("facts", [{"a": float("nan")}, {"a": float("inf")}, {"a": object()}])
def test_what_is_no_json_is_not_signed(facts: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        sign_document(OLDER, facts, SIGNER)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text().filter(lambda name: name != "schema"), JSON, max_size=5))
def test_whatever_is_signed_opens_to_the_same_values(facts: dict[str, Any]) -> None:
    assert opened(OLDER, sign_document(OLDER, facts, SIGNER)).facts == facts


@given(st.binary(max_size=300))
def test_no_bytes_cause_another_error_than_a_refusal(raw: bytes) -> None:
    with pytest.raises(RequestRefused):
        opened(OLDER, raw)
