"""PostgreSQL alone: a server that goes away and comes back, and two validators that write at once."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from soundsright.adapters.state import database as state_database
from soundsright.adapters.state.schema import HEAD_REVISION
from soundsright.adapters.state.store import SqlState
from soundsright.core.errors import StateUnavailable, UsageError
from soundsright.core.results import ClipResult
from tests.adapters.state import postgres

pytest.importorskip("pg8000", reason="PostgreSQL needs soundsright[postgres]")

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(postgres.programs() is None, reason="PostgreSQL is not installed (Debian: postgresql)"),
]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with postgres.server() as address:
        yield address


@pytest.fixture
def state(url: str) -> Iterator[SqlState]:
    opened = SqlState(url)
    yield opened
    opened.close()


def test_a_lost_connection_heals(state: SqlState, url: str) -> None:
    state.begin_round("lost", {"n": 1})
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        connection.execute(text(f"{others} AND usename = 'sr'"))
    engine.dispose()
    state.finish_step("lost", "step", {"n": 2})
    assert state.step_done("lost", "step") == {"n": 2}


def test_a_server_that_goes_away_is_an_infrastructure_fault() -> None:
    with postgres.server() as address:
        state = SqlState(address)
        state.begin_round("r1", {})
    with pytest.raises(StateUnavailable, match="failed"):
        state.finish_step("r1", "step", {})
    state.close()


def test_two_writers_at_once_record_each_clip_once(state: SqlState, url: str) -> None:
    state.begin_round("race", {})
    other = SqlState(url)
    clips = [ClipResult(f"clip{i:03d}", scores={"ESTOI": i / 100}) for i in range(200)]

    def write(own: SqlState) -> None:
        for start in range(0, 200, 20):
            own.add_clip_results("race", "e", clips[start : start + 20])

    threads = [threading.Thread(target=write, args=[own]) for own in (state, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert state.clip_results("race", "e") == tuple(clips)
    other.close()


def test_the_migrations_lead_to_the_same_tables(url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from soundsright.adapters.state.schema import METADATA

    creator = create_engine(url, isolation_level="AUTOCOMMIT")
    with creator.connect() as connection:
        connection.execute(text("CREATE DATABASE migrated"))
    creator.dispose()
    engine = state_database.open_engine(url.replace("/postgres?", "/migrated?"))
    assert state_database.upgrade(engine)[1] == HEAD_REVISION
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    assert set(state_database.check(engine)) == set(METADATA.tables)
    engine.dispose()


def test_a_missing_server_is_named(tmp_path: Path) -> None:
    with pytest.raises(StateUnavailable):
        SqlState(f"postgresql://sr@/state?unix_sock={tmp_path}/.s.PGSQL.5432")


def test_its_own_tool_makes_backups(url: str, tmp_path: Path) -> None:
    engine = state_database.open_engine(url)
    with pytest.raises(UsageError, match="pg_dump"):
        state_database.backup(engine, tmp_path / "copy")
    engine.dispose()
