"""A PostgreSQL server for the contracts of the state."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.adapters.state import postgres

Place = Callable[[str], tuple[str, str]]
"""The URL and the organiser of one test in a kind of database."""

PostgresServer = tuple[str, Iterator[int]]  # Its address, and numbers for the names of new databases.


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with postgres.server_or_skip() as url:
        yield url, itertools.count()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """An empty database per test."""
    from sqlalchemy import create_engine, text

    url, numbers = postgres_server
    name = f"state{next(numbers)}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return url.replace("/postgres?", f"/{name}?")


@pytest.fixture(scope="session")
def tables_url(postgres_server: PostgresServer) -> str:
    """One database for many tests, each of which uses a scope of its own."""
    return postgres_server[0]


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A function that gives the URL and the organiser of one test in a kind of database."""

    def place(kind: str) -> tuple[str, str]:
        # One database serves all tests of PostgreSQL, because making one takes long. Organisers share no rows.
        url = request.getfixturevalue("tables_url") if kind == "postgresql" else str(tmp_path / "state.db")
        return str(url), tmp_path.name[-64:]

    return place
