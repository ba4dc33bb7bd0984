"""Signed documents: a validator's JSON text in an envelope that carries the signature.

The envelope has the exact text that was signed, so that anyone can check it later. Each kind of
document has its own schema name, and the name is part of the signed message. A signature for one kind is therefore
not valid for another kind, or for a signed request.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from soundsright.core.errors import RequestRefused
from soundsright.core.ports import Account

MAX_ENVELOPE_BYTES = 8_000_000

ValidSignature = Callable[[str, bytes, bytes], bool]
"""Whether an address signed a message: (address, message, signature)."""


@dataclass(frozen=True)
class DocumentKind:
    """A kind of signed document: its name in messages, its schema, and the schema of its envelope."""

    name: str
    schema: str
    envelope_schema: str


class Envelope(BaseModel):
    """A document's text, the address of the validator that signed it, and the signature."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    envelope_schema: Annotated[str, Field(alias="schema", max_length=128)]
    validator: Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z0-9_.:+-]+$")]
    signature: Annotated[str, Field(pattern=r"^0x[0-9a-f]{128}$")]
    document: Annotated[str, Field(max_length=MAX_ENVELOPE_BYTES)]

    @property
    def digest(self) -> str:
        """Hex SHA-256 of the document."""
        return hashlib.sha256(self.document.encode()).hexdigest()


def signed_message(kind: DocumentKind, document: str) -> bytes:
    """The bytes that a validator signs: the schema's name and the document's SHA-256."""
    return f"{kind.schema}\n{hashlib.sha256(document.encode()).hexdigest()}".encode()


def sign_document(kind: DocumentKind, document: Mapping[str, Any], account: Account) -> str:
    """The signed document in its envelope, as JSON."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return json.dumps(
        {
            "schema": kind.envelope_schema,
            "validator": account.address,
            "signature": "0x" + account.sign(signed_message(kind, text)).hex(),
            "document": text,
        }
    )


def open_envelope(kind: DocumentKind, raw: bytes, *, valid_signature: ValidSignature) -> Envelope:
    """Parse an envelope of that kind and verify its signature. The document inside is not parsed.

    Raises:
        RequestRefused: `malformed` or `bad_signature`.
    """
    try:
        envelope = Envelope.model_validate_json(raw)
        message = signed_message(kind, envelope.document)
    except (ValidationError, UnicodeError) as error:
        raise malformed(kind, error) from None
    if envelope.envelope_schema != kind.envelope_schema:
        raise _malformed(kind, f"schema: {kind.envelope_schema} was expected")
    if not valid_signature(envelope.validator, message, bytes.fromhex(envelope.signature[2:])):
        raise RequestRefused(
            "bad_signature", f"The signature is wrong: {envelope.validator} did not sign this {kind.name}"
        )
    return envelope


def malformed(kind: DocumentKind, error: ValidationError | UnicodeError) -> RequestRefused:
    """The refusal of bytes that are not a document of that kind. It names the first fault, but no value."""
    if not isinstance(error, ValidationError):
        return _malformed(kind, "it is not UTF-8 text")
    first = error.errors(include_url=False, include_input=False)[0]
    return _malformed(kind, f"{'.'.join(map(str, first['loc']))[:100]}: {first['msg'][:200]}")


def _malformed(kind: DocumentKind, fault: str) -> RequestRefused:
    return RequestRefused("malformed", f"This is not a {kind.name} of schema {kind.schema} ({fault})", status=422)
