"""A PostgreSQL server for the contracts of the state."""

import itertools
from collections.abc import Iterator

import pytest

from tests.adapters.state import postgres

PostgresServer = tuple[str, Iterator[int]]  # Its address, and numbers for the names of new databases.


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    if postgres.programs() is None:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    pytest.importorskip("pg8000", reason="PostgreSQL needs soundsright[postgres]")
    with postgres.server() as url:
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
