"""The saved proof that a document is in a log: `log.json` in a run's folder, which the run's page shows."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from soundsright.core.errors import LogRefused, RequestRefused, UsageError
from soundsright.core.merkle import MAX_PROOF, is_included
from soundsright.core.strict_json import MAX_DEPTH, NotStrictJson, strict_json
from soundsright.services.log.entries import MAX_DOCUMENT_BYTES, MAX_ENTRIES, LogEntry, entry_of
from soundsright.services.log.heads import MAX_HEAD_BYTES, LogHead, open_head
from soundsright.services.records import (
    LOG_PROOF,
    DocumentKind,
    ValidSignature,
    is_plain_file,
    open_document,
    write_json,
)

_SCHEMA = "soundsright.log-proof/1"
_MAX_BYTES = 40_000
_URL = re.compile(
    r"https?://(?:[A-Za-z0-9.-]{1,253}|\[[0-9a-f:]{2,39}\])(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/-]{0,200})?"
)
_Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_: Literal["soundsright.log-proof/1"] = Field(alias="schema")
    url: Annotated[str, Field(max_length=500)]
    kind: Annotated[str, Field(max_length=128)]
    signer: Annotated[str, Field(max_length=128)]
    sha256: _Hash
    signature: Annotated[str, Field(pattern=r"^0x[0-9a-f]{128}$")]
    leaf: _Hash
    index: Annotated[int, Field(ge=0, lt=MAX_ENTRIES)]
    proof: Annotated[list[_Hash], Field(max_length=MAX_PROOF)]
    head: Annotated[str, Field(max_length=MAX_HEAD_BYTES)]


@dataclass(frozen=True)
class SavedProof:
    """An entry of the log at `url`, and the proof that `head` has it.

    `sha256` is that of the signed document, `leaf` that of the entry's leaf. `signature` is the one that the log
    has: one document can have several.
    """

    url: str
    kind: str
    signer: str
    sha256: str
    signature: str
    leaf: bytes
    index: int
    hashes: tuple[bytes, ...]
    head: LogHead


def proof_of(url: str, entry: LogEntry, index: int, hashes: tuple[bytes, ...], head: LogHead) -> SavedProof:
    """The proof of an entry, once it was computed.

    Raises:
        LogRefused: the head does not have the entry there.
    """
    if not is_included(entry.leaf, index, head.size, hashes, head.root):
        raise LogRefused(f"{url} gave a proof that does not show the document in its log")
    about = entry.kind, entry.signer, entry.sha256, entry.signature
    return SavedProof(url, *about, entry.leaf, index, hashes, head)


def write_proof(folder: Path, proof: SavedProof) -> None:
    """Write log.json into a run's folder, whole or not at all."""
    facts: dict[str, Any] = {
        "schema": _SCHEMA,
        "url": proof.url,
        "kind": proof.kind,
        "signer": proof.signer,
        "sha256": proof.sha256,
        "signature": proof.signature,
        "leaf": proof.leaf.hex(),
        "index": proof.index,
        "proof": [each.hex() for each in proof.hashes],
        "head": proof.head.envelope,
    }
    write_json(folder / LOG_PROOF, facts)


def read_proof(folder: Path, *, valid_signature: ValidSignature) -> SavedProof | None:
    """The proof in a run's folder, computed again; None if it has none.

    Raises:
        UsageError: log.json cannot be read, or is not the proof of a log.
        LogRefused: its proof does not show its entry, or the log did not sign it.
    """
    path = folder / LOG_PROOF
    try:
        if not path.exists() and not path.is_symlink():
            return None
        if not is_plain_file(path):
            raise UsageError(f"{LOG_PROOF} is not a plain file", _REMEDY)
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{LOG_PROOF} cannot be read ({error.strerror})", _REMEDY) from error
    return open_proof(raw, valid_signature=valid_signature)


def open_proof(raw: bytes, *, valid_signature: ValidSignature) -> SavedProof:
    """The proof in the bytes of a log.json, computed again.

    Raises:
        UsageError: it is not the proof of a log.
        LogRefused: it does not show its entry, or the log did not sign its head.
    """
    if len(raw) > _MAX_BYTES:
        raise UsageError(f"{LOG_PROOF} has more than {_MAX_BYTES} bytes", _REMEDY)
    try:
        found = _File.model_validate_json(raw)
    except ValidationError as error:
        raise UsageError(f"{LOG_PROOF} is not the proof of a log", _REMEDY) from error
    try:
        head = open_head(found.head.encode(), valid_signature=valid_signature)
    except LogRefused as error:
        raise LogRefused(f"{LOG_PROOF} is not the proof of a log: {error.problem}") from error
    leaf, hashes = bytes.fromhex(found.leaf), tuple(map(bytes.fromhex, found.proof))
    if not _URL.fullmatch(found.url) or not is_included(leaf, found.index, head.size, hashes, head.root):
        raise LogRefused(f"{LOG_PROOF} does not prove that its document is in a log")
    about = found.kind, found.signer, found.sha256, found.signature
    return SavedProof(found.url, *about, leaf, found.index, hashes, head)


def check_proof(proof: SavedProof, raw: bytes, *, valid_signature: ValidSignature, log: str | None = None) -> None:
    """Check that a proof, which was read, is of this signed document. `log` is the hotkey of the log.

    Raises:
        LogRefused: it is of another document, or of another log; or nobody signed the document.
    """
    if log is not None and proof.head.log != log:
        raise LogRefused(f"{LOG_PROOF} is of the log {proof.head.log}, and not of {log}")
    try:
        envelope = strict_json(raw, MAX_DEPTH)
        if not isinstance(envelope, dict):
            raise LogRefused(f"{LOG_PROOF} cannot be checked, because the document is not signed")
        as_logged = json.dumps(envelope | {"signature": proof.signature}).encode()
        kind = DocumentKind("document", proof.kind)
        opened = open_document(kind, as_logged, valid_signature=valid_signature, max_bytes=MAX_DOCUMENT_BYTES)
    except (NotStrictJson, RequestRefused, ValueError) as error:
        raise LogRefused(f"{LOG_PROOF} does not prove this document: its signature there is of another") from error
    if entry_of(opened).leaf != proof.leaf:
        raise LogRefused(f"{LOG_PROOF} does not prove this document, but another one")


_REMEDY = "Append the document again: soundsright log append FILE --run RUN."


def checked_address(url: str) -> str:
    """The address of a log without a slash at its end.

    Raises:
        UsageError: it is not an address of HTTP.
    """
    if not _URL.fullmatch(url):
        raise UsageError(f"{url[:200]!r} is not the address of a log", "Give one such as http://127.0.0.1:9100.")
    return url.rstrip("/")
