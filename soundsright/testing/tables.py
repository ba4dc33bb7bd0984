"""Records, counters and accounts in memory. They behave like the SQL adapters; facts pass through JSON."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from soundsright.core.errors import BalanceTooLow, RecordConflict, UsageError
from soundsright.core.ports import AccountEvent, NewRecord, Record
from soundsright.core.ports.tables import (
    MARKS_KEPT,
    MAX_COUNT,
    MAX_RAO,
    canonical_facts,
    check_page,
    checked_amount,
    checked_deltas,
    checked_name,
)

Counts = Mapping[str, Mapping[str, int]]


class MemoryRecords:
    """The `Records` port in memory."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], tuple[int, str]] = {}

    def append(self, stream: str, key: str, facts: Mapping[str, Any]) -> Record:
        return self.append_new(NewRecord(stream, key, facts))[0]

    def append_new(self, new: NewRecord) -> tuple[Record, bool]:
        """The row with these facts, and whether this call wrote it."""
        facts, name = canonical_facts(new.facts), (new.stream, new.key)
        is_new = name not in self._rows
        position, recorded = self._rows.setdefault(name, (len(self._rows) + 1, facts))
        if recorded != facts:
            raise RecordConflict("/".join(name), f"other facts are recorded at {position}")
        return Record(position, *name, json.loads(facts)), is_new

    def is_taken(self, new: NewRecord) -> bool:
        return (new.stream, new.key) in self._rows

    def read(self, stream: str, *, after: int = 0, limit: int = 100) -> tuple[Record, ...]:
        check_page(after, limit)
        return tuple(row for row in self._all(stream) if row.position > after)[:limit]

    def latest(self, stream: str, key: str | None = None) -> Record | None:
        rows = [row for row in self._all(stream) if key in (None, row.key)]
        return rows[-1] if rows else None

    def close(self) -> None:
        pass

    def _all(self, stream: str) -> list[Record]:
        return [
            Record(position, own, key, json.loads(facts))
            for (own, key), (position, facts) in self._rows.items()
            if own == stream
        ]


