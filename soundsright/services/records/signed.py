"""Signed documents: a JSON text in an envelope that carries the signature of whoever wrote it.

The envelope has the exact text that was signed, so that anyone can check it later. Each kind of document has its
own schema name, and the name is part of the signed message. A signature for one kind is therefore not valid for
another kind, or for a signed request.

    VERDICT = DocumentKind("verdict", "soundsright.verdict/2", previous="soundsright.verdict/1")
    raw = sign_document(VERDICT, {"task": 7}, account).encode()
    open_document(VERDICT, raw, valid_signature=valid_signature).facts
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from soundsright.core.canonical import canonical_json
from soundsright.core.errors import RequestRefused
from soundsright.core.ports import Account
from soundsright.core.strict_json import MAX_DEPTH, NotStrictJson, is_deeper, strict_json

MAX_ENVELOPE_BYTES = 8_000_000
MAX_SIGNED_BYTES = 12 << 20
"""The most bytes of any signed document with its envelope. Most kinds have a smaller limit."""

_SCHEMA = re.compile(r"([a-z0-9][a-z0-9.-]{0,99})/([1-9][0-9]{0,3})")

_HALF_CHARACTER = "\\ud"
"""The beginning of an escape that stands for half a character. UTF-8 has no halves."""

ValidSignature = Callable[[str, bytes, bytes], bool]
"""Whether an address signed a message: (address, message, signature)."""


@dataclass(frozen=True)
class DocumentKind:
    """A kind of signed document.

    Attributes:
        name: what messages call it.
        schema: its schema and version, such as `soundsright.verdict/2`.
        envelope_schema: the schema of its envelope, if the envelope is of the older form that names a `validator`.
            Otherwise empty: the envelope has the document's schema and names a `signer`.
        previous: the version before, if documents of it are still read. None older is.

    Raises:
        ValueError: a schema has another form, or `previous` is not the version before.
    """

    name: str
    schema: str
    envelope_schema: str = ""
    previous: str = ""

    def __post_init__(self) -> None:
        now, before = _SCHEMA.fullmatch(self.schema), _SCHEMA.fullmatch(self.previous)
        if now is None:
            raise ValueError(f"{self.schema!r} is not a schema, such as soundsright.verdict/1")
        if self.previous and (before is None or before[1] != now[1] or int(before[2]) != int(now[2]) - 1):
            raise ValueError(f"{self.previous!r} is not the version before {self.schema}")

    @property
    def signer_field(self) -> str:
        """The name of the signer's field in the envelope."""
        return "validator" if self.envelope_schema else "signer"

    def schema_of(self, envelope_schema: str) -> str | None:
        """The schema of the document in an envelope of that schema, or None if this kind does not read it."""
        if self.envelope_schema:
            return self.schema if envelope_schema == self.envelope_schema else None
        return envelope_schema if envelope_schema and envelope_schema in (self.schema, self.previous) else None


class Envelope(BaseModel):
    """A document's text, the address of its signer, and the signature."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    envelope_schema: Annotated[str, Field(alias="schema", max_length=128)]
    signer: Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z0-9_.:+-]+$")]
    signature: Annotated[str, Field(pattern=r"^0x[0-9a-f]{128}$")]
    document: Annotated[str, Field(max_length=MAX_SIGNED_BYTES)]

    @property
    def validator(self) -> str:
        """The signer of a validator's document."""
        return self.signer

    @property
    def digest(self) -> str:
        """Hex SHA-256 of the document."""
        return hashlib.sha256(self.document.encode()).hexdigest()


@dataclass(frozen=True)
class SignedDocument:
    """A document whose signature was verified: its envelope, its schema, and its fields as JSON values."""

    envelope: Envelope
    schema: str
    facts: Mapping[str, Any]

    @property
    def signer(self) -> str:
        """The address that signed it."""
        return self.envelope.signer


def envelope_form(kind: DocumentKind) -> dict[str, Any]:
    """The JSON schema of an envelope of that kind, as it is sent."""
    form = Envelope.model_json_schema(by_alias=True)
    fields = dict(form["properties"])
    fields[kind.signer_field] = fields.pop("signer")
    if kind.envelope_schema or not kind.previous:
        fields["schema"] = {"type": "string", "const": kind.envelope_schema or kind.schema}
    else:
        fields["schema"] = {"type": "string", "enum": [kind.schema, kind.previous]}
    return {"title": kind.name, "type": "object", "properties": fields, "required": list(fields)}


def signed_message(schema: str, document: str) -> bytes:
    """The bytes that are signed: the schema's name and the document's SHA-256."""
    return f"{schema}\n{hashlib.sha256(document.encode()).hexdigest()}".encode()


