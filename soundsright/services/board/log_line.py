"""The line of a round's page about its place in a log."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from soundsright.core.errors import UsageError
from soundsright.services.log import MAX_DOCUMENT_BYTES, SavedProof, check_proof, counted, read_proof
from soundsright.services.records import RECORD, ValidSignature, is_plain_file

_NO_RECORD = "log.json proves nothing about this round, because its folder has no signed record."


@dataclass(frozen=True)
class LogLine:
    """A round's place in the log at `url`, or why it is not known. `root` has the first 16 digits.

    `note` says what was not checked.
    """

    url: str = ""
    log: str = ""
    index: int = 0
    entries: str = ""
    root: str = ""
    note: str = ""
    problem: str = ""


def log_line(folder: Path, valid_signature: ValidSignature | None, log: str | None = None) -> LogLine | None:
    """The line for a run's folder, or None if it has no proof of a log.

    The proof is computed again, for the record in the folder. `log` is the hotkey of the log that counts, if it is
    known. Without `valid_signature`, the signatures of the log and of the record are not verified.
    """
    verify = valid_signature or (lambda *_signed: True)
    try:
        proof = read_proof(folder, valid_signature=verify)
        if proof is None:
            return None
        raw = _record(folder)
        if raw is None:
            return LogLine(problem=_NO_RECORD)
        check_proof(proof, raw, valid_signature=verify, log=log)
    except UsageError as error:
        return LogLine(problem=error.problem)
    return _shown(proof, is_verified=valid_signature is not None, is_known=log is not None)


def _record(folder: Path) -> bytes | None:
    """The bytes of the record's document; None if the folder has none.

    Raises:
        UsageError: it cannot be read.
    """
    path = folder / RECORD / "round.json"
    if not is_plain_file(path):
        return None
    try:
        with path.open("rb") as file:
            return file.read(MAX_DOCUMENT_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})", "Load the page again.") from error


def _shown(proof: SavedProof, *, is_verified: bool, is_known: bool) -> LogLine:
    note = ""
    if not is_verified:
        note = "The signatures of the log and of the record were not checked here."
    elif not is_known:
        note = "The log's signature is right. Anyone can keep a log, so look at whose it is."
    head = proof.head
    return LogLine(proof.url, head.log, proof.index, counted(head.size), head.root.hex()[:16], note)
