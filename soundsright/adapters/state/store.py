"""The validator's state in one SQL database: SQLite in WAL mode by default, PostgreSQL by URL.

Every write is one transaction and may be repeated: the first one counts. Times are in seconds since the epoch.
Facts are JSON; a row, once written, is never changed, so what a killed process left is what the next one finds.

URLs: `sqlite:///state.db`, `postgresql://user@host/name` (through pg8000), or a plain path, which means SQLite.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soundsright.core.results import ClipResult, Failure

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Table

_ROWS_PER_STATEMENT = 500


class SqlState:
    """The `StateStore` port over SQLAlchemy.

    Opening creates the tables in an empty database, and changes nothing in any other.

    Raises:
        UsageError: the URL is not usable, or the database is corrupt, newer, older or another program's.
        StateUnavailable: in every method, if the database does not answer, is locked, or its disk is full.
    """

    def __init__(self, url: str | Path) -> None:
        from soundsright.adapters.state.database import open_engine, prepare

        self._engine: Engine = open_engine(url)
        try:
            with self._errors():
                prepare(self._engine)
        except BaseException:
            self._engine.dispose()
            raise

    def begin_round(self, round_id: str, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        """Record the round, or return what was recorded of it before."""
        from soundsright.adapters.state.schema import ROUNDS

        with self._writing() as connection:
            self._insert(connection, ROUNDS, [{"round_id": round_id, "facts": _dumped(facts)}], ("round_id",))
            found = connection.execute(ROUNDS.select().where(ROUNDS.c.round_id == round_id)).one()
        return _loaded(found.facts)

    def rounds(self) -> tuple[str, ...]:
        """The rounds begun, oldest first."""
        from soundsright.adapters.state.schema import ROUNDS

        with self._reading() as connection:
            rows = connection.execute(ROUNDS.select().order_by(ROUNDS.c.position))
            return tuple(row.round_id for row in rows)

    def round_facts(self, round_id: str) -> Mapping[str, Any] | None:
        """What was recorded when the round began, or None where it never did."""
        from soundsright.adapters.state.schema import ROUNDS

        with self._reading() as connection:
            row = connection.execute(ROUNDS.select().where(ROUNDS.c.round_id == round_id)).one_or_none()
        return None if row is None else _loaded(row.facts)

    def step_done(self, round_id: str, step: str) -> Mapping[str, Any] | None:
        """What a finished step left, or None where it is still to be done."""
        from soundsright.adapters.state.schema import STEPS

        query = STEPS.select().where(STEPS.c.round_id == round_id, STEPS.c.step == step)
        with self._reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _loaded(row.facts)

    def steps(self, round_id: str) -> dict[str, Mapping[str, Any]]:
        """Every finished step of a round, by name in alphabetical order."""
        from soundsright.adapters.state.schema import STEPS

        with self._reading() as connection:
            rows = connection.execute(STEPS.select().where(STEPS.c.round_id == round_id))
            found = {row.step: _loaded(row.facts) for row in rows}
        return dict(sorted(found.items()))

    def finish_step(self, round_id: str, step: str, facts: Mapping[str, Any]) -> None:
        """Record that a step of a begun round is done. Of repeated calls the first one counts."""
        from soundsright.adapters.state.schema import STEPS

        row = {"round_id": round_id, "step": step, "facts": _dumped(facts)}
        with self._writing() as connection:
            _require_begun(connection, round_id)
            self._insert(connection, STEPS, [row], ("round_id", "step"))

    def add_clip_results(self, round_id: str, entry_id: str, results: Iterable[ClipResult]) -> None:
        """Record clips of an entry in a begun round, all or none. A clip recorded before keeps its result."""
        from soundsright.adapters.state.schema import CLIP_RESULTS

        rows = [
            {
                "round_id": round_id,
                "entry_id": entry_id,
                "clip_id": result.clip_id,
                "scores": None if result.scores is None else _dumped(result.scores),
                "failure_code": result.failure.code if result.failure else None,
                "failure_detail": result.failure.detail if result.failure else None,
            }
            for result in results
        ]
        with self._writing() as connection:
            _require_begun(connection, round_id)
            for start in range(0, len(rows), _ROWS_PER_STATEMENT):
                part = rows[start : start + _ROWS_PER_STATEMENT]
                self._insert(connection, CLIP_RESULTS, part, ("round_id", "entry_id", "clip_id"))

    def clip_results(self, round_id: str, entry_id: str) -> tuple[ClipResult, ...]:
        """The recorded clips of an entry, in the order of their ids."""
        from soundsright.adapters.state.schema import CLIP_RESULTS as CLIPS

        query = CLIPS.select().where(CLIPS.c.round_id == round_id, CLIPS.c.entry_id == entry_id)
        with self._reading() as connection:
            rows = connection.execute(query).all()
        results = (
            ClipResult(
                row.clip_id,
                scores=None if row.scores is None else _loaded(row.scores),
                failure=None if row.failure_code is None else Failure(row.failure_code, row.failure_detail or ""),
            )
            for row in rows
        )
        # Sorted here, not by the database: collations differ between databases.
        return tuple(sorted(results, key=lambda result: result.clip_id))

    def entries_with_results(self, round_id: str) -> tuple[str, ...]:
        """The entries of a round that have at least one recorded clip."""
        from sqlalchemy import select

        from soundsright.adapters.state.schema import CLIP_RESULTS as CLIPS

        with self._reading() as connection:
            rows = connection.execute(select(CLIPS.c.entry_id).where(CLIPS.c.round_id == round_id).distinct())
            return tuple(sorted(row.entry_id for row in rows))

    def take_lease(self, name: str, holder: str, *, now_s: float, duration_s: float) -> bool:
        """Take or renew a lease; False where another holder's has not run out."""
        from sqlalchemy import or_

        from soundsright.adapters.state.schema import LEASES

        expires_at_s = now_s + duration_s
        row = {"name": name, "holder": holder, "expires_at_s": expires_at_s}
        free = or_(LEASES.c.holder == holder, LEASES.c.expires_at_s <= now_s)
        with self._writing() as connection:
            self._insert(connection, LEASES, [row], ("name",))
            taken = connection.execute(
                LEASES.update().where(LEASES.c.name == name, free).values(holder=holder, expires_at_s=expires_at_s)
            )
            return taken.rowcount == 1

    def release_lease(self, name: str, holder: str) -> None:
        """Give a lease back; another holder's stays."""
        from soundsright.adapters.state.schema import LEASES

        with self._writing() as connection:
            connection.execute(LEASES.delete().where(LEASES.c.name == name, LEASES.c.holder == holder))

    def lease_holder(self, name: str, *, now_s: float) -> str | None:
        """Who holds a lease that has not run out."""
        from soundsright.adapters.state.schema import LEASES

        with self._reading() as connection:
            row = connection.execute(LEASES.select().where(LEASES.c.name == name)).one_or_none()
        return row.holder if row is not None and row.expires_at_s > now_s else None

    def forget_rounds(self, *, keep: int) -> tuple[str, ...]:
        """Remove all but the latest `keep` rounds with their steps and clips; return what was removed.

        Raises:
            ValueError: if `keep` is not positive.
        """
        from soundsright.adapters.state.schema import ROUNDS

        if keep < 1:
            raise ValueError(f"{keep} rounds cannot be kept; keep at least one")
        removed = self.rounds()[:-keep]
        with self._writing() as connection:
            for round_id in removed:
                connection.execute(ROUNDS.delete().where(ROUNDS.c.round_id == round_id))
        return removed

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._errors(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        # Each query is its own transaction: a reader never waits for a writer, nor a writer for a reader.
        with self._errors(), self._engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    def _errors(self) -> AbstractContextManager[None]:
        from soundsright.adapters.state.database import told_errors

        return told_errors(self._engine)

    def _insert(
        self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], key: tuple[str, ...]
    ) -> None:
        """Insert what is not there yet; a row with the same key stays as it is."""
        from sqlalchemy.dialects import postgresql, sqlite

        insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
        connection.execute(insert(table).on_conflict_do_nothing(index_elements=key), list(rows))


def _require_begun(connection: Connection, round_id: str) -> None:
    from soundsright.adapters.state.schema import ROUNDS

    if connection.execute(ROUNDS.select().where(ROUNDS.c.round_id == round_id)).first() is None:
        raise ValueError(f"round {round_id!r} was not begun: call begin_round before its steps and clips")


def _dumped(facts: Mapping[str, Any]) -> str:
    return json.dumps(dict(facts), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _loaded(text: str) -> Mapping[str, Any]:
    loaded = json.loads(text)
    assert isinstance(loaded, dict)
    return loaded
