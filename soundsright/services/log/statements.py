"""Attestations of signed documents: what a document says, in the shape that tools for supply chains read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from soundsright.core.dsse import statement
from soundsright.core.errors import UsageError, printable
from soundsright.services.log.entries import LogEntry
from soundsright.services.records import SignedDocument

MAX_SUBJECTS = 10_000

_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9_.-][A-Za-z0-9_./-]{0,254}")


def statement_of(document: SignedDocument, entry: LogEntry) -> bytes:
    """The Statement of a document whose signature was verified, in canonical JSON.

    The subjects are the document itself and the files that it names by digest (its field `files`), or the bundle
    that it was made from (its field `bundle`). The predicate is the document, with its signer and signature.

    Raises:
        UsageError: it names too many files, one without a digest, or one of its own name.
    """
    own, files = _name_of(document), _files(document.facts)
    if own in files:
        raise UsageError(f"The document names {own} among its files, which is its own name", _REMEDY)
    subjects = {own: entry.sha256, **files}
    predicate = {
        "signer": document.signer,
        "signature": document.envelope.signature,
        "document": dict(document.facts),
    }
    return statement(subjects, predicate_type(document.schema), predicate)


def predicate_type(schema: str) -> str:
    """The URI of a kind of document.

    >>> predicate_type("soundsright.round/1")
    'urn:soundsright:round:1'
    """
    name, _, version = schema.rpartition("/")
    return f"urn:soundsright:{name.removeprefix('soundsright.')}:{version}"


def _name_of(document: SignedDocument) -> str:
    """The name of the file that has the document, such as round.json."""
    return document.schema.partition("/")[0].removeprefix("soundsright.") + ".json"


def _files(facts: Mapping[str, Any]) -> dict[str, str]:
    files = facts.get("files", {})
    bundle = facts.get("bundle")
    if not isinstance(files, Mapping) or len(files) > MAX_SUBJECTS:
        raise UsageError(f"The document's files are no list of at most {MAX_SUBJECTS}", _REMEDY)
    named = {name: values.get("sha256") if isinstance(values, Mapping) else None for name, values in files.items()}
    if bundle is not None and "round.json" in named:
        raise UsageError("The document names round.json as its bundle and among its files", _REMEDY)
    if bundle is not None:
        named["round.json"] = bundle
    found: dict[str, str] = {}
    for name, digest in named.items():
        if not (_NAME.fullmatch(name) and isinstance(digest, str) and _SHA256.fullmatch(digest)):
            raise UsageError(f"The document names {printable(name[:80])!r} without a SHA-256", _REMEDY)
        found[name] = digest
    return found


_REMEDY = "Attest a document that SoundsRight signed."
