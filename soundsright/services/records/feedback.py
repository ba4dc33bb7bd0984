"""Feedback: the document that a validator signs and sends to each miner after a round.

Scores are in their metric's unit, shares in percent of the emission, times in seconds, sizes in bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from soundsright.core.ports import Account
from soundsright.services.records.fields import shortened
from soundsright.services.records.results import EstimateDoc, TimingDoc
from soundsright.services.records.signed import (
    MAX_ENVELOPE_BYTES,
    DocumentKind,
    Envelope,
    ValidSignature,
    malformed,
    open_envelope,
    sign_document,
)

DOCUMENT_SCHEMA = "soundsright.feedback/1"
FEEDBACK = DocumentKind("feedback", DOCUMENT_SCHEMA, "soundsright.feedback-envelope/1")
MAX_CLIPS = 100_000
MAX_TEXT_CHARS = 4_000

WireName = Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z0-9_.:+-]+$")]
WireText = Annotated[str, Field(max_length=MAX_TEXT_CHARS)]


def feedback_text(text: str) -> str:
    """Text that fits into a feedback document: miners refuse a document with longer text."""
    return shortened(text, MAX_TEXT_CHARS)


class _Wire(BaseModel):
    # Later versions may add fields. The fields listed here keep their meaning.
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class ClipFailure(_Wire):
    """Why a clip has no scores."""

    code: WireName
    detail: WireText


class ClipScores(_Wire):
    """One clip: scores by metric, or the failure."""

    id: WireName
    scores: dict[WireName, float] | None = None
    failure: ClipFailure | None = None


class FeedbackRefusal(_Wire):
    """Why the entry was refused, and what to do about it."""

    entry: WireText | None = None
    hotkey: WireName | None = None
    uid: int | None = None
    code: WireName
    sentence: WireText
    remedy: WireText = ""
    evidence: dict[WireName, WireText] = {}


class FeedbackFlag(_Wire):
    """A sign that the entry was tuned to a metric: the value, and the limit that it passed."""

    code: WireName
    sentence: WireText
    value: float
    limit: float


class OtherEntry(_Wire):
    """The result of another entry: the best one, or the winner of a metric."""

    rank: int | None
    entry: WireText
    hotkey: WireName | None = None
    uid: int | None = None
    model: WireText | None = None
    block: int | None = None
    ranks: dict[WireName, tuple[int, int]] = {}
    share: float
    metrics: dict[WireName, EstimateDoc]
    clips: int = 0
    failures: dict[WireName, int] = {}
    flags: list[FeedbackFlag] = []
    timing: TimingDoc | None = None


class Feedback(_Wire):
    """A miner's result in one round, with everything that helps to improve the model."""

    model_config = ConfigDict(populate_by_name=True)

    document_schema: Annotated[Literal["soundsright.feedback/1"], Field(alias="schema")]
    round: WireName
    competition: WireName
    seed: int
    set_digest: WireName
    unprocessed: dict[WireName, EstimateDoc] = {}
    best: OtherEntry | None = None
    winners: dict[WireName, OtherEntry] = {}
    decisions: dict[WireName, WireText] = {}
    remarks: Annotated[list[WireText], Field(max_length=16)] = []
    hotkey: WireName
    uid: int | None
    refusal: FeedbackRefusal | None = None
    rank: int | None = None
    entry: WireText | None = None
    model: WireText | None = None
    block: int | None = None
    ranks: dict[WireName, tuple[int, int]] = {}
    share: float = 0.0
    metrics: dict[WireName, EstimateDoc] = {}
    clips: Annotated[list[ClipScores], Field(max_length=MAX_CLIPS)] = []
    failures: dict[WireName, int] = {}
    flags: list[FeedbackFlag] = []
    timing: TimingDoc | None = None
    needed: dict[WireName, float] = {}
    reasons: dict[WireName, WireText] = {}
    log: Annotated[str, Field(max_length=MAX_ENVELOPE_BYTES)] = ""

    def as_json(self) -> dict[str, Any]:
        """The document as JSON values. It has exactly the fields that were set or read."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


@dataclass(frozen=True)
class SignedFeedback:
    """A feedback document and the envelope that it came in."""

    envelope: Envelope
    feedback: Feedback


def sign_feedback(document: Mapping[str, Any], account: Account) -> str:
    """The feedback document in a signed envelope, as JSON."""
    return sign_document(FEEDBACK, document, account)


def open_feedback(raw: bytes, *, valid_signature: ValidSignature) -> SignedFeedback:
    """Verify an envelope and parse the feedback in it.

    Raises:
        RequestRefused: `malformed` or `bad_signature`.
    """
    envelope = open_envelope(FEEDBACK, raw, valid_signature=valid_signature)
    try:
        return SignedFeedback(envelope, Feedback.model_validate_json(envelope.document))
    except (ValidationError, UnicodeError) as error:
        raise malformed(FEEDBACK, error) from None
