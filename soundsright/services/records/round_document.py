"""The round document: one signed text that says what a round was and what it decided.

The document has the digests of everything else: of each file beside it, of each clip and answer through Merkle
roots, and of the entries' models. It is canonical JSON, so one content has one text and one SHA-256. Validators
sign it with their hotkey. A run without a key has the same document unsigned.

Scores are in their metric's unit, shares in percent of the emission. Roots are those of RFC 9162.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StringConstraints, ValidationError

from soundsright.core.canonical import canonical_json
from soundsright.core.competition import MAX_COMPETITIONS
from soundsright.core.errors import BundleRefused, RequestRefused
from soundsright.core.ports import Account
from soundsright.core.strict_json import NotStrictJson, strict_json
from soundsright.services.records.fields import LongText, Number, SafeName, ShortText, Size, Whole, first_fault
from soundsright.services.records.signed import (
    MAX_SIGNED_BYTES,
    DocumentKind,
    Envelope,
    ValidSignature,
    open_document,
    sign_document,
)

ROUND = DocumentKind("round document", "soundsright.round/1")
MAX_ROUND_BYTES = MAX_SIGNED_BYTES
_MAX_ENTRIES = 4096

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""Hex SHA-256."""
Evidence = dict[ShortText, bool | Whole | FiniteFloat | LongText | None]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RoundFacts(_Part):
    """The round's id and its blocks."""

    id: SafeName
    entries_close_block: Whole
    seed_block: Whole
    seed_block_hash: ShortText


class RulesetFacts(_Part):
    """The ruleset's name, and the digest of its numbers."""

    name: ShortText
    digest: Sha256


class EntryFacts(_Part):
    """One entry. `entry` is its id, `reference` the full name of its source, `block` that of its commitment.

    `content_hash` is that of the fetched model, and `tensors` the SHA-256 of the sketch of its tensors. `image` is
    the digest of the content of the image that was built, or the full name of one that was pulled by its digest.
    `image_reproducible` says of a built one whether another build gives the same. Each is None if it is not
    recorded. `answers_root` is over its answers in the order of the clips, of which there are `answers_count`, and
    `scores_root` over its lines of scores.jsonl. Both are None if it has none.
    """

    entry: ShortText
    hotkey: ShortText
    uid: Annotated[int, Field(ge=0, le=65_535)]
    competition: SafeName
    reference: ShortText
    block: Whole
    content_hash: ShortText | None
    tensors: Sha256 | None
    image: ShortText | None
    image_reproducible: bool | None
    answers_root: Sha256 | None
    answers_count: Annotated[int, Field(ge=0, le=1_000_000)]
    scores_root: Sha256 | None


class SetFacts(_Part):
    """One competition's set. `set_digest` is that of its samples, `recipes_digest` that of its recipes.

    `clips_root` is over the lines of clips.jsonl, in the order of the clips. `unprocessed_root` is over the scores
    of the input itself.
    """

    id: SafeName
    seed: Annotated[int, Field(ge=0, lt=2**64)]
    clips: Annotated[int, Field(ge=0, le=1_000_000)]
    set_digest: Sha256
    recipes_digest: Sha256
    clips_root: Sha256
    unprocessed_root: Sha256 | None


class RefusalFacts(_Part):
    """An entry that was refused. `competition` is None if the refusal does not depend on one."""

    hotkey: ShortText
    uid: int | None
    competition: SafeName | None
    entry: ShortText
    code: ShortText
    sentence: ShortText
    evidence: dict[ShortText, ShortText]


class DecisionFacts(_Part):
    """The winner of one metric's prize, a hotkey or None, with the statistics behind it."""

    competition: SafeName
    metric: SafeName
    winner: ShortText | None
    evidence: Evidence


class FileFacts(_Part):
    """The digest and the size of a file beside the document."""

    sha256: Sha256
    bytes: Size


