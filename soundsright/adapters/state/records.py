"""The port `Records` in SQL. Positions are visible in the order in which they are given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, text

from soundsright.adapters.state.schema import RECORDS
from soundsright.adapters.state.sql import SqlTables
from soundsright.core.errors import RecordConflict
from soundsright.core.ports import NewRecord, Record
from soundsright.core.ports.tables import canonical_facts, check_page

_APPEND_LOCK = 0x536F756F  # Any constant: PostgreSQL's advisory locks are numbers.


class SqlRecords(SqlTables):
    """The `Records` port over SQLAlchemy, for SQLite and PostgreSQL."""

    def append(self, stream: str, key: str, facts: Mapping[str, Any]) -> Record:
        """Write the facts, or return the row that has the same facts. Other facts are a `RecordConflict`."""
        new = NewRecord(stream, key, facts)
        with self._writing() as connection:
            return append_record(connection, self._scope, new)[0]

    def read(self, stream: str, *, after: int = 0, limit: int = 100) -> tuple[Record, ...]:
        """The rows of a stream after a position, oldest first."""
        check_page(after, limit)
        query = (
            RECORDS.select()
            .where(RECORDS.c.organiser == self._scope, RECORDS.c.stream == stream, RECORDS.c.position > after)
            .order_by(RECORDS.c.position)
            .limit(limit)
        )
        with self._reading() as connection:
            return tuple(map(_record, connection.execute(query)))

    def latest(self, stream: str, key: str | None = None) -> Record | None:
        """The row of a key, or the stream's last row if no key is given."""
        query = RECORDS.select().where(RECORDS.c.organiser == self._scope, RECORDS.c.stream == stream)
        if key is not None:
            query = query.where(RECORDS.c.key == key)
        with self._reading() as connection:
            row = connection.execute(query.order_by(RECORDS.c.position.desc()).limit(1)).one_or_none()
        return None if row is None else _record(row)


def append_record(connection: Connection, organiser: str, new: NewRecord) -> tuple[Record, bool]:
    """The row with these facts, and whether this call wrote it.

    Raises:
        RecordConflict: the key has other facts.
    """
    lock_appends(connection)
    facts = canonical_facts(new.facts)
    own = (RECORDS.c.organiser == organiser, RECORDS.c.stream == new.stream, RECORDS.c.key == new.key)
    before = connection.execute(RECORDS.select().where(*own)).one_or_none()
    if before is None:
        row = {"organiser": organiser, "stream": new.stream, "key": new.key, "facts": facts}
        connection.execute(RECORDS.insert(), [row])
        return _record(connection.execute(RECORDS.select().where(*own)).one()), True
    if before.facts != facts:
        raise RecordConflict(f"{new.stream}/{new.key}", f"other facts are recorded at {before.position}")
    return _record(before), False


def lock_appends(connection: Connection) -> None:
    """Let no other transaction give positions before this one ends.

    PostgreSQL gives positions before it commits. Without the lock, a row could become visible after one with a
    higher position, and a reader would miss it. SQLite has one writer at a time.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _APPEND_LOCK})


def _record(row: Row[Any]) -> Record:
    return Record(row.position, row.stream, row.key, json.loads(row.facts))
