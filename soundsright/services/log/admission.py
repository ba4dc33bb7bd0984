"""The documents that a log takes: kinds from a list, signed by hotkeys that may."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from soundsright.core.errors import RequestRefused
from soundsright.core.strict_json import MAX_DEPTH, NotStrictJson, strict_json
from soundsright.services.log.entries import KINDS, MAX_DOCUMENT_BYTES, LogEntry, entry_of
from soundsright.services.records import DocumentKind, SignedDocument, ValidSignature, open_document


@dataclass(frozen=True)
class Admission:
    """The checks of a document before it enters a log.

    `signers` are the hotkeys that may sign. If it is empty, `check_signer` decides; it may read the chain. One of
    the two must be given.

    Raises:
        ValueError: neither is given.
    """

    valid_signature: ValidSignature
    signers: frozenset[str] = frozenset()
    check_signer: Callable[[str], None] | None = None
    kinds: Collection[str] = KINDS

    def __post_init__(self) -> None:
        if not self.signers and self.check_signer is None:
            raise ValueError("an admission needs signers, or a check of them")

    def entry(self, raw: bytes) -> LogEntry:
        """The entry of a document, from its envelope. Raises as `opened`."""
        return self.opened(raw)[1]

    def opened(self, raw: bytes) -> tuple[SignedDocument, LogEntry]:
        """A document and its entry, from its envelope.

        Raises:
            RequestRefused: `too_large`, `malformed`, `unknown_kind`, `unknown_signer` or `bad_signature`.
            ChainUnavailable: it is unknown who may sign.
        """
        if len(raw) > MAX_DOCUMENT_BYTES:
            raise RequestRefused("too_large", f"A document may have at most {MAX_DOCUMENT_BYTES} bytes", status=413)
        try:
            value = strict_json(raw, MAX_DEPTH)
        except NotStrictJson as error:
            raise RequestRefused(
                "malformed", f"This is not a signed document ({error.fault})", status=422
            ) from None
        if not isinstance(value, dict):
            raise RequestRefused("malformed", "This is not a signed document", status=422)
        schema = value.get("schema")
        if not isinstance(schema, str) or schema not in self.kinds:
            raise RequestRefused("unknown_kind", f"This log takes {', '.join(self.kinds)} only", status=422)
        signer = value.get("signer")
        if self.signers and not (isinstance(signer, str) and signer in self.signers):
            raise _unknown_signer()
        document = open_document(
            DocumentKind("document", schema),
            raw,
            valid_signature=self.valid_signature,
            max_bytes=MAX_DOCUMENT_BYTES,
        )
        if not self.signers and self.check_signer is not None:
            try:
                self.check_signer(document.signer)
            except RequestRefused:
                raise _unknown_signer() from None
        return document, entry_of(document)


def any_signer(_hotkey: str) -> None:
    """Let everybody sign, for the `check_signer` of a program that reads a document of its own user."""


def _unknown_signer() -> RequestRefused:
    return RequestRefused("unknown_signer", "This log takes no documents of that signer")
