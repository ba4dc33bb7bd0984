"""Other programs read what `soundsright log attest` writes: securesystemslib its envelope, in-toto its payload."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.protobuf.json_format import MessageToDict, Parse
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as StatementMessage
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey

from soundsright.adapters.peers import PemKey
from soundsright.core.dsse import IN_TOTO_TYPE, dsse_envelope, pre_authentication, statement
from soundsright.services.log.statements import predicate_type
from soundsright.services.records import FEEDBACK, REVEAL_SCHEMA, ROUND
from soundsright.services.replay import REPLAY

PREDICATE: dict[str, Any] = {
    "signer": "5F",
    "document": {"shares": {"a": 0.1}, "lines": [1, None, "ü"], "same": True},
}
SUBJECTS = {"round.json": "ab" * 32, "sets/a/manifest.jsonl": "cd" * 32}
PAYLOAD = statement(SUBJECTS, "urn:soundsright:round:1", PREDICATE)
KEYS: dict[str, Any] = {
    "ed25519": ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32))),
    "p256": ec.derive_private_key(20, ec.SECP256R1()),
}


def pem_key(key: Any, folder: Path) -> PemKey:
    path = folder / "key.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return PemKey.read(path)


@pytest.mark.parametrize("kind", KEYS)
def test_another_implementation_verifies_the_envelope(kind: str, tmp_path: Path) -> None:
    own = pem_key(KEYS[kind], tmp_path)
    message = pre_authentication(IN_TOTO_TYPE, PAYLOAD)
    text = dsse_envelope(PAYLOAD, {own.key_id: own.sign(message)})
    envelope = Envelope.from_dict(json.loads(text))
    assert (envelope.payload, envelope.payload_type, envelope.pae()) == (PAYLOAD, IN_TOTO_TYPE, message)
    public = SSlibKey.from_crypto(KEYS[kind].public_key(), keyid=own.key_id)
    assert envelope.verify([public], threshold=1) == {own.key_id: public}

    envelope.payload += b" "
    with pytest.raises(VerificationError):
        envelope.verify([public], threshold=1)


@pytest.mark.parametrize("kind", KEYS)
def test_its_envelopes_are_the_same_as_ours(kind: str) -> None:
    envelope = Envelope(PAYLOAD, IN_TOTO_TYPE, {})
    signature = envelope.sign(CryptoSigner(KEYS[kind]))
    own = json.loads(dsse_envelope(PAYLOAD, {signature.keyid: bytes.fromhex(signature.signature)}))
    assert own == envelope.to_dict()


@pytest.mark.parametrize(
    ("kind", "payload"), [("", b""), ("ü", "日".encode()), ("http://example.com/x", b"\0\xff")]
)
def test_any_type_and_payload_have_the_same_bytes_to_sign(kind: str, payload: bytes) -> None:
    assert pre_authentication(kind, payload) == Envelope(payload, kind, {}).pae()


def test_in_toto_reads_and_validates_the_statement() -> None:
    found = Parse(PAYLOAD, StatementMessage())  # It refuses a field that a Statement does not have.
    Statement.copy_from_pb(found).validate()
    assert MessageToDict(found) == json.loads(PAYLOAD)
    assert {each.name: each.digest["sha256"] for each in found.subject} == SUBJECTS


@pytest.mark.parametrize("schema", [ROUND.schema, REPLAY.schema, FEEDBACK.schema, REVEAL_SCHEMA])
def test_the_type_of_a_predicate_is_a_uri_as_in_toto_asks(schema: str) -> None:
    """An absolute URI of RFC 3986 in its normal form: readers compare types as text."""
    from rfc3986 import uri_reference
    from rfc3986.validators import Validator

    uri = uri_reference(predicate_type(schema))
    Validator().require_presence_of("scheme", "path").check_validity_of("scheme", "path").validate(uri)
    assert uri.is_absolute()
    assert uri.normalize().unsplit() == predicate_type(schema)


def test_in_toto_refuses_a_statement_without_digest() -> None:
    facts = json.loads(PAYLOAD)
    del facts["subject"][0]["digest"]
    with pytest.raises(ValueError, match="digest"):
        Statement.copy_from_pb(Parse(json.dumps(facts), StatementMessage())).validate()


def test_the_payload_is_base64_of_the_standard_alphabet() -> None:
    """Some readers take the URL-safe alphabet too, but not all."""
    text = json.loads(dsse_envelope(b"\xfb\xff\xfe", {}))["payload"]
    assert text == base64.standard_b64encode(b"\xfb\xff\xfe").decode() == "+//+"
