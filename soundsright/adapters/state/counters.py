"""The port `Counters` in SQL. An addition and the mark that makes its repeat harmless are one transaction."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from sqlalchemy import ColumnElement, Connection, func, select, text

from soundsright.adapters.state.schema import COUNTER_INTERVALS, COUNTER_MARKS, COUNTERS
from soundsright.adapters.state.sql import SqlTables, insert_of
from soundsright.core.errors import RecordConflict
from soundsright.core.ports.tables import MARKS_KEPT, MAX_COUNT, checked_deltas, checked_name

_COUNTERS_LOCK = 0x536F7570  # Any constant: PostgreSQL's advisory locks are numbers.

Counts = Mapping[str, Mapping[str, int]]


class SqlCounters(SqlTables):
    """The `Counters` port over SQLAlchemy, for SQLite and PostgreSQL."""

    def add(self, scope: str, deltas: Mapping[str, int], *, once: str | None = None) -> bool:
        """Add to the counters of a scope, all or none. Returns False if `once` was counted before."""
        checked_name(scope, "scope")
        added = checked_deltas(deltas)
        if once is not None:
            checked_name(once, "mark")
        with self._writing() as connection:
            # Many may add at once, but nobody while an interval is being closed.
            _lock(connection, shared=True)
            if once is not None and not self._marked(connection, scope, once):
                return False
            for name, delta in added.items():
                self._add(connection, scope, name, delta)
        return True

    def read(self, scope: str) -> Mapping[str, int]:
        """The counters of a scope."""
        with self._reading() as connection:
            return self._counts(connection, COUNTERS.c.scope == scope).get(scope, {})

    def read_all(self) -> Counts:
        """The counters of every scope that has any."""
        with self._reading() as connection:
            return self._counts(connection)

    def close_interval(self, name: str, *, keep: Collection[str] = ()) -> Counts:
        """Archive all counters under a name and set them to zero. A repeat returns the same counts."""
        checked_name(name, "interval")
        with self._writing() as connection:
            _lock(connection, shared=False)
            recorded = self._recorded(connection, name)
            if recorded is not None:
                return recorded
            counts = self._counts(connection)
            row = {"organiser": self._scope, "name": name, "counts": json.dumps(counts, sort_keys=True)}
            connection.execute(COUNTER_INTERVALS.insert(), [row])
            connection.execute(
                COUNTERS.delete().where(COUNTERS.c.organiser == self._scope, COUNTERS.c.name.not_in(tuple(keep)))
            )
            oldest = self._closed(connection) - MARKS_KEPT
            connection.execute(
                COUNTER_MARKS.delete().where(
                    COUNTER_MARKS.c.organiser == self._scope, COUNTER_MARKS.c.closed < oldest
                )
            )
        return counts

    def interval(self, name: str) -> Counts | None:
        """The counts of a closed interval, or None if it was not closed."""
        with self._reading() as connection:
            return self._recorded(connection, name)

    def forget_intervals(self, *, keep: int) -> tuple[str, ...]:
        """Remove the counts of all closed intervals except the latest `keep`. Returns the names of the others."""
        if keep < 1:
            raise ValueError(f"keep={keep}: at least one interval must be kept")
        own = COUNTER_INTERVALS.c.organiser == self._scope
        with self._writing() as connection:
            _lock(connection, shared=False)
            latest_first = select(COUNTER_INTERVALS).where(own).order_by(COUNTER_INTERVALS.c.position.desc())
            old = [row for row in connection.execute(latest_first.offset(keep)) if row.counts is not None]
            for row in old:
                update = COUNTER_INTERVALS.update().where(COUNTER_INTERVALS.c.position == row.position)
                connection.execute(update.values(counts=None))
        return tuple(row.name for row in reversed(old))

    def _marked(self, connection: Connection, scope: str, once: str) -> bool:
        """Write a mark. Returns False if it exists."""
        row = {"organiser": self._scope, "scope": scope, "mark": once, "closed": self._closed(connection)}
        insert = insert_of(connection)(COUNTER_MARKS).on_conflict_do_nothing(
            index_elements=("organiser", "scope", "mark")
        )
        return connection.execute(insert.values(row)).rowcount == 1

    def _add(self, connection: Connection, scope: str, name: str, delta: int) -> None:
        insert = insert_of(connection)(COUNTERS)
        value = COUNTERS.c.value + insert.excluded.value
        upsert = insert.on_conflict_do_update(
            index_elements=("organiser", "scope", "name"),
            set_={"value": value},
            # Without this, the database's own check would end the transaction with its error.
            where=COUNTERS.c.value <= MAX_COUNT - insert.excluded.value,
        )
        row = {"organiser": self._scope, "scope": scope, "name": name, "value": delta}
        if connection.execute(upsert.values(row)).rowcount != 1:
            raise ValueError(f"{scope}: the counter {name} would pass {MAX_COUNT}")

    def _counts(self, connection: Connection, *where: ColumnElement[bool]) -> dict[str, dict[str, int]]:
        query = COUNTERS.select().where(COUNTERS.c.organiser == self._scope, *where)
        counts: dict[str, dict[str, int]] = {}
        for row in connection.execute(query):
            counts.setdefault(row.scope, {})[row.name] = row.value
        return {scope: dict(sorted(own.items())) for scope, own in sorted(counts.items())}

    def _closed(self, connection: Connection) -> int:
        """The number of closed intervals."""
        query = select(func.count()).where(COUNTER_INTERVALS.c.organiser == self._scope)
        return int(connection.execute(query).scalar_one())

    def _recorded(self, connection: Connection, name: str) -> dict[str, dict[str, int]] | None:
        query = COUNTER_INTERVALS.select().where(
            COUNTER_INTERVALS.c.organiser == self._scope, COUNTER_INTERVALS.c.name == name
        )
        row = connection.execute(query).one_or_none()
        if row is None:
            return None
        if row.counts is None:
            raise forgotten(name)
        counts: dict[str, dict[str, int]] = json.loads(row.counts)
        return counts


def forgotten(name: str) -> RecordConflict:
    """The error for an interval whose counts were removed."""
    return RecordConflict(name, "the interval was closed, and its counts were removed")


def _lock(connection: Connection, *, shared: bool) -> None:
    """Keep additions and the closing of an interval apart. SQLite has one writer at a time."""
    if connection.dialect.name == "postgresql":
        suffix = "_shared" if shared else ""
        connection.execute(text(f"SELECT pg_advisory_xact_lock{suffix}(:key)"), {"key": _COUNTERS_LOCK})
