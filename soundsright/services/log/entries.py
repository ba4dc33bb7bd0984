"""An entry of a log: a signed document in its envelope, and what an index of the log needs to know of it.

    {"envelope": {"document": "...", "schema": "...", "signature": "0x...", "signer": "..."},
     "kind": "soundsright.round/1", "round": "round-7", "schema": "soundsright.log-entry/1",
     "sha256": "...", "signer": "..."}

The canonical JSON of this object is the leaf of the tree. All fields follow from the envelope, so a log cannot
choose them. Sizes are in bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from soundsright.core.canonical import canonical_json
from soundsright.core.errors import LogRefused, RequestRefused
from soundsright.core.merkle import leaf_hash
from soundsright.core.strict_json import MAX_DEPTH, NotStrictJson, strict_json
from soundsright.services.records import (
    MAX_SIGNED_BYTES,
    DocumentKind,
    SignedDocument,
    ValidSignature,
    open_document,
)

ENTRY_SCHEMA = "soundsright.log-entry/1"
MAX_DOCUMENT_BYTES = MAX_SIGNED_BYTES
"""The largest signed document that a log takes, with its envelope: the largest of any kind."""
MAX_ENTRY_BYTES = MAX_DOCUMENT_BYTES + 4_000
MAX_ENTRIES = 1_000_000
"""The most entries of a log. A reader refuses a log that says it has more."""
KINDS = ("soundsright.round/1", "soundsright.replay/1", "soundsright.executor-results/1")
"""The kinds of document that a log takes if none are named."""
SINGLE = ("soundsright.round", "soundsright.executor-results")
"""The kinds of which an honest signer signs one document for each round."""

_FIELDS = frozenset({"envelope", "kind", "round", "schema", "sha256", "signer"})
_ROUND = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")


@dataclass(frozen=True)
class LogEntry:
    """An entry. `text` is its canonical JSON, `kind` the document's schema, `sha256` that of the document.

    `round` is the id of the round that the document is about, or empty if it names none.
    """

    kind: str
    signer: str
    round: str
    sha256: str
    text: str

    @property
    def leaf(self) -> bytes:
        """The hash of its leaf in the tree."""
        return leaf_hash(self.text.encode())

    @property
    def signature(self) -> str:
        """The signature in its envelope."""
        return str(json.loads(self.text)["envelope"]["signature"])

    @property
    def key(self) -> str:
        """Equal for equal documents of one signer, however often it signed them."""
        return hashlib.sha256(f"{self.kind}\n{self.signer}\n{self.sha256}".encode()).hexdigest()

    @property
    def single(self) -> tuple[str, str, str] | None:
        """Kind, signer and round, if an honest signer signs one document of this kind for each round."""
        name = self.kind.partition("/")[0]
        return (name, self.signer, self.round) if name in SINGLE and self.round else None


def entry_of(document: SignedDocument) -> LogEntry:
    """The entry of a document whose signature was verified."""
    envelope = document.envelope
    facts = {
        "schema": ENTRY_SCHEMA,
        "kind": document.schema,
        "signer": envelope.signer,
        "round": _round_of(document.facts),
        "sha256": envelope.digest,
        "envelope": {
            "schema": envelope.envelope_schema,
            "signer": envelope.signer,
            "signature": envelope.signature,
            "document": envelope.document,
        },
    }
    return LogEntry(document.schema, envelope.signer, str(facts["round"]), envelope.digest, canonical_json(facts))


def open_entry(value: Any, index: int, *, valid_signature: ValidSignature) -> LogEntry:
    """The entry that a log gave at `index`, once its signature and all its fields are verified.

    Raises:
        LogRefused: it is not an entry, its signer did not sign it, or a field differs from its document.
    """
    if not isinstance(value, dict) or set(value) != _FIELDS or not isinstance(value["envelope"], dict):
        raise LogRefused(f"entry {index} is not an entry of schema {ENTRY_SCHEMA}")
    try:
        kind = DocumentKind("document", str(value["kind"]))
        raw = canonical_json(value["envelope"]).encode()
        document = open_document(kind, raw, valid_signature=valid_signature, max_bytes=MAX_DOCUMENT_BYTES)
    except RequestRefused as refused:
        raise LogRefused(f"entry {index} is refused: {refused.sentence}") from refused
    except ValueError as error:
        raise LogRefused(f"entry {index} has a kind that is not a schema") from error
    entry = entry_of(document)
    if entry.text != canonical_json(value):
        raise LogRefused(f"entry {index} has fields that differ from its signed document")
    return entry


def stored_entry(text: str) -> LogEntry:
    """An entry that this machine stored after it was verified. The signature is not verified again.

    Raises:
        ValueError: it is not an entry.
    """
    try:
        value = strict_json(text.encode(), MAX_DEPTH)
        named = [value[name] for name in ("kind", "signer", "round", "sha256")]
    except (NotStrictJson, KeyError, TypeError) as error:
        raise ValueError("a stored entry of the log cannot be read") from error
    if not all(isinstance(each, str) for each in named):
        raise ValueError("a stored entry of the log cannot be read")
    kind, signer, round_id, sha256 = named
    return LogEntry(kind, signer, round_id, sha256, text)


def _round_of(facts: Mapping[str, Any]) -> str:
    """The round's id: the field `round`, or its field `id`."""
    value = facts.get("round")
    if isinstance(value, Mapping):
        value = value.get("id")
    return value if isinstance(value, str) and _ROUND.fullmatch(value) else ""
