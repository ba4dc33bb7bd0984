"""Upgrades of databases that soundsright 0.1.0 wrote. `state_0_1_0.sql` is the dump of one, with a whole round."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from soundsright.adapters.state import SqlAccounts
from soundsright.adapters.state import database as state_database
from soundsright.adapters.state.schema import HEAD_REVISION
from soundsright.adapters.state.store import SqlState
from soundsright.cli.commands.db import command as db_command
from soundsright.cli.main import run
from soundsright.core.errors import UsageError
from soundsright.core.ports import TitleRow
from tests.adapters.state import postgres

DUMP = Path(__file__).with_name("state_0_1_0.sql")
ROUND_ID = "1970-01-11"
OF_0003 = ("records", "counters", "counter_marks", "counter_intervals", "accounts", "account_events")
COUNTS = {"rounds": 1, "steps": 47, "clip_results": 40, "titles": 0, "leases": 0} | dict.fromkeys(OF_0003, 0)
ROWS = {
    "rounds": "SELECT round_id, facts FROM rounds ORDER BY position",
    "steps": "SELECT round_id, step, facts FROM steps ORDER BY step",
    "clip_results": "SELECT round_id, entry_id, clip_id, scores, failure_code, failure_detail FROM clip_results"
    " ORDER BY entry_id, clip_id",
}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "state.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(DUMP.read_text())
        db.execute("PRAGMA journal_mode = WAL")
    return path


def rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(path)) as db:
        return {name: db.execute(query).fetchall() for name, query in ROWS.items()}


def upgraded(path: Path) -> tuple[str | None, str]:
    engine = state_database.open_engine(path)
    versions = state_database.upgrade(engine)
    engine.dispose()
    return versions


def test_an_old_database_is_refused_until_it_is_upgraded(old: Path) -> None:
    with pytest.raises(UsageError, match=r"older version \(0001; .*soundsright db backup.*soundsright db upgrade"):
        SqlState(old)
    assert upgraded(old) == ("0001", HEAD_REVISION)
    SqlState(old).close()


def test_an_upgrade_keeps_every_row(old: Path) -> None:
    before = rows(old)
    upgraded(old)
    assert rows(old) == before
    engine = state_database.open_engine(old)
    assert state_database.check(engine) == COUNTS
    engine.dispose()


def test_an_upgraded_database_has_the_tables_of_a_new_one(old: Path, tmp_path: Path) -> None:
    upgraded(old)
    SqlState(tmp_path / "new.db").close()

    def columns(path: Path) -> dict[str, list[tuple[object, ...]]]:
        with closing(sqlite3.connect(path)) as db:
            tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {
                name: db.execute(f"PRAGMA table_info({name})").fetchall()
                + db.execute(f"PRAGMA foreign_key_list({name})").fetchall()
                + constraints(db, name)
                for name in tables
                if not name.startswith("sqlite_")
            }

    def constraints(db: sqlite3.Connection, table: str) -> list[tuple[object, ...]]:
        """The indexes, and the lines of the table's checks."""
        sql = str(db.execute("SELECT sql FROM sqlite_master WHERE name = ?", [table]).fetchone()[0])
        checks = [(line.strip(" ,\t"),) for line in sql.splitlines() if "CHECK" in line]
        indexes = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ?", [table])
        named = [row for row in indexes if row[1] is not None]
        return sorted(checks) + sorted(named)

    assert columns(old) == columns(tmp_path / "new.db")
    assert any("balance_rao BETWEEN 0" in str(row) for row in columns(old)["accounts"])