class RoundDocument(_Part):
    """Everything that a round was and decided, by digest where it is large.

    `plan` is the SHA-256 of the plan's facts as canonical JSON, `snapshot` that of the registrations when entries
    closed (`snapshot_facts`). `shares` are by competition and hotkey, `weights` by uid. `versions` are those of the
    programs that measured. `files` are the files beside the document, without audio.
    """

    schema_: Literal["soundsright.round/1"] = Field(alias="schema")
    round: RoundFacts
    ruleset: RulesetFacts
    plan: Sha256
    snapshot: Sha256 | None
    entries: Annotated[tuple[EntryFacts, ...], Field(max_length=_MAX_ENTRIES)]
    competitions: Annotated[tuple[SetFacts, ...], Field(max_length=MAX_COMPETITIONS)]
    refusals: Annotated[tuple[RefusalFacts, ...], Field(max_length=2 * _MAX_ENTRIES)]
    decisions: Annotated[tuple[DecisionFacts, ...], Field(max_length=_MAX_ENTRIES)]
    shares: dict[SafeName, dict[ShortText, Number]]
    weights: dict[Annotated[str, StringConstraints(pattern=r"^[0-9]{1,5}$")], Number]
    versions: dict[ShortText, ShortText]
    files: dict[Annotated[str, StringConstraints(max_length=200)], FileFacts]

    def facts(self) -> dict[str, Any]:
        """The document as JSON values."""
        return self.model_dump(mode="json", by_alias=True)


@dataclass(frozen=True)
class OpenedRound:
    """A round document that was read. `envelope` is None if it is unsigned. `sha256` is that of `text`."""

    document: RoundDocument
    text: str
    sha256: str
    envelope: Envelope | None

    @property
    def signer(self) -> str | None:
        """The address that is said to have signed it, or None."""
        return None if self.envelope is None else self.envelope.signer


def round_file(document: RoundDocument, account: Account | None) -> str:
    """The text of round.json: the document in its signed envelope, or unsigned if there is no account."""
    facts = document.facts()
    if account is not None:
        return sign_document(ROUND, facts, account) + "\n"
    return json.dumps({"schema": ROUND.schema, "document": canonical_json(facts)}) + "\n"


def read_round(raw: bytes, valid_signature: ValidSignature | None = None) -> OpenedRound:
    """The document in the bytes of a round.json. Without `valid_signature`, a signature is not verified.

    Raises:
        BundleRefused: it is something else, of a newer schema, or its signature is wrong.
    """
    values = _object(raw, "round.json")
    schema = values.get("schema")
    if schema != ROUND.schema:
        newer = isinstance(schema, str) and schema.startswith("soundsright.round/")
        raise BundleRefused(
            f"round.json is of schema {str(schema)[:60]}, and this program reads {ROUND.schema}",
            "Update soundsright." if newer else "Give a bundle of a round.",
        )
    if "signature" not in values and "signer" not in values:
        return _unsigned(values)
    try:
        signed = open_document(
            ROUND, raw, valid_signature=valid_signature or (lambda *_: True), max_bytes=MAX_ROUND_BYTES
        )
    except RequestRefused as error:
        raise BundleRefused(f"round.json: {error.sentence}") from error
    envelope = signed.envelope
    return OpenedRound(_document(signed.facts), envelope.document, envelope.digest, envelope)


def _unsigned(values: dict[str, Any]) -> OpenedRound:
    text = values.get("document")
    if not isinstance(text, str) or values.keys() != {"schema", "document"}:
        raise BundleRefused("round.json is neither a signed nor an unsigned round document")
    facts = _object(text.encode("utf-8", "replace"), "round.json")
    if canonical_json(facts) != text:
        raise BundleRefused("round.json: its JSON is not canonical")
    return OpenedRound(_document(facts), text, hashlib.sha256(text.encode()).hexdigest(), None)


def _object(raw: bytes, name: str) -> dict[str, Any]:
    if len(raw) > MAX_ROUND_BYTES:
        raise BundleRefused(f"{name} has more than {MAX_ROUND_BYTES} bytes")
    try:
        values = strict_json(raw)
    except NotStrictJson as error:
        raise BundleRefused(f"{name} cannot be read: {error.fault}") from None
    if not isinstance(values, dict):
        raise BundleRefused(f"{name} is not a JSON object")
    return values


def _document(facts: Any) -> RoundDocument:
    try:
        return RoundDocument.model_validate(facts)
    except ValidationError as error:
        raise BundleRefused(f"round.json: {first_fault(error)}") from None
