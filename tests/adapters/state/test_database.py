"""The SQL state alone: opening, versions, damage, locks, upgrades and copies."""

import os
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from soundsright.adapters.state import database as state_database
from soundsright.adapters.state.schema import HEAD_REVISION, METADATA
from soundsright.adapters.state.store import SqlState
from soundsright.core.errors import StateUnavailable, UsageError
from soundsright.core.results import ClipResult


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def filled(path: Path) -> Path:
    state = SqlState(path)
    state.begin_round("r1", {"seed": 1})
    state.finish_step("r1", "seed", {"block": 7})
    state.add_clip_results("r1", "e", [ClipResult(f"c{i}", scores={"ESTOI": i / 9}) for i in range(200)])
    state.close()
    return path


def contents(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as db:
        return list(db.iterdump())


def set_version(path: Path, version: str) -> None:
    db = sqlite3.connect(path)
    db.execute("UPDATE alembic_version SET version_num = ?", (version,))
    db.commit()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


class TestOpening:
    def test_uses_write_ahead_logging(self, filled: Path) -> None:
        with closing(sqlite3.connect(filled)) as db:
            assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)

    def test_only_the_owner_reads_a_new_database_its_log_and_its_copy(self, path: Path, tmp_path: Path) -> None:
        """It names the recordings of a round before they retire."""
        umask = os.umask(0o022)
        try:
            state = SqlState(path)
            state.begin_round("r1", {"seed": 1})
            modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.glob("state.db*")}
            state.close()
            engine = state_database.open_engine(path)
            state_database.backup(engine, tmp_path / "copy.db")
            engine.dispose()
        finally:
            os.umask(umask)
        assert modes == {"state.db": 0o600, "state.db-wal": 0o600, "state.db-shm": 0o600}
        assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600

    def test_a_database_that_exists_keeps_its_mode(self, filled: Path) -> None:
        filled.chmod(0o640)
        SqlState(filled).close()
        assert filled.stat().st_mode & 0o777 == 0o640

    def test_creates_what_the_migrations_create(self, path: Path, tmp_path: Path) -> None:
        """A new database and a migrated one have the same tables."""
        from alembic.autogenerate import compare_metadata
        from alembic.migration import MigrationContext

        SqlState(path).close()
        migrated = tmp_path / "migrated.db"
        engine = state_database.open_engine(migrated)
        assert state_database.upgrade(engine) == (None, HEAD_REVISION)
        with engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
        engine.dispose()

        def columns(file: Path) -> dict[str, list[tuple[Any, ...]]]:
            with closing(sqlite3.connect(file)) as db:
                names = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
                return {
                    name: db.execute(f"PRAGMA table_info({name})").fetchall()
                    for name in names
                    if name[:7] != "sqlite_"
                }

        assert columns(path) == columns(migrated)
        SqlState(migrated).close()

    @pytest.mark.parametrize("attempt", range(5))  # The race of the eight threads takes only a millisecond.
    def test_processes_that_open_a_new_database_at_once_all_find_the_tables(self, path: Path, attempt: int) -> None:
        start = threading.Barrier(8)

        def open_one(_number: int) -> None:
            start.wait()
            SqlState(path).close()

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(open_one, range(8)))

    @pytest.mark.parametrize(
        "url",
        [
            "mysql://host/name",
            "postgresql://host/name",  # names no user
            "sqlite://",
            "sqlite:///:memory:",
            "://",
            "/nowhere/at/all/state.db",
        ],
    )
    def test_an_unusable_url_is_named(self, url: str) -> None:
        with pytest.raises(UsageError):
            SqlState(url)

    def test_does_not_load_sqlalchemy_until_it_is_used(self) -> None:
        code = "import sys, soundsright.adapters.state.store; sys.exit('sqlalchemy' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code]).returncode == 0


