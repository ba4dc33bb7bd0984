"""The verdicts of peers: read from their buckets, checked, and kept, so that each is fetched once.

Nothing that a bucket serves is believed before its signature is. The first valid verdict of a validator on a task
stays. Another signed one proves that the validator equivocates, and both are kept as evidence. An object that
cannot be read is unknown, never absent. Blocks are counted.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from soundsright.core.errors import RequestRefused
from soundsright.core.federation import Verdict
from soundsright.services.federation.bucket_reader import Absent, Answer, BucketReader, ObjectOf, TooLarge, Unknown
from soundsright.services.federation.contents import Contents
from soundsright.services.federation.equivocation import are_of_one_task
from soundsright.services.federation.first_seen import FirstSeen
from soundsright.services.federation.object_keys import verdict_key
from soundsright.services.federation.verdict import (
    MAX_VERDICT_BYTES,
    SignedVerdict,
    TaskFacts,
    check_verdict,
    open_verdict,
)
from soundsright.services.records import ValidSignature

KEPT_IN_MEMORY = 256
"""So many verdicts are kept as they were read, those used last."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """A valid verdict and its digest."""

    verdict: Verdict
    digest: str


@dataclass(frozen=True)
class Refused:
    """An object that is no valid verdict of its task, and why. It counts for nobody."""

    code: str
    sentence: str


ReadVerdict = Found | Absent | Unknown | Refused


@dataclass(frozen=True)
class Equivocation:
    """Two different verdicts that one validator signed on one task, by their digests."""

    task: int
    validator: str
    first: str
    second: str


class VerdictReader:
    """Reads verdicts through `reader`, and keeps those that are valid in `contents` and `seen`. Use one thread."""

    def __init__(
        self, reader: BucketReader, contents: Contents, seen: FirstSeen, *, valid_signature: ValidSignature
    ) -> None:
        self._reader = reader
        self._contents = contents
        self._seen = seen
        self._valid_signature = valid_signature
        self._opened: OrderedDict[str, Found] = OrderedDict()
        self._equivocations: dict[tuple[int, str], Equivocation] = {}
        self._refused: dict[ObjectOf, Refused] = {}

    @property
    def equivocations(self) -> tuple[Equivocation, ...]:
        """The equivocations that this reader met. Both verdicts of each are in `contents`."""
        return tuple(self._equivocations.values())

    def read(
        self, wanted: Iterable[tuple[TaskFacts, str]], *, finalized: int
    ) -> Mapping[tuple[int, str], ReadVerdict]:
        """The verdict of each validator on its task. `finalized` is the last final block.

        A verdict that was read before is not asked for again. An absent one is, until it is certainly absent in a
        final block from which on no new verdict is listed. Then it stays absent, also after a restart.

        Raises:
            InfrastructureFault: this machine's disk or state fails.
            UsageError: a record of the state is damaged.
        """
        self._seen.refresh()
        results: dict[tuple[int, str], ReadVerdict] = {}
        new: dict[ObjectOf, tuple[TaskFacts, str]] = {}
        for known, validator in wanted:
            kept = self.kept(known.task, validator)
            if kept is not None:
                results[known.task, validator] = kept
            elif self._seen.was_absent(known.task, validator):
                results[known.task, validator] = Absent()
            else:
                new[_object(known.task, validator)] = (known, validator)
        for item, answer in self._reader.each(new):
            known, validator = new[item]
            results[known.task, validator] = self._result(item, answer, known, validator, finalized)
            if isinstance(answer, Absent) and finalized >= known.late_block:
                self._seen.record_absent(known.task, validator)
        return results

    def refresh(self) -> None:
        """Learn which verdicts another process has read. Raises as `read`."""
        self._seen.refresh()

    def kept(self, task: int, validator: str) -> Found | None:
        """The first valid verdict of a validator on a task, if it is on this machine. Raises as `read`."""
        seen = self._seen.find(task, validator)
        return None if seen is None else self.of_digest(seen.digest)

    def first_digest(self, task: int, validator: str) -> str | None:
        """The digest of the first valid verdict that was seen here; None if none was."""
        seen = self._seen.find(task, validator)
        return None if seen is None else seen.digest

    def of_digest(self, digest: str) -> Found | None:
        """The verdict of that digest, if it is on this machine. It may be any that was signed. Raises as `read`."""
        if digest in self._opened:
            self._opened.move_to_end(digest)
            return self._opened[digest]
        raw = self._contents.get(digest)
        if raw is None:
            return None
        try:
            signed = open_verdict(raw, valid_signature=self._valid_signature)
        except RequestRefused:
            return None  # It is another document.
        return self._remembered(Found(signed.verdict, digest))

    def take(self, raw: bytes) -> SignedVerdict:
        """Keep a signed verdict that came from elsewhere, such as a mirror. It is not held against its task.

        If another verdict of the validator on the task was seen first, the two are an equivocation.

        Raises:
            RequestRefused: it is not a signed verdict.
            InfrastructureFault: this machine's disk or state fails.
        """
        signed = open_verdict(raw, valid_signature=self._valid_signature)
        self._contents.put(signed.digest, raw)
        self._compare(signed)
        self._remembered(Found(signed.verdict, signed.digest))
        return signed

    def _result(
        self, item: ObjectOf, answer: Answer, known: TaskFacts, validator: str, finalized: int
    ) -> ReadVerdict:
        if isinstance(answer, Unknown):
            return self._refused.get(item, answer)
        self._refused.pop(item, None)
        if isinstance(answer, Absent):
            return answer
        try:
            if isinstance(answer, TooLarge):
                raise RequestRefused("too_large", f"A verdict has at most {MAX_VERDICT_BYTES} bytes", status=413)
            return self._checked(answer, known, validator, finalized)
        except RequestRefused as refused:
            result = Refused(refused.code, refused.sentence)
            if refused.code != "from_future":
                self._reader.refuse(item)
                self._refused[item] = result
            facts = {"action": "verdict_refused", "task": known.task, "peer": validator, "reason": refused.code}
            _log.warning("a verdict is refused", extra=facts)
            return result

    def _checked(self, raw: bytes, known: TaskFacts, validator: str, finalized: int) -> Found:
        signed = open_verdict(raw, valid_signature=self._valid_signature)
        if (signed.verdict.task, signed.verdict.validator) == (known.task, validator):
            self._compare(signed)
        check_verdict(signed.verdict, known, validator=validator, finalized=finalized)
        self._note_previous(signed.verdict)
        self._contents.put(signed.digest, raw)
        if self._seen.record(signed.verdict, signed.digest).digest != signed.digest:
            self._compare(signed)
            raise RequestRefused("equivocation", f"{validator} signed another verdict on task {known.task} before")
        return self._remembered(Found(signed.verdict, signed.digest))

    def _note_previous(self, verdict: Verdict) -> None:
        """Log a verdict that leaves out one before it, as far as this machine has seen them.

        It stays valid: another validator may have seen other verdicts, and all must find the same ones valid.
        """
        after = -1
        if verdict.previous:
            before = self._seen.of_digest(verdict.previous)
            if before is None:
                return
            after = before.task if before.validator == verdict.validator else verdict.task
        skipped = next(self._seen.between(verdict.validator, after, verdict.task), None)
        if skipped is not None or after >= verdict.task:
            facts = {"action": "broken_chain", "task": verdict.task, "peer": verdict.validator}
            _log.warning("a verdict leaves out one before it, or names a wrong one", extra=facts)

    def _compare(self, signed: SignedVerdict) -> None:
        """Keep both verdicts if the validator signed another one on the task that was seen first."""
        place = (signed.verdict.task, signed.verdict.validator)
        first = self._seen.find(*place)
        if first is None or first.digest == signed.digest:
            return
        before = self.of_digest(first.digest)
        if before is not None and not are_of_one_task(before.verdict, signed.verdict):
            return  # It is one of another federation.
        self._contents.put(signed.digest, signed.raw)
        if place not in self._equivocations:
            self._equivocations[place] = Equivocation(*place, first.digest, signed.digest)
            facts = {"action": "equivocation", "task": place[0], "peer": place[1]}
            _log.warning("a validator signed two verdicts on one task", extra=facts)

    def _remembered(self, found: Found) -> Found:
        self._opened[found.digest] = found
        self._opened.move_to_end(found.digest)
        while len(self._opened) > KEPT_IN_MEMORY:
            self._opened.popitem(last=False)
        return found


def verdict_objects(wanted: Iterable[tuple[int, str]]) -> Iterator[ObjectOf]:
    """The objects in which validators publish their verdicts on tasks."""
    return (_object(task, validator) for task, validator in wanted)


def _object(task: int, validator: str) -> ObjectOf:
    return ObjectOf(validator, verdict_key(task, validator), MAX_VERDICT_BYTES)
