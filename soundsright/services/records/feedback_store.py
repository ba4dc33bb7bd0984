"""Feedback on disk: a bounded folder of signed documents, and the reading of single files. Sizes are in bytes."""

from __future__ import annotations

import os
import re
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from soundsright.core.errors import InfrastructureFault, RequestRefused, UsageError
from soundsright.services.records.feedback import (
    DOCUMENT_SCHEMA,
    FEEDBACK,
    Feedback,
    SignedFeedback,
    open_feedback,
)
from soundsright.services.records.signed import MAX_ENVELOPE_BYTES, Envelope, ValidSignature, malformed

MAX_KEPT = 2_000
MAX_BYTES = 2_000_000_000
_STORED_NAME = re.compile(r".*_([A-Za-z0-9]{12})_[0-9a-f]{12}\.json")
_VERSIONED = re.compile(r"soundsright\.feedback(?:-envelope)?/([0-9]{1,9})")
_NAME_A_FILE = "Give a file from the folder feedback/."


@dataclass(frozen=True)
class FeedbackFile:
    """A feedback, its text and its file. `soundsright compete` writes unsigned ones."""

    path: Path
    text: str
    feedback: Feedback


@dataclass(frozen=True)
class SignedFeedbackFile(FeedbackFile):
    """A feedback file that a validator signed, and whose signature was verified."""

    envelope: Envelope


@dataclass(frozen=True)
class StoredFeedback:
    """The file of a feedback in the store. `is_new` is False if the store already had it."""

    path: Path
    is_new: bool


class FeedbackStore:
    """A folder with one file per signed feedback. A file is complete or absent.

    The store keeps at most `MAX_KEPT` documents of each validator and `MAX_BYTES` in all. If there is more, it
    deletes the oldest documents of the validator that uses the most space. A validator that sends too much
    displaces only its own documents.
    """

    def __init__(self, folder: Path, *, valid_signature: ValidSignature) -> None:
        self._folder = folder
        self._valid_signature = valid_signature
        self._lock = threading.Lock()

    def keep(self, raw: bytes, signed: SignedFeedback) -> StoredFeedback:
        """Store an envelope that was opened from `raw`.

        Raises:
            InfrastructureFault: the folder cannot be written.
        """
        feedback, envelope = signed.feedback, signed.envelope
        name = f"{feedback.round}_{feedback.competition}_{envelope.validator[:12]}_{envelope.digest[:12]}.json"
        path = self._folder / re.sub(r"[^A-Za-z0-9_.-]", "-", name).lstrip(".")
        try:
            with self._lock:
                self._folder.mkdir(parents=True, exist_ok=True)
                if path.exists():
                    return StoredFeedback(path, is_new=False)
                self._write(path, raw)
                self._delete_oldest()
        except OSError as error:
            raise InfrastructureFault(
                f"{self._folder} cannot be written ({error.strerror})", "Free some disk space."
            ) from error
        return StoredFeedback(path, is_new=True)

    def _write(self, path: Path, raw: bytes) -> None:
        """Write the file and its name to the disk. After the reply, the validator does not send it again."""
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

    def _delete_oldest(self) -> None:
        by_validator: dict[str, deque[tuple[Path, int]]] = {}
        for path in self._files():
            # Other names are files that the user put here: leave them alone.
            if stored := _STORED_NAME.fullmatch(path.name):
                by_validator.setdefault(stored[1], deque()).append((path, path.stat().st_size))
        sizes = {validator: sum(size for _, size in files) for validator, files in by_validator.items()}
        while by_validator:
            largest = max(by_validator, key=lambda v: (len(by_validator[v]) > MAX_KEPT, sizes[v]))
            if len(by_validator[largest]) <= MAX_KEPT and sum(sizes.values()) <= MAX_BYTES:
                return
            path, size = by_validator[largest].popleft()
            path.unlink(missing_ok=True)
            sizes[largest] -= size

    def all(self) -> Iterator[SignedFeedbackFile]:
        """Every stored file that still verifies, oldest first.

        A damaged or foreign file is skipped; `soundsright feedback verify FILE` says what is wrong with it.
        """
        for path in self._files():
            try:
                yield read_feedback(path, valid_signature=self._valid_signature)
            except UsageError:
                continue

    def last(self) -> SignedFeedbackFile | None:
        """The latest file that verifies."""
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


def read_feedback(path: Path, *, valid_signature: ValidSignature) -> SignedFeedbackFile:
    """Read a signed feedback file and verify it.

    Raises:
        UsageError: the file cannot be read, is not feedback, is unsigned, or was changed after it was signed.
    """
    raw, schema = _contents(path)
    if schema == DOCUMENT_SCHEMA:
        raise UsageError(f"{path} is not signed", "Read it with `soundsright feedback show`.")
    return _verified(path, raw, valid_signature)


def read_document(path: Path, *, valid_signature: ValidSignature) -> FeedbackFile:
    """Read a feedback file: verify a signed one, and accept an unsigned one.

    Raises:
        UsageError: the file cannot be read, is not feedback, or was changed after it was signed.
    """
    raw, schema = _contents(path)
    if schema != DOCUMENT_SCHEMA:
        return _verified(path, raw, valid_signature)
    try:
        return FeedbackFile(path, raw.decode(), Feedback.model_validate_json(raw))
    except (ValidationError, UnicodeError) as error:
        sentence = malformed(FEEDBACK, error).sentence
        raise UsageError(f"{path}: {sentence}", "Get the file again, or delete it.") from error


class _Head(BaseModel):
    """The schema that a file names, and the document if it is an envelope."""

    named: Annotated[str, Field(alias="schema", max_length=4_000)]
    document: str = ""


def _contents(path: Path) -> tuple[bytes, str]:
    """A file's bytes and the schema that it names, or "".

    Raises:
        UsageError: the file cannot be read, is too large, or is of a later version.
    """
    try:
        if path.stat().st_size > MAX_ENVELOPE_BYTES:
            raise UsageError(
                f"{path} is larger than {MAX_ENVELOPE_BYTES} bytes, the most that feedback can have", _NAME_A_FILE
            )
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})", _NAME_A_FILE) from error
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


def _verified(path: Path, raw: bytes, valid_signature: ValidSignature) -> SignedFeedbackFile:
    try:
        signed = open_feedback(raw, valid_signature=valid_signature)
    except RequestRefused as refused:
        raise UsageError(
            f"{path}: {refused.sentence}", "Ask the validator for it again, or delete the file."
        ) from refused
    return SignedFeedbackFile(path, signed.envelope.document, signed.feedback, signed.envelope)
