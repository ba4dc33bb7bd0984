"""The first valid verdict that this machine saw of each validator and task. It stays, whatever comes later.

A second verdict of one validator on one task, with another digest, is a proof against it. So the digest that was
seen first is a row of the state, and a restart does not change it. A verdict that was certainly absent when its
task's time was over is such a row too, in the stream `federation:absent`: it does not count if it appears later.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from soundsright.core.errors import RecordConflict, UsageError
from soundsright.core.federation import MAX_VIEW_TASKS, Verdict
from soundsright.core.ports import Record, Records
from soundsright.core.ports.tables import MAX_ROWS
from soundsright.core.submission import is_sha256

VERDICTS = "federation:verdicts"
ABSENT = "federation:absent"


@dataclass(frozen=True)
class SeenVerdict:
    """A verdict that was seen, by its digest. `previous` is the verdict before it that it names; empty for none."""

    task: int
    validator: str
    digest: str
    previous: str = ""


class FirstSeen:
    """The verdicts that were seen first. Use one thread; another process may write to the same state.

    Raises:
        StateUnavailable: the state does not answer.
        UsageError: a record is damaged.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._by_place: dict[tuple[int, str], SeenVerdict] = {}
        self._by_digest: dict[str, SeenVerdict] = {}
        self._absent: set[tuple[int, str]] = set()
        self._read_up_to = self._absent_up_to = self._first = 0
        self.refresh()

    def refresh(self) -> None:
        """Read what was recorded since the last time, by this process or by another one.

        Raises:
            StateUnavailable: the state does not answer.
            UsageError: a record is damaged.
        """
        while rows := self._records.read(VERDICTS, after=self._read_up_to, limit=MAX_ROWS):
            for row in rows:
                self._note(_seen(row))
            self._read_up_to = rows[-1].position
        while rows := self._records.read(ABSENT, after=self._absent_up_to, limit=MAX_ROWS):
            self._absent.update(_place(row) for row in rows)
            self._absent_up_to = rows[-1].position
        self._forget_old()

    def _forget_old(self) -> None:
        """Forget in memory what no lookback can have. The state keeps it."""
        first = max((task for task, _ in self._by_place), default=0) - MAX_VIEW_TASKS
        if first > self._first:
            self._first = first
            self._by_place = {place: seen for place, seen in self._by_place.items() if place[0] >= first}
            self._by_digest = {digest: seen for digest, seen in self._by_digest.items() if seen.task >= first}
            self._absent = {place for place in self._absent if place[0] >= first}

    def was_absent(self, task: int, validator: str) -> bool:
        """Whether the verdict was certainly absent once its time was over, as of the last `refresh`."""
        return (task, validator) in self._absent

    def record_absent(self, task: int, validator: str) -> None:
        """Record that the verdict is certainly absent, and its time is over. Raises StateUnavailable."""
        self._records.append(ABSENT, f"{task}-{validator}", {})
        self._absent.add((task, validator))

    def find(self, task: int, validator: str) -> SeenVerdict | None:
        """The verdict that was seen first, as of the last `refresh`; None if none was."""
        return self._by_place.get((task, validator))

    def of_digest(self, digest: str) -> SeenVerdict | None:
        """The verdict of that digest, if it was the first one of its validator and task."""
        return self._by_digest.get(digest)

    def between(self, validator: str, after: int, before: int) -> Iterator[SeenVerdict]:
        """The validator's verdicts on the tasks between the two, without them."""
        return (
            seen for seen in self._by_place.values() if seen.validator == validator and after < seen.task < before
        )

    def record(self, verdict: Verdict, digest: str) -> SeenVerdict:
        """Record a valid verdict, unless another one was seen before. Returns the one that was seen first.

        Raises:
            StateUnavailable: the state does not answer.
            UsageError: a record is damaged.
        """
        key = f"{verdict.task}-{verdict.validator}"
        seen = SeenVerdict(verdict.task, verdict.validator, digest, verdict.previous)
        try:
            self._records.append(VERDICTS, key, {"digest": digest, "previous": verdict.previous})
            self._note(seen)
        except RecordConflict:
            self.refresh()  # Another one was first.
            row = self._records.latest(VERDICTS, key)
            return seen if row is None else _seen(row)
        return self._by_place[verdict.task, verdict.validator]

    def _note(self, seen: SeenVerdict) -> None:
        self._by_place[seen.task, seen.validator] = self._by_digest[seen.digest] = seen


def _seen(row: Record) -> SeenVerdict:
    digest, previous = row.facts.get("digest"), row.facts.get("previous")
    if not (isinstance(digest, str) and is_sha256(digest)):
        raise _damaged(row)
    if not isinstance(previous, str):
        raise _damaged(row)
    return SeenVerdict(*_place(row), digest, previous)


def _place(row: Record) -> tuple[int, str]:
    task, _, validator = row.key.partition("-")
    if not (task.isdigit() and validator):
        raise _damaged(row)
    return int(task), validator


def _damaged(row: Record) -> UsageError:
    return UsageError(
        f"The record {row.position} of {row.stream} is damaged", "Restore the last backup of the state database."
    )
