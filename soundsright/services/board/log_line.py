"""The line of a round's page about its place in a log."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from soundsright.core.errors import UsageError
from soundsright.services.log import counted, read_proof


@dataclass(frozen=True)
class LogLine:
    """A round's place in the log at `url`, or why it is not known. `root` has the first 16 digits."""

    url: str = ""
    log: str = ""
    index: int = 0
    entries: str = ""
    root: str = ""
    problem: str = ""


def log_line(folder: Path) -> LogLine | None:
    """The line for a run's folder, or None if it has no proof of a log.

    The proof is computed again. The signature of the head is not verified: the command in the line does that.
    """
    try:
        proof = read_proof(folder, valid_signature=lambda *_signed: True)
    except UsageError as error:
        return LogLine(problem=error.problem)
    if proof is None:
        return None
    head = proof.head
    return LogLine(proof.url, head.log, proof.index, counted(head.size), head.root.hex()[:16])