class TestOtherDatabases:
    def test_a_newer_version_is_named_and_left_alone(self, filled: Path) -> None:
        set_version(filled, "9999")
        before = filled.read_bytes()
        with pytest.raises(UsageError, match=r"newer version .*9999.* Update soundsright"):
            SqlState(filled)
        engine = state_database.open_engine(filled)
        with pytest.raises(UsageError, match="newer"):
            state_database.upgrade(engine)
        engine.dispose()
        assert filled.read_bytes() == before

    def test_an_older_version_asks_for_an_upgrade(self, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(state_database, "known_revisions", lambda: ("0000", HEAD_REVISION))
        set_version(filled, "0000")
        with pytest.raises(UsageError, match="soundsright db upgrade"):
            SqlState(filled)

    def test_another_programs_database_is_left_alone(self, path: Path) -> None:
        with closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE notes (text)")
            db.commit()
        before = path.read_bytes()
        with pytest.raises(UsageError, match="another program's tables"):
            SqlState(path)
        assert path.read_bytes() == before

    def test_a_file_that_is_no_database_is_left_alone(self, path: Path) -> None:
        path.write_bytes(b"once upon a time" * 100)
        with pytest.raises(UsageError, match="not a SQLite database"):
            SqlState(path)
        assert path.read_bytes() == b"once upon a time" * 100

    @pytest.mark.parametrize("first_page", [1, 5])
    def test_a_damaged_database_is_found_and_left_alone(self, filled: Path, first_page: int) -> None:
        whole = filled.read_bytes()
        start, end = 4096 * first_page - 3_000, 4096 * (first_page + 3)
        damaged = whole[:start] + bytes(end - start) + whole[end:]
        filled.write_bytes(damaged)
        engine = state_database.open_engine(filled)
        with pytest.raises(UsageError, match=r"corrupt|cannot be read"):
            state_database.check(engine)
        engine.dispose()
        assert filled.read_bytes() == damaged

    def test_a_damaged_catalogue_is_one_clear_message(self, filled: Path) -> None:
        whole = filled.read_bytes()
        filled.write_bytes(whole[:100] + b"\xff" * 3_996 + whole[4096:])
        with pytest.raises(UsageError, match=r"corrupt.*soundsright db backup"):
            SqlState(filled)


class TestFaults:
    def test_a_locked_database_is_an_infrastructure_fault(
        self, filled: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(state_database, "BUSY_TIMEOUT_S", 0.05)
        state = SqlState(filled)
        blocker = sqlite3.connect(filled, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateUnavailable, match="locked"):
            state.finish_step("r1", "fetched", {})
        assert state.step_done("r1", "seed") == {"block": 7}  # Readers do not wait.
        blocker.execute("ROLLBACK")
        state.finish_step("r1", "fetched", {"n": 1})
        assert state.step_done("r1", "fetched") == {"n": 1}
        blocker.close()
        state.close()

    def test_a_full_disk_loses_nothing_that_was_done(self, filled: Path) -> None:
        state = SqlState(filled)
        with state._engine.connect() as connection:
            pages = connection.execute(text("PRAGMA page_count")).scalar_one()

        def fill(dbapi_connection: sqlite3.Connection, _record: object) -> None:
            dbapi_connection.execute(f"PRAGMA max_page_count = {pages}")

        state._engine.dispose()
        from sqlalchemy import event

        event.listen(state._engine, "connect", fill)
        many = [ClipResult(f"d{i:05d}", scores={"ESTOI": 0.5}) for i in range(5_000)]
        with pytest.raises(StateUnavailable, match="full"):
            state.add_clip_results("r1", "e", many)
        assert len(state.clip_results("r1", "e")) == 200  # All or none.
        state.close()
        again = SqlState(filled)
        again.add_clip_results("r1", "e", many)
        assert len(again.clip_results("r1", "e")) == 5_200
        again.close()

    def test_a_killed_writer_leaves_whole_transactions(self, path: Path) -> None:
        """A child is killed while it writes. Everything that it reported as done is there, and complete."""
        code = (
            "import sys; from soundsright.adapters.state.store import SqlState\n"
            "from soundsright.core.results import ClipResult\n"
            "state = SqlState(sys.argv[1]); state.begin_round('r', {})\n"
            "for i in range(100000):\n"
            "    clips = [ClipResult(f'c{j}', scores={'ESTOI': j}) for j in range(10)]\n"
            "    state.add_clip_results('r', f'e{i}', clips)\n"
            "    print(i, flush=True)\n"
        )
        child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        done = [int(child.stdout.readline()) for _ in range(20)]
        child.kill()
        rest = child.communicate()[0].split()
        state = SqlState(path)
        entries = state.entries_with_results("r")
        assert len(entries) >= len(done) + len(rest)
        assert {len(state.clip_results("r", entry)) for entry in entries} == {10}
        state.close()


class TestMaintenance:
    def test_check_counts_rows(self, filled: Path) -> None:
        engine = state_database.open_engine(filled)
        counts = state_database.check(engine)
        assert {name: count for name, count in counts.items() if count} == {
            "clip_results": 200,
            "rounds": 1,
            "steps": 1,
        }
        assert set(counts) == set(METADATA.tables)
        engine.dispose()

    def test_backup_is_the_same_state(self, filled: Path, tmp_path: Path) -> None:
        engine = state_database.open_engine(filled)
        copy = tmp_path / "copy.db"
        assert state_database.backup(engine, copy) == copy.stat().st_size
        engine.dispose()
        assert contents(copy) == contents(filled)
        state = SqlState(copy)
        assert state.step_done("r1", "seed") == {"block": 7}
        state.close()

    def test_backup_overwrites_nothing(self, filled: Path, tmp_path: Path) -> None:
        (tmp_path / "copy.db").write_text("precious")
        engine = state_database.open_engine(filled)
        with pytest.raises(UsageError, match="exists"):
            state_database.backup(engine, tmp_path / "copy.db")
        with pytest.raises(UsageError, match="cannot be written"):
            state_database.backup(engine, tmp_path / "nowhere" / "copy.db")
        engine.dispose()
        assert (tmp_path / "copy.db").read_text() == "precious"

    def test_upgrade_of_a_current_database_changes_nothing(self, filled: Path) -> None:
        before = contents(filled)
        engine = state_database.open_engine(filled)
        assert state_database.upgrade(engine) == (HEAD_REVISION, HEAD_REVISION)
        engine.dispose()
        assert contents(filled) == before
