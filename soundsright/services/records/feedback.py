"""Feedback: what a validator tells a miner after a round, signed, so that the miner can show it to others later.

An envelope holds the document as the very text that was signed. Scores are in their metrics' units, shares in
percent of the emission. Sizes are in bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from soundsright.core.errors import InfrastructureFault, RequestRefused, UsageError
from soundsright.core.ports import Account

DOCUMENT_SCHEMA = "soundsright.feedback/1"
ENVELOPE_SCHEMA = "soundsright.feedback-envelope/1"
MAX_ENVELOPE_BYTES = 8_000_000
MAX_KEPT = 2_000
MAX_BYTES = 2_000_000_000
MAX_CLIPS = 100_000
_OURS = re.compile(r".*_([A-Za-z0-9]{12})_[0-9a-f]{12}\.json")
_VERSIONED = re.compile(r"soundsright\.feedback(?:-envelope)?/([0-9]{1,9})")

ValidSignature = Callable[[str, bytes, bytes], bool]
"""Whether an address signed a message: (address, message, signature)."""

Name = Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z0-9_.:+-]+$")]
Text = Annotated[str, Field(max_length=4_000)]


class _Wire(BaseModel):
    # Later versions may add fields; those that are here keep their meaning.
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class MeanOverClips(_Wire):
    """A metric's mean over the set with its 95 % interval."""

    mean: float
    low: float
    high: float
    n: int


class ClipFailure(_Wire):
    code: Name
    detail: Text


class ClipScores(_Wire):
    """One clip: scores by metric, or why there are none."""

    id: Name
    scores: dict[Name, float] | None = None
    failure: ClipFailure | None = None


class RunTiming(_Wire):
    load_s: float
    real_time_factor: float | None
    peak_memory_bytes: int


class RefusalTold(_Wire):
    code: Name
    sentence: Text
    remedy: Text = ""
    evidence: dict[Name, Text] = {}


class FlagTold(_Wire):
    """A sign that the entry was tuned to a measure: the value, and the limit that it passed."""

    code: Name
    sentence: Text
    value: float
    limit: float


class Result(_Wire):
    """What another entry came to: the best one, or a metric's winner."""

    entry: Text
    hotkey: Name | None = None
    model: Text | None = None
    rank: int | None
    share: float
    metrics: dict[Name, MeanOverClips]
    failures: dict[Name, int] = {}
    timing: RunTiming | None = None


class Feedback(_Wire):
    """What a miner is told of one round."""

    document_schema: Annotated[Literal["soundsright.feedback/1"], Field(alias="schema")]
    round: Name
    competition: Name
    seed: int
    set_digest: Name
    hotkey: Name
    uid: int | None
    entry: Text | None = None
    model: Text | None = None
    block: int | None = None
    refusal: RefusalTold | None = None
    rank: int | None = None
    ranks: dict[Name, tuple[int, int]] = {}
    share: float = 0.0
    metrics: dict[Name, MeanOverClips] = {}
    needed: dict[Name, float] = {}
    reasons: dict[Name, Text] = {}
    failures: dict[Name, int] = {}
    flags: list[FlagTold] = []
    log: Annotated[str, Field(max_length=MAX_ENVELOPE_BYTES)] = ""
    timing: RunTiming | None = None
    unprocessed: dict[Name, MeanOverClips] = {}
    best: Result | None = None
    winners: dict[Name, Result] = {}
    decisions: dict[Name, Text] = {}
    clips: Annotated[list[ClipScores], Field(max_length=MAX_CLIPS)] = []


class _Head(_Wire):
    named: Annotated[Text, Field(alias="schema")]
    document: str = ""


class Envelope(_Wire):
    """A document with its signature."""

    envelope_schema: Annotated[Literal["soundsright.feedback-envelope/1"], Field(alias="schema")]
    validator: Name
    signature: Annotated[str, Field(pattern=r"^0x[0-9a-f]{128}$")]
    document: Annotated[str, Field(max_length=MAX_ENVELOPE_BYTES)]

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.document.encode()).hexdigest()


def signed_message(document: str) -> bytes:
    """What a validator signs: the schema's name and the document's SHA-256. No signed request has this form."""
    return f"{DOCUMENT_SCHEMA}\n{hashlib.sha256(document.encode()).hexdigest()}".encode()


