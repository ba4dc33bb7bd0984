"""Shared parts of the SQL adapters of this room: one pool of connections, transactions, and the state's errors.

The tables of a database belong together. An adapter that is opened `beside` another one uses its connections.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Table


class SqlTables:
    """An open database. Opening creates the tables in an empty database and changes no other database.

    All rows that an adapter reads and writes belong to its `scope`, the organiser; it is empty for a single one.

    Raises:
        UsageError: the URL cannot be used, or the database is corrupt, newer, older or another program's.
        StateUnavailable: in every method, if the database does not answer, is locked, or its disk is full.
    """

    def __init__(self, url: str | Path, *, scope: str = "") -> None:
        from soundsright.adapters.state.database import open_engine, prepare

        self._scope = scope
        self._engine: Engine = open_engine(url)
        try:
            with self._errors():
                prepare(self._engine)
        except BaseException:
            self._engine.dispose()
            raise

    @classmethod
    def beside(cls, other: SqlTables, *, scope: str | None = None) -> Self:
        """The database of another adapter, in the same scope if none is given. Closing one closes both."""
        opened = object.__new__(cls)
        opened._engine = other._engine
        opened._scope = other._scope if scope is None else scope
        return opened

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._errors(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        # Each query is its own transaction, so that readers and writers never wait for each other.
        with self._errors(), self._engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    def _errors(self) -> AbstractContextManager[None]:
        from soundsright.adapters.state.database import database_errors

        return database_errors(self._engine)

    def _insert(
        self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], key: tuple[str, ...]
    ) -> None:
        """Insert rows whose key does not exist. Rows with the same key stay unchanged."""
        insert = insert_of(connection)(table)
        connection.execute(insert.on_conflict_do_nothing(index_elements=key), list(rows))


def insert_of(connection: Connection) -> Any:
    """The dialect's `insert`, which can say what happens to a row whose key exists."""
    from sqlalchemy.dialects import postgresql, sqlite

    return sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
