"""Following a log from outside: nothing that it says is believed before it is computed again.

A log is checked from the last head that was seen. The same hotkey must have signed its new head, which must not be
smaller, and a consistency proof must join the two. Every new entry's signature is verified, and the entries
together must give the head's root. Sizes are in bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from soundsright.core.errors import LogRefused, UsageError
from soundsright.core.merkle import MAX_PROOF, is_consistent, is_included
from soundsright.core.strict_json import MAX_DEPTH, NotStrictJson, strict_json
from soundsright.services.log.entries import MAX_ENTRY_BYTES, LogEntry, open_entry
from soundsright.services.log.heads import MAX_HEAD_BYTES, LogHead, counted, open_head
from soundsright.services.log.memory import AuditMemory
from soundsright.services.log.tree_log import MAX_PAGE, MAX_PAGE_BYTES, Equivocation
from soundsright.services.records import ValidSignature

MAX_NEW_BYTES = 16_000_000_000
_MAX_PROOF_BYTES = 20_000
_MAX_PAGE_REPLY = MAX_PAGE_BYTES + MAX_ENTRY_BYTES + 10_000


class LogSource(Protocol):
    """A log or a mirror somewhere else. `name` is its address."""

    @property
    def name(self) -> str: ...
    def get(self, path: str, max_bytes: int) -> bytes:
        """The body of the answer to a GET.

        Raises:
            LogRefused: the answer is a refusal, too large, too slow or no HTTP.
            UsageError: nothing answers there.
        """
        ...


@dataclass(frozen=True)
class AuditReport:
    """A log that passed. `before` is its size at the audit before.

    `found` are the equivocations among the new entries: faults of their signers, and not of the log.
    """

    head: LogHead
    before: int
    found: tuple[Equivocation, ...]


def read_head(source: LogSource, *, valid_signature: ValidSignature, log: str | None = None) -> LogHead:
    """The head of a log. `log` is the hotkey that must have signed it.

    Raises:
        LogRefused: it is not a head, or another log's.
    """
    head = open_head(source.get("/head", MAX_HEAD_BYTES), valid_signature=valid_signature)
    if log is not None and head.log != log:
        raise LogRefused(
            f"{source.name} gave the head of another log, {head.log}, and not of {log}", "Check its address."
        )
    return head


def audit(
    source: LogSource,
    memory: AuditMemory,
    *,
    valid_signature: ValidSignature,
    log: str | None = None,
    keep: Callable[[str], None] = lambda _text: None,
    max_bytes: int = MAX_NEW_BYTES,
) -> AuditReport:
    """Follow a log from where `memory` ends, and move `memory` on to its head. `keep` gets each new entry.

    `max_bytes` is the most that all new entries may have.

    Raises:
        LogRefused: the first thing that is wrong. Then `memory` must not be saved.
        UsageError: nothing answers there, or the new entries have more than `max_bytes`.
    """
    before = memory.head
    expected = log if log is not None or before is None else before.log
    head = read_head(source, valid_signature=valid_signature, log=expected)
    if before is not None:
        _check_growth(source, before, head)
    found: dict[tuple[str, str, str], None] = {}
    last: LogEntry | None = None
    most = memory.bytes + max_bytes
    while memory.edge.size < head.size:
        for entry in _page(source, memory.edge.size, head.size, valid_signature):
            if memory.add(entry) and entry.single is not None:
                found[entry.single] = None
            if memory.bytes > most:
                raise UsageError(
                    f"{source.name} has more than {max_bytes / 1e9:g} GB of new entries",
                    "Give a higher --max-gb if you have the time and the disk for them.",
                )
            keep(entry.text)
            last = entry
    if memory.edge.root() != head.root:
        raise LogRefused(f"{source.name}: the entries do not give the root of the head ({head})")
    if last is not None:
        _check_inclusion(source, last, head)
    memory.head = head
    equivocations = tuple(Equivocation(*key, tuple(memory.single[key])) for key in found)
    return AuditReport(head, 0 if before is None else before.size, equivocations)


def check_same_view(ours: LogHead, source: LogSource, theirs: LogHead, other: LogSource) -> None:
    """Check that two heads of one log are of one history. The longer side must prove it.

    Two signed heads of one size with two roots prove that the log showed two histories. A consistency proof is not
    signed, so a wrong one proves nothing about the log: its server may have made it up.

    Raises:
        LogRefused: they are of different logs, or nothing joins them.
    """
    if ours.log != theirs.log:
        raise LogRefused(
            f"{other.name} gave the head of another log, {theirs.log}, and not of {ours.log}", "Check its address."
        )
    if ours.size == theirs.size:
        if ours.root != theirs.root:
            raise LogRefused(
                f"split view: {ours.log} signed {ours} at {source.name}, and {theirs} at {other.name}",
                "Keep both heads: they prove it.",
                evidence=(ours.envelope, theirs.envelope),
            )
        return
    small, large, where = (ours, theirs, other) if ours.size < theirs.size else (theirs, ours, source)
    _check_joined(where, small, large)


def _check_growth(source: LogSource, before: LogHead, head: LogHead) -> None:
    if head.size < before.size:
        sizes = f"it has {counted(head.size)}, and had {before.size}"
        # The signed times tell a log that lost entries from a server or a wire that gives an old head.
        if head.time_s <= before.time_s:
            raise LogRefused(
                f"{source.name} gave an old head: {sizes} in a head that was not signed before this one",
                "Ask again later. A mirror may lag.",
            )
        raise LogRefused(f"{source.name} was truncated: {sizes}", evidence=(before.envelope, head.envelope))
    if head.size > before.size:
        _check_joined(source, before, head)
    elif head.root != before.root:
        raise LogRefused(
            f"{source.name} was rewritten: its head ({head}) has another root than the one seen before ({before})",
            evidence=(before.envelope, head.envelope),
        )


def _check_joined(source: LogSource, small: LogHead, large: LogHead) -> None:
    """Check that `source` proves that the larger head continues the smaller one.

    Raises:
        LogRefused: it does not. That accuses nobody, because nobody signed the proof.
    """
    if small.size == 0:
        return
    path = f"/proof/consistency?first={small.size}&second={large.size}"
    proof = hashes_of(_object(source, path, _MAX_PROOF_BYTES), source.name)
    if not is_consistent(small.size, small.root, large.size, large.root, proof):
        raise LogRefused(
            f"{source.name} gave no proof that joins two heads of {large.log}: {small}, and {large}",
            "It gave a wrong proof, or the log has two histories. Ask another address of the log.",
        )


def _check_inclusion(source: LogSource, entry: LogEntry, head: LogHead) -> None:
    index = head.size - 1
    path = f"/proof/inclusion?index={index}&size={head.size}"
    proof = hashes_of(_object(source, path, _MAX_PROOF_BYTES), source.name)
    if not is_included(entry.leaf, index, head.size, proof, head.root):
        raise LogRefused(f"{source.name} gave a proof that does not show its entry {index}")


def _page(source: LogSource, start: int, size: int, valid_signature: ValidSignature) -> list[LogEntry]:
    """The next entries, at least one."""
    end = min(size, start + MAX_PAGE)
    values = _object(source, f"/entries?start={start}&end={end}", _MAX_PAGE_REPLY).get("entries")
    if not isinstance(values, list) or not 0 < len(values) <= end - start:
        raise LogRefused(f"{source.name} gave no entries from {start} on, though its head has {size}")
    return [open_entry(value, start + n, valid_signature=valid_signature) for n, value in enumerate(values)]


def _object(source: LogSource, path: str, max_bytes: int) -> dict[str, Any]:
    try:
        value = strict_json(source.get(path, max_bytes), MAX_DEPTH)
    except NotStrictJson as error:
        raise LogRefused(f"{source.name}{path} is not a log's answer ({error.fault})") from None
    if not isinstance(value, dict):
        raise LogRefused(f"{source.name}{path} is not a log's answer")
    return value


def hashes_of(answer: dict[str, Any], name: str) -> tuple[bytes, ...]:
    """The hashes of a proof that a log sent.

    Raises:
        LogRefused: they are no hashes.
    """
    values = answer.get("proof")
    try:
        if not isinstance(values, list) or len(values) > 2 * MAX_PROOF:
            raise ValueError
        return tuple(bytes.fromhex(value) for value in values)
    except (TypeError, ValueError):
        raise LogRefused(f"{name} gave a proof that is not a list of hashes") from None