def test_a_database_of_the_version_before_is_upgraded(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    state = SqlState(path)
    state.begin_round("r1", {"n": 1})
    state.finish_step("r1", "done", {}, titles=[TitleRow("c", "m", "r1", {"hotkey": "5F"})])
    state.close()
    with closing(sqlite3.connect(path)) as db:
        for table in reversed(OF_0003):
            db.execute(f"DROP TABLE {table}")
        db.execute("UPDATE alembic_version SET version_num = '0002'")
        db.commit()
    assert upgraded(path) == ("0002", HEAD_REVISION)
    state = SqlState(path)
    assert state.titles("c", before="next") == (TitleRow("c", "m", "r1", {"hotkey": "5F"}),)
    accounts = SqlAccounts.beside(state)
    assert accounts.credit("t1", "cold", 5).balance_rao == 5
    state.close()


def test_an_upgraded_state_is_read_and_written(old: Path) -> None:
    upgraded(old)
    state = SqlState(old)
    assert state.rounds() == (ROUND_ID,)
    assert len(state.steps(ROUND_ID)) == COUNTS["steps"]
    assert len(state.clip_results(ROUND_ID, "2-good")) == 8
    assert state.titles("DENOISING_16000HZ", before="next") == ()
    state.begin_round("next", {})
    assert state.scoped("another organiser").rounds() == ()
    assert state.forget_rounds(keep=1) == (ROUND_ID,)
    assert state.clip_results(ROUND_ID, "2-good") == ()
    state.close()


def test_an_upgrade_that_fails_changes_nothing(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = rows(old)
    with closing(sqlite3.connect(old)) as db:
        db.execute("CREATE TABLE titles (in_the_way)")
        db.commit()
    engine = state_database.open_engine(old)
    with pytest.raises(Exception, match="titles already exists"):
        state_database.upgrade(engine)
    engine.dispose()
    assert rows(old) == before
    with closing(sqlite3.connect(old)) as db:
        assert db.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
        assert db.execute("SELECT count(*) FROM first_seen").fetchone() == (0,)


def test_the_commands_back_up_upgrade_and_check(
    old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(db_command, ["check", "--state", str(old)]) == 2
    assert "soundsright db upgrade" in capsys.readouterr().err
    assert run(db_command, ["backup", str(tmp_path / "copy.db"), "--state", str(old)]) == 0
    assert run(db_command, ["upgrade", "--state", str(old)]) == 0
    assert run(db_command, ["check", "--state", str(old)]) == 0
    assert "47" in capsys.readouterr().out
    assert rows(tmp_path / "copy.db") == rows(old)
    shutil.copy(tmp_path / "copy.db", old)


@pytest.mark.postgres
@pytest.mark.skipif(postgres.programs() is None, reason="PostgreSQL is not installed (Debian: postgresql)")
class TestPostgres:
    @pytest.fixture
    def server(self) -> Iterator[str]:
        pytest.importorskip("pg8000", reason="PostgreSQL needs soundsright[postgres]")
        with postgres.server() as url:
            yield url

    def old_engine(self, url: str) -> Engine:
        """A database of 0.1.0 with one round, one step and one clip."""
        from alembic.migration import MigrationContext
        from alembic.operations import Operations

        from soundsright.adapters.state.migrations.versions import v0001_first_tables

        creator = create_engine(url, isolation_level="AUTOCOMMIT")
        with creator.connect() as connection:
            connection.execute(text("CREATE DATABASE old"))
        creator.dispose()
        engine = state_database.open_engine(url.replace("/postgres?", "/old?"))
        with engine.begin() as connection:
            with Operations.context(MigrationContext.configure(connection)):
                v0001_first_tables.upgrade()
            for statement in (
                "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)",
                "INSERT INTO alembic_version VALUES ('0001')",
                "INSERT INTO rounds (round_id, facts) VALUES ('r1', '{}')",
                "INSERT INTO steps VALUES ('r1', 'seed', '{\"block\": 7}')",
                "INSERT INTO clip_results VALUES ('r1', 'e', 'c', NULL, 'missing', '')",
            ):
                connection.execute(text(statement.replace(":", "\\:")))
        return engine

    def test_an_upgrade_keeps_every_row(self, server: str) -> None:
        from alembic.autogenerate import compare_metadata
        from alembic.migration import MigrationContext

        from soundsright.adapters.state.schema import METADATA

        engine = self.old_engine(server)
        assert state_database.upgrade(engine) == ("0001", HEAD_REVISION)
        with engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
        assert state_database.check(engine) == {
            "rounds": 1,
            "steps": 1,
            "clip_results": 1,
            "titles": 0,
            "leases": 0,
        } | dict.fromkeys(OF_0003, 0)
        engine.dispose()
        state = SqlState(server.replace("/postgres?", "/old?"))
        assert json.loads(json.dumps(state.step_done("r1", "seed"))) == {"block": 7}
        assert state.scoped("another organiser").begin_round("r1", {"n": 1}) == {"n": 1}
        state.begin_round("r2", {})
        assert state.forget_rounds(keep=1) == ("r1",)
        assert state.clip_results("r1", "e") == ()
        state.close()