def envelope_of(document: Mapping[str, Any], account: Account) -> str:
    """The document signed, as JSON."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return json.dumps(
        {
            "schema": ENVELOPE_SCHEMA,
            "validator": account.address,
            "signature": "0x" + account.sign(signed_message(text)).hex(),
            "document": text,
        }
    )


def opened(raw: bytes, *, valid_signature: ValidSignature) -> tuple[Envelope, Feedback]:
    """The envelope and its document, verified.

    Raises:
        RequestRefused: `malformed` or `bad_signature`.
    """
    try:
        envelope = Envelope.model_validate_json(raw)
        if not valid_signature(
            envelope.validator, signed_message(envelope.document), bytes.fromhex(envelope.signature[2:])
        ):
            raise RequestRefused("bad_signature", "The document's signature is not the validator's")
        return envelope, Feedback.model_validate_json(envelope.document)
    except (ValidationError, UnicodeError) as error:
        raise RequestRefused("malformed", _malformed(error), status=422) from None


def _malformed(error: ValidationError | UnicodeError) -> str:
    place = "no text"
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        place = f"{'.'.join(map(str, first['loc']))[:100]}: {first['msg'][:200]}"
    return f"Not a feedback of version 1 ({place})"


@dataclass(frozen=True)
class FeedbackFile:
    """A feedback, its text and its file. But for `Kept`, nobody signed it: `soundsright compete` wrote it."""

    path: Path
    text: str
    feedback: Feedback


@dataclass(frozen=True)
class Kept(FeedbackFile):
    """A feedback whose text a validator signed."""

    envelope: Envelope


class FeedbackStore:
    """Feedback in a folder, one file each, complete or not there.

    Of more than `MAX_KEPT` of one validator its oldest go; of more than `MAX_BYTES` in all, the oldest of the one
    that has the most. So whoever sends much pushes out its own.
    """

    def __init__(self, folder: Path, *, valid_signature: ValidSignature) -> None:
        self._folder = folder
        self._valid_signature = valid_signature
        self._lock = threading.Lock()

    def keep(self, raw: bytes, envelope: Envelope, feedback: Feedback) -> tuple[Path, bool]:
        """Store it; the file, and whether it is new.

        Raises:
            InfrastructureFault: the folder cannot be written.
        """
        name = f"{feedback.round}_{feedback.competition}_{envelope.validator[:12]}_{envelope.digest[:12]}.json"
        path = self._folder / re.sub(r"[^A-Za-z0-9_.-]", "-", name).lstrip(".")
        try:
            with self._lock:
                self._folder.mkdir(parents=True, exist_ok=True)
                if path.exists():
                    return path, False
                self._write(path, raw)
                self._forget_oldest()
        except OSError as error:
            raise InfrastructureFault(
                f"{self._folder} cannot be written ({error.strerror})", "Free some disk space."
            ) from error
        return path, True

    def _write(self, path: Path, raw: bytes) -> None:
        """On the disk with its name before the validator is told so: it does not send it again."""
        partial = path.with_name(f".{path.name}.{os.getpid()}.part")
        with partial.open("wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _forget_oldest(self) -> None:
        of_one: dict[str, deque[tuple[Path, int]]] = {}
        for path in self._files():
            if ours := _OURS.fullmatch(path.name):  # Not what the user put beside them.
                of_one.setdefault(ours[1], deque()).append((path, path.stat().st_size))
        held = {validator: sum(size for _, size in files) for validator, files in of_one.items()}
        while of_one:
            most = max(of_one, key=lambda validator: (len(of_one[validator]) > MAX_KEPT, held[validator]))
            if len(of_one[most]) <= MAX_KEPT and sum(held.values()) <= MAX_BYTES:
                return
            path, size = of_one[most].popleft()
            path.unlink(missing_ok=True)
            held[most] -= size

    def all(self) -> Iterator[Kept]:
        """Everything stored that still verifies, oldest first."""
        for path in self._files():
            try:
                yield read_feedback(path, valid_signature=self._valid_signature)
            except UsageError:
                continue  # Somebody's own file, or a damaged one: `soundsright feedback verify FILE` says which.

    def last(self) -> Kept | None:
        """The latest one that verifies."""
        for path in reversed(self._files()):
            try:
                return read_feedback(path, valid_signature=self._valid_signature)
            except UsageError:
                continue
        return None

    def _files(self) -> list[Path]:
        if not self._folder.is_dir():
            return []
        return sorted(self._folder.glob("[!.]*.json"), key=lambda path: (path.stat().st_mtime_ns, path.name))


def read_feedback(path: Path, *, valid_signature: ValidSignature) -> Kept:
    """A stored file, verified anew.

    Raises:
        UsageError: it cannot be read, is no feedback, is not signed, or was changed after it was signed.
    """
    raw, schema = _contents(path)
    if schema == DOCUMENT_SCHEMA:
        raise UsageError(f"{path} is not signed", "Read it with `soundsright feedback show`.")
    return _verified(path, raw, valid_signature)


def read_document(path: Path, *, valid_signature: ValidSignature) -> FeedbackFile:
    """A stored file, verified anew, or a document that nobody signed.

    Raises:
        UsageError: it cannot be read, is no feedback, or was changed after it was signed.
    """
    raw, schema = _contents(path)
    if schema != DOCUMENT_SCHEMA:
        return _verified(path, raw, valid_signature)
    try:
        return FeedbackFile(path, raw.decode(), Feedback.model_validate_json(raw))
    except (ValidationError, UnicodeError) as error:
        raise UsageError(f"{path}: {_malformed(error)}", "Ask for it anew, or remove the file.") from error


def _contents(path: Path) -> tuple[bytes, str]:
    """A file's bytes, and the schema that it names, if any. Refused where it is of a later version."""
    try:
        if path.stat().st_size > MAX_ENVELOPE_BYTES:
            raise UsageError(f"{path} is larger than any feedback", "Name a file below feedback/.")
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})", "Name a file below feedback/.") from error
    head = _head(raw)
    for schema in (head.named, _head(head.document).named):
        version = _VERSIONED.fullmatch(schema)
        if version is not None and int(version[1]) > 1:
            raise UsageError(f"{path} is of a later version ({schema})", "Update soundsright.")
    return raw, head.named


def _head(raw: str | bytes) -> _Head:
    try:
        return _Head.model_validate_json(raw)
    except (ValidationError, UnicodeError):
        return _Head.model_validate({"schema": ""})


def _verified(path: Path, raw: bytes, valid_signature: ValidSignature) -> Kept:
    try:
        envelope, feedback = opened(raw, valid_signature=valid_signature)
    except RequestRefused as refused:
        raise UsageError(f"{path}: {refused.sentence}", "Ask the validator, or remove the file.") from refused
    return Kept(path, envelope.document, feedback, envelope)
