"""Put a signed document into a log somewhere else. What the log answers counts once it was computed again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from soundsright.core.canonical import canonical_json
from soundsright.core.errors import InfrastructureFault, LogRefused, UsageError, printable
from soundsright.core.ports import Reply
from soundsright.core.strict_json import MAX_DEPTH, NotStrictJson, strict_json
from soundsright.services.log.auditing import LogSource, hashes_of
from soundsright.services.log.entries import MAX_ENTRY_BYTES, LogEntry, open_entry
from soundsright.services.log.heads import open_head
from soundsright.services.log.proofs import SavedProof, proof_of
from soundsright.services.records import ValidSignature

_MAX_REPLY = 100_000
_MAX_OTHERS = 100


class LogWriter(LogSource, Protocol):
    """A log somewhere else that may take documents."""

    def send(self, method: str, path: str, *, body: bytes = b"", max_bytes: int) -> Reply:
        """The reply to one request.

        Raises:
            LogRefused: it is too large, too slow or no HTTP.
            UsageError: nothing answers there.
        """
        ...


@dataclass(frozen=True)
class Placed:
    """The proof that a document is in the log. `is_new` and `others` are what the log says, and not proved.

    `others` are the indexes of other documents of this signer for the same round.
    """

    proof: SavedProof
    is_new: bool
    others: tuple[int, ...]


def append_to(
    log: LogWriter, raw: bytes, entry: LogEntry, *, valid_signature: ValidSignature, hotkey: str | None = None
) -> Placed:
    """Append a signed document, and compute the proof. `hotkey` is the log's, which must have signed the head.

    The same document again gives the same proof, so the call may be repeated.

    Raises:
        UsageError: nothing answers there, or the log does not take the document.
        InfrastructureFault: the log cannot answer now.
        LogRefused: the answer is not a log's, or does not prove that the document is in it.
    """
    answer = _answer(log, log.send("POST", "/entries", body=raw, max_bytes=_MAX_REPLY))
    others = answer.get("others")
    indexes = [each for each in others if type(each) is int] if isinstance(others, list) else []
    proof = _proof(log, entry, answer, hotkey, valid_signature)
    return Placed(proof, answer.get("is_new") is True, tuple(indexes[:_MAX_OTHERS]))


def _answer(log: LogWriter, reply: Reply) -> dict[str, Any]:
    try:
        answer = strict_json(reply.body, MAX_DEPTH)
    except NotStrictJson as error:
        raise LogRefused(f"{log.name} sent no log's answer ({error.fault})") from None
    if not isinstance(answer, dict):
        raise LogRefused(f"{log.name} sent no log's answer")
    if reply.status in (200, 201):
        return answer
    sentence = printable(str(answer.get("sentence", ""))[:300]) or f"it answered {reply.status}"
    if reply.status in (429, 503):
        raise InfrastructureFault(f"{log.name}: {sentence}", "Append it again: the index stays the same.")
    raise UsageError(f"{log.name} does not take the document: {sentence}", "Ask whoever keeps the log.")


def _proof(
    log: LogWriter, entry: LogEntry, answer: dict[str, Any], hotkey: str | None, valid_signature: ValidSignature
) -> SavedProof:
    """The proof in an answer, computed again. The log may have the document with an earlier signature."""
    head = open_head(canonical_json(answer.get("head")).encode(), valid_signature=valid_signature)
    if hotkey is not None and head.log != hotkey:
        raise LogRefused(f"{log.name} gave the head of another log, {head.log}, and not of {hotkey}")
    index = answer.get("index")
    if type(index) is not int or not 0 <= index < head.size:
        raise LogRefused(f"{log.name} gave an index that its head does not have")
    try:
        page = strict_json(log.get(f"/entries?start={index}&end={index + 1}", MAX_ENTRY_BYTES + 10_000), MAX_DEPTH)
        (value,) = page["entries"]
    except (NotStrictJson, TypeError, KeyError, ValueError):
        raise LogRefused(f"{log.name} does not give its entry {index}") from None
    stored = open_entry(value, index, valid_signature=valid_signature)
    if stored.key != entry.key:
        raise LogRefused(f"{log.name} has another document at {index}")
    return proof_of(log.name, stored, index, hashes_of(answer, log.name), head)
