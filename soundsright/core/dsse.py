"""Attestations: a Statement of in-toto in a DSSE envelope, which the tools of sigstore and SLSA read.

    {"payload": "<base64>", "payloadType": "application/vnd.in-toto+json",
     "signatures": [{"keyid": "5F...", "sig": "<base64>"}]}

See the specifications "DSSE v1.0" and "in-toto Attestation Framework, Statement v1".
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from soundsright.core.canonical import canonical_json

IN_TOTO_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"


def pre_authentication(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed (DSSE's "PAE"): type and payload, each after its length in bytes.

    >>> pre_authentication("http://example.com/HelloWorld", b"hello world")
    b'DSSEv1 29 http://example.com/HelloWorld 11 hello world'
    """
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def statement(subjects: Mapping[str, str], predicate_type: str, predicate: Mapping[str, Any]) -> bytes:
    """A Statement about files, in canonical JSON.

    Parameters:
        subjects: the hex SHA-256 of each file by its name.
        predicate_type: a URI that says what the predicate means.
        predicate: JSON values.

    Raises:
        ValueError: there are no subjects.
    """
    if not subjects:
        raise ValueError("a statement needs a subject")
    facts = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": subjects[name]}} for name in sorted(subjects)],
        "predicateType": predicate_type,
        "predicate": dict(predicate),
    }
    return canonical_json(facts).encode()


def dsse_envelope(payload: bytes, signatures: Mapping[str, bytes], payload_type: str = IN_TOTO_TYPE) -> str:
    """The envelope of a payload as JSON. `signatures` are over `pre_authentication`, by the id of their key."""
    facts = {
        "payloadType": payload_type,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [
            {"keyid": key, "sig": base64.b64encode(signature).decode()} for key, signature in signatures.items()
        ],
    }
    return canonical_json(facts)
