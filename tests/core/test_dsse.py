"""Envelopes and statements, against the published test vector of DSSE's specification."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from soundsright.core.dsse import IN_TOTO_TYPE, dsse_envelope, pre_authentication, statement

# The example of the specification's protocol.md: a P-256 key, a payload, and the signature of both.
X = 46950820868899156662930047687818585632848591499744589407958293238635476079160
Y = 5640078356564379163099075877009565129882514886557779369047442380624545832820
SIGNATURE = "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="


def test_the_published_vector() -> None:
    message = pre_authentication("http://example.com/HelloWorld", b"hello world")
    assert message == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    raw = base64.b64decode(SIGNATURE)
    signature = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    key = ec.EllipticCurvePublicNumbers(X, Y, ec.SECP256R1()).public_key()
    key.verify(signature, message, ec.ECDSA(SHA256()))  # It raises if the signature is wrong.


def test_lengths_are_in_bytes() -> None:
    assert pre_authentication("ü", "日".encode()) == b"DSSEv1 2 \xc3\xbc 3 \xe6\x97\xa5"
    assert pre_authentication("", b"") == b"DSSEv1 0  0 "


def test_a_statement_has_its_subjects_by_name_and_one_text() -> None:
    first = statement({"b": "22", "a": "11"}, "urn:x:1", {"same": True})
    assert first == statement({"a": "11", "b": "22"}, "urn:x:1", {"same": True})
    assert json.loads(first) == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "a", "digest": {"sha256": "11"}}, {"name": "b", "digest": {"sha256": "22"}}],
        "predicateType": "urn:x:1",
        "predicate": {"same": True},
    }
    with pytest.raises(ValueError, match="needs a subject"):
        statement({}, "urn:x:1", {})


def test_an_envelope_has_payload_and_signatures_in_base64() -> None:
    found = json.loads(dsse_envelope(b"{}", {"5F": b"\x01\x02"}))
    assert found == {
        "payloadType": IN_TOTO_TYPE,
        "payload": "e30=",
        "signatures": [{"keyid": "5F", "sig": "AQI="}],
    }