def sign_document(kind: DocumentKind, document: Mapping[str, Any], account: Account) -> str:
    """The signed document in its envelope, as JSON. It has the kind's present version."""
    text = canonical_json(document)
    return json.dumps(
        {
            "schema": kind.envelope_schema or kind.schema,
            kind.signer_field: account.address,
            "signature": "0x" + account.sign(signed_message(kind.schema, text)).hex(),
            "document": text,
        }
    )


def open_envelope(
    kind: DocumentKind, raw: bytes, *, valid_signature: ValidSignature, max_bytes: int = MAX_ENVELOPE_BYTES
) -> Envelope:
    """Parse an envelope of that kind and verify its signature. The document inside is not parsed.

    An error while the signature is verified makes it a wrong signature. A library or memory that this machine lacks
    is not the signer's fault, so `ImportError` and `MemoryError` pass, and the envelope does not open.

    Raises:
        RequestRefused: `too_large`, `malformed` or `bad_signature`.
    """
    if len(raw) > max_bytes:
        raise RequestRefused("too_large", f"A signed {kind.name} has at most {max_bytes} bytes", status=413)
    values = _strict_json(kind, raw)
    try:
        fields = {name: values[name] for name in ("schema", "signature", "document") if name in values}
        envelope = Envelope.model_validate(fields | {"signer": values.get(kind.signer_field)}, strict=True)
        schema = kind.schema_of(envelope.envelope_schema)
        message = signed_message(schema or "", envelope.document)
    except (ValidationError, UnicodeError) as error:
        raise malformed(kind, error) from None
    if schema is None:
        raise _malformed(kind, f"schema: {kind.envelope_schema or kind.schema} was expected")
    if not _is_valid(valid_signature, envelope, message):
        raise RequestRefused(
            "bad_signature", f"The signature is wrong: {envelope.signer} did not sign this {kind.name}"
        )
    return envelope


def open_document(
    kind: DocumentKind, raw: bytes, *, valid_signature: ValidSignature, max_bytes: int = MAX_ENVELOPE_BYTES
) -> SignedDocument:
    """Verify an envelope of that kind, and read the document in it.

    The document must be the canonical JSON of an object. So one content has one text and one digest, and all
    programs read the same from it.

    Raises:
        RequestRefused: `too_large`, `malformed` or `bad_signature`.
    """
    envelope = open_envelope(kind, raw, valid_signature=valid_signature, max_bytes=max_bytes)
    facts = _canonical_object(envelope.document)
    is_canonical = facts is not None
    if facts is None:
        facts = _strict_json(kind, envelope.document.encode())
    schema = kind.schema_of(envelope.envelope_schema) or ""
    if facts.get("schema", schema) != schema:
        raise _malformed(kind, "the document names another schema than its envelope")
    try:
        if not is_canonical or _HALF_CHARACTER in envelope.document:
            json.dumps(facts, ensure_ascii=False).encode()
    except UnicodeError as error:
        raise malformed(kind, error) from None
    if not is_canonical:
        raise _malformed(kind, "its JSON is not canonical")
    return SignedDocument(envelope, schema, facts)


def _canonical_object(text: str) -> dict[str, Any] | None:
    """The object in the text if it is strict and canonical JSON, otherwise None.

    A text that comes out again as it went in has no key twice and no number that is not finite. So the slower
    reading, which names the fault, is for other texts only.
    """
    try:
        value = json.loads(text)
        if isinstance(value, dict) and canonical_json(value) == text and not is_deeper(value, MAX_DEPTH):
            return value
    except (ValueError, RecursionError):
        pass
    return None


def malformed(kind: DocumentKind, error: ValidationError | UnicodeError) -> RequestRefused:
    """The refusal of bytes that are not a document of that kind. It names the first fault, but no value."""
    if not isinstance(error, ValidationError):
        return _malformed(kind, "it is not UTF-8 text")
    first = error.errors(include_url=False, include_input=False)[0]
    return _malformed(kind, f"{'.'.join(map(str, first['loc']))[:100]}: {first['msg'][:200]}")


def _malformed(kind: DocumentKind, fault: str) -> RequestRefused:
    return RequestRefused("malformed", f"This is not a {kind.name} of schema {kind.schema} ({fault})", status=422)


def _is_valid(valid_signature: ValidSignature, envelope: Envelope, message: bytes) -> bool:
    try:
        return valid_signature(envelope.signer, message, bytes.fromhex(envelope.signature[2:])) is True
    except (ImportError, MemoryError):
        raise
    except Exception:  # noqa: BLE001 - whatever goes wrong, the signature was not verified
        return False


def _strict_json(kind: DocumentKind, raw: bytes) -> dict[str, Any]:
    """The JSON object in the bytes.

    Raises:
        RequestRefused: `malformed`.
    """
    try:
        value = strict_json(raw, MAX_DEPTH)
    except NotStrictJson as error:
        raise _malformed(kind, error.fault) from None
    if not isinstance(value, dict):
        raise _malformed(kind, "it is not a JSON object")
    return value