class MemoryCounters:
    """The `Counters` port in memory."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[str, int]] = {}
        self._marks: dict[tuple[str, str], int] = {}
        self._closed: dict[str, str | None] = {}

    def add(self, scope: str, deltas: Mapping[str, int], *, once: str | None = None) -> bool:
        checked_name(scope, "scope")
        added = checked_deltas(deltas)
        if once is not None and (scope, checked_name(once, "mark")) in self._marks:
            return False
        own = self._counts.get(scope, {})
        for name, delta in added.items():
            if own.get(name, 0) + delta > MAX_COUNT:
                raise ValueError(f"{scope}: the counter {name} would pass {MAX_COUNT}")
        if once is not None:
            self._marks[scope, once] = len(self._closed)
        if added:
            self._counts[scope] = own | {name: own.get(name, 0) + delta for name, delta in added.items()}
        return True

    def read(self, scope: str) -> Mapping[str, int]:
        return dict(self._counts.get(scope, {}))

    def read_all(self) -> Counts:
        return {scope: dict(own) for scope, own in self._counts.items()}

    def close_interval(self, name: str, *, keep: Collection[str] = ()) -> Counts:
        checked_name(name, "interval")
        if name not in self._closed:
            self._closed[name] = json.dumps(self._counts)
            kept = {s: {n: v for n, v in own.items() if n in keep} for s, own in self._counts.items()}
            self._counts = {scope: own for scope, own in kept.items() if own}
            oldest = len(self._closed) - MARKS_KEPT
            self._marks = {mark: closed for mark, closed in self._marks.items() if closed >= oldest}
        counts = self.interval(name)
        assert counts is not None
        return counts

    def interval(self, name: str) -> Counts | None:
        if name not in self._closed:
            return None
        archived = self._closed[name]
        if archived is None:
            raise RecordConflict(name, "the interval was closed, and its counts were removed")
        counts: Counts = json.loads(archived)
        return counts

    def forget_intervals(self, *, keep: int) -> tuple[str, ...]:
        if keep < 1:
            raise ValueError(f"keep={keep}: at least one interval must be kept")
        removed = tuple(name for name in list(self._closed)[:-keep] if self._closed[name] is not None)
        self._closed |= dict.fromkeys(removed)
        return removed

    def close(self) -> None:
        pass


class MemoryAccounts:
    """The `Accounts` port in memory. Records that are written with events go to `records`."""

    def __init__(self, records: MemoryRecords | None = None) -> None:
        self.records = records or MemoryRecords()
        self._events: dict[str, AccountEvent] = {}

    def credit(
        self, event_id: str, coldkey: str, amount_rao: int, *, purpose: str = "", record: NewRecord | None = None
    ) -> AccountEvent:
        return self._apply(AccountEvent(0, event_id, "credit", coldkey, amount_rao, 0, purpose), record)

    def charge(
        self, event_id: str, coldkey: str, amount_rao: int, *, purpose: str = "", record: NewRecord | None = None
    ) -> AccountEvent:
        return self._apply(AccountEvent(0, event_id, "charge", coldkey, amount_rao, 0, purpose), record)

    def refund(self, event_id: str, charge_id: str, *, record: NewRecord | None = None) -> AccountEvent:
        charge = self._events.get(checked_name(charge_id, "charge"))
        if charge is None or charge.kind != "charge":
            raise UsageError(f"There is no charge {charge_id!r}", "Give the event of a charge.")
        return self._apply(replace(charge, event_id=event_id, kind="refund", refunded=charge_id), record)

    def balance(self, coldkey: str) -> int:
        checked_name(coldkey, "coldkey")
        own = [event for event in self._events.values() if event.coldkey == coldkey]
        return own[-1].balance_rao if own else 0

    def events(
        self, *, coldkey: str | None = None, purpose: str | None = None, after: int = 0, limit: int = 100
    ) -> tuple[AccountEvent, ...]:
        check_page(after, limit)
        for name, meaning in ((coldkey, "coldkey"), (purpose, "purpose")):
            if name is not None:
                checked_name(name, meaning)
        return tuple(
            event
            for event in self._events.values()
            if event.position > after and coldkey in (None, event.coldkey) and purpose in (None, event.purpose)
        )[:limit]

    def close(self) -> None:
        pass

    def _apply(self, event: AccountEvent, record: NewRecord | None) -> AccountEvent:
        checked_name(event.event_id, "event")
        checked_name(event.coldkey, "coldkey")
        if event.purpose:
            checked_name(event.purpose, "purpose")
        checked_amount(event.amount_rao)
        before = self._events.get(event.event_id)
        if before is not None:
            if before != replace(event, position=before.position, balance_rao=before.balance_rao):
                raise RecordConflict(event.event_id, f"the event is recorded as a {before.kind}")
            if record is not None and not self.records.is_taken(record):
                raise RecordConflict(event.event_id, "the event was written without this record")
            if record is not None:
                self.records.append_new(record)
            return before
        if event.refunded is not None and any(e.refunded == event.refunded for e in self._events.values()):
            raise RecordConflict(event.event_id, f"the charge {event.refunded} was refunded")
        balance_rao = self.balance(event.coldkey)
        after_rao = balance_rao + (-event.amount_rao if event.kind == "charge" else event.amount_rao)
        if after_rao < 0:
            raise BalanceTooLow(event.coldkey, balance_rao, event.amount_rao)
        if after_rao > MAX_RAO:
            raise ValueError(f"{event.coldkey} would have {after_rao} RAO, more than {MAX_RAO}")
        if record is not None and self.records.is_taken(record):
            raise RecordConflict(f"{record.stream}/{record.key}", "it is recorded, but not with this event")
        if record is not None:
            self.records.append_new(record)
        written = replace(event, position=len(self._events) + 1, balance_rao=after_rao)
        self._events[event.event_id] = written
        return written
