"""A PostgreSQL server for the executor's state."""

import itertools
from collections.abc import Iterator

import pytest

from tests.adapters.state import postgres

_scopes = itertools.count()


@pytest.fixture(scope="session")
def executor_server() -> Iterator[str]:
    with postgres.server_or_skip() as url:
        yield url


@pytest.fixture
def executor_place(executor_server: str) -> tuple[str, str]:
    """The URL of a database, and a scope in it that no other test uses."""
    return executor_server, f"executor-{next(_scopes)}"
