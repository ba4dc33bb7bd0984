"""The validator's state in one SQL database: SQLite in WAL mode by default, PostgreSQL by URL.

Every write is one transaction, and repeating it is safe: the first write stays. Times are in seconds since the
epoch. Facts are JSON. A row does not change once it is written, so a restarted process finds what the last one
wrote.

URLs: `sqlite:///state.db`, `postgresql://user@host/name` (through pg8000), or a plain path, which means SQLite.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from soundsright.adapters.state.sql import SqlTables
from soundsright.core.canonical import canonical_json
from soundsright.core.ports import TitleRow
from soundsright.core.results import ClipResult, Failure

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Table

_ROWS_PER_STATEMENT = 500


class SqlState(SqlTables):
    """The `StateStore` port over SQLAlchemy.

    Opening creates the tables in an empty database and changes no other database. All rows belong to a `scope`.

    Raises:
        UsageError: the URL cannot be used, or the database is corrupt, newer, older or another program's.
        StateUnavailable: in every method, if the database does not answer, is locked, or its disk is full.
    """

    def scoped(self, scope: str) -> SqlState:
        """The same database with another scope. Closing one closes both."""
        return SqlState.beside(self, scope=scope)

    def begin_round(self, round_id: str, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        """Record the facts of a new round, or return those that were recorded before."""
        from soundsright.adapters.state.schema import ROUNDS

        with self._writing() as connection:
            row = {"scope": self._scope, "round_id": round_id, "facts": _dumped(facts)}
            self._insert(connection, ROUNDS, [row], ("round_id", "scope"))
            recorded = connection.execute(ROUNDS.select().where(*self._is_round(ROUNDS, round_id))).one()
        return _loaded(recorded.facts)

    def rounds(self) -> tuple[str, ...]:
        """The rounds that have begun, oldest first."""
        from soundsright.adapters.state.schema import ROUNDS

        with self._reading() as connection:
            query = ROUNDS.select().where(ROUNDS.c.scope == self._scope).order_by(ROUNDS.c.position)
            rows = connection.execute(query)
            return tuple(row.round_id for row in rows)

    def round_facts(self, round_id: str) -> Mapping[str, Any] | None:
        """The facts that were recorded when the round began, or None if it did not begin."""
        from soundsright.adapters.state.schema import ROUNDS

        with self._reading() as connection:
            row = connection.execute(ROUNDS.select().where(*self._is_round(ROUNDS, round_id))).one_or_none()
        return None if row is None else _loaded(row.facts)

    def step_done(self, round_id: str, step: str) -> Mapping[str, Any] | None:
        """The facts that a finished step recorded, or None if the step is not done."""
        from soundsright.adapters.state.schema import STEPS

        query = STEPS.select().where(*self._is_round(STEPS, round_id), STEPS.c.step == step)
        with self._reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _loaded(row.facts)

    def steps(self, round_id: str) -> dict[str, Mapping[str, Any]]:
        """Every finished step of a round, by name in alphabetical order."""
        from soundsright.adapters.state.schema import STEPS

        with self._reading() as connection:
            rows = connection.execute(STEPS.select().where(*self._is_round(STEPS, round_id)))
            by_name = {row.step: _loaded(row.facts) for row in rows}
        return dict(sorted(by_name.items()))

    def finish_step(
        self, round_id: str, step: str, facts: Mapping[str, Any], *, titles: Iterable[TitleRow] = ()
    ) -> None:
        """Record that a step of a begun round is done, together with the titles that follow from it."""
        from soundsright.adapters.state.schema import STEPS, TITLES

        row = {"scope": self._scope, "round_id": round_id, "step": step, "facts": _dumped(facts)}
        title_rows = [
            {
                "scope": self._scope,
                "competition_id": title.competition_id,
                "metric": title.metric,
                "round_id": title.round_id,
                "champion": None if title.champion is None else _dumped(title.champion),
            }
            for title in titles
        ]
        with self._writing() as connection:
            self._require_begun(connection, round_id)
            self._insert(connection, STEPS, [row], ("round_id", "step", "scope"))
            if title_rows:
                self._insert(connection, TITLES, title_rows, ("scope", "competition_id", "metric", "round_id"))

    def titles(self, competition_id: str, *, before: str) -> tuple[TitleRow, ...]:
        """The latest title of each metric from the rounds before that one, in alphabetical order of the metrics."""
        from sqlalchemy import select

        from soundsright.adapters.state.schema import ROUNDS, TITLES

        position = select(ROUNDS.c.position).where(*self._is_round(ROUNDS, before)).scalar_subquery()
        later = select(ROUNDS.c.round_id).where(ROUNDS.c.scope == self._scope, ROUNDS.c.position >= position)
        query = (
            TITLES.select()
            .where(TITLES.c.scope == self._scope, TITLES.c.competition_id == competition_id)
            .where(TITLES.c.round_id.not_in(later))
            .order_by(TITLES.c.position)
        )
        with self._reading() as connection:
            latest = {row.metric: row for row in connection.execute(query)}
        return tuple(
            TitleRow(
                row.competition_id, metric, row.round_id, None if row.champion is None else _loaded(row.champion)
            )
            for metric, row in sorted(latest.items())
        )

    def add_clip_results(self, round_id: str, entry_id: str, results: Iterable[ClipResult]) -> None:
        """Record clips of an entry in a begun round, all or none. Clips that were recorded before stay."""
        from soundsright.adapters.state.schema import CLIP_RESULTS

        rows = [
            {
                "scope": self._scope,
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
            self._require_begun(connection, round_id)
            for start in range(0, len(rows), _ROWS_PER_STATEMENT):
                part = rows[start : start + _ROWS_PER_STATEMENT]
                self._insert(connection, CLIP_RESULTS, part, ("round_id", "entry_id", "clip_id", "scope"))

    def clip_results(self, round_id: str, entry_id: str) -> tuple[ClipResult, ...]:
        """The recorded clips of an entry, in the order of their ids."""
        from soundsright.adapters.state.schema import CLIP_RESULTS as CLIPS

        query = CLIPS.select().where(*self._is_round(CLIPS, round_id), CLIPS.c.entry_id == entry_id)
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
        # Sort here, because collations differ between databases.
        return tuple(sorted(results, key=lambda result: result.clip_id))

    def entries_with_results(self, round_id: str) -> tuple[str, ...]:
        """The entries of a round that have at least one recorded clip."""
        from sqlalchemy import select

        from soundsright.adapters.state.schema import CLIP_RESULTS as CLIPS

        with self._reading() as connection:
            query = select(CLIPS.c.entry_id).where(*self._is_round(CLIPS, round_id)).distinct()
            rows = connection.execute(query)
            return tuple(sorted(row.entry_id for row in rows))

    def take_lease(self, name: str, holder: str, *, now_s: float, duration_s: float) -> bool:
        """Take or renew a lease. Returns False if another holder has it and it has not expired."""
        from sqlalchemy import or_

        from soundsright.adapters.state.schema import LEASES

        expires_at_s = now_s + duration_s
        row = {"scope": self._scope, "name": name, "holder": holder, "expires_at_s": expires_at_s}
        free = or_(LEASES.c.holder == holder, LEASES.c.expires_at_s <= now_s)
        with self._writing() as connection:
            self._insert(connection, LEASES, [row], ("name", "scope"))
            update = LEASES.update().where(*self._is_lease(name), free)
            taken = connection.execute(update.values(holder=holder, expires_at_s=expires_at_s))
            return taken.rowcount == 1

    def release_lease(self, name: str, holder: str) -> None:
        """Give a lease back. The lease of another holder stays."""
        from soundsright.adapters.state.schema import LEASES

        with self._writing() as connection:
            connection.execute(LEASES.delete().where(*self._is_lease(name), LEASES.c.holder == holder))

    def lease_holder(self, name: str, *, now_s: float) -> str | None:
        """The holder of a lease that has not expired."""
        from soundsright.adapters.state.schema import LEASES

        with self._reading() as connection:
            row = connection.execute(LEASES.select().where(*self._is_lease(name))).one_or_none()
        return row.holder if row is not None and row.expires_at_s > now_s else None

    def forget_rounds(self, *, keep: int) -> tuple[str, ...]:
        """Remove all rounds except the latest `keep`, with their steps and clips. Returns their ids. Titles stay.

        Raises:
            ValueError: `keep` is not positive.
        """
        from soundsright.adapters.state.schema import ROUNDS

        if keep < 1:
            raise ValueError(f"keep={keep}: at least one round must be kept")
        removed = self.rounds()[:-keep]
        with self._writing() as connection:
            for round_id in removed:
                connection.execute(ROUNDS.delete().where(*self._is_round(ROUNDS, round_id)))
        return removed

    def _is_round(self, table: Table, round_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        return table.c.round_id == round_id, table.c.scope == self._scope

    def _is_lease(self, name: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        from soundsright.adapters.state.schema import LEASES

        return LEASES.c.name == name, LEASES.c.scope == self._scope

    def _require_begun(self, connection: Connection, round_id: str) -> None:
        from soundsright.adapters.state.schema import ROUNDS

        if connection.execute(ROUNDS.select().where(*self._is_round(ROUNDS, round_id))).first() is None:
            raise ValueError(f"round {round_id!r} has not begun: call begin_round before its steps and clips")


def _dumped(facts: Mapping[str, Any]) -> str:
    return canonical_json(dict(facts))


def _loaded(text: str) -> Mapping[str, Any]:
    loaded = json.loads(text)
    assert isinstance(loaded, dict)
    return loaded
