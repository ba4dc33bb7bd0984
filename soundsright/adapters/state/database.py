"""Opens, checks, upgrades and copies the state's database. Only `SqlState` and `soundsright db` use this module.

The tables change in two places only: an empty database gets its tables when it is opened, and `upgrade` migrates an
older one. Any other database (newer, corrupt, another program's) stays unchanged and causes an error.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from soundsright.adapters.state.balances import wrong_balance
from soundsright.adapters.state.schema import HEAD_REVISION, METADATA
from soundsright.core.errors import StateUnavailable, UsageError
from soundsright.core.url_passwords import without_passwords

BUSY_TIMEOUT_S = 10.0
_CREATION_LOCK = 0x536F756E  # Any constant: PostgreSQL's advisory locks are numbers.
_MIGRATIONS = Path(__file__).parent / "migrations"


def state_url(url: str | Path) -> URL:
    """The address of the database with its driver. A plain path means SQLite.

    Raises:
        UsageError: the URL names no usable database.

    >>> str(state_url("runs/state.db")), str(state_url("postgresql://me@host/sr"))
    ('sqlite:///runs/state.db', 'postgresql+pg8000://me@host/sr')
    """
    text_url = str(url)
    try:
        parsed = make_url(text_url) if "://" in text_url else URL.create("sqlite", database=text_url)
    except (ArgumentError, ValueError):
        # Not chained: SQLAlchemy's message can have the password.
        raise UsageError(f"The state URL {without_passwords(text_url)!r} is not a URL", _URL_REMEDY) from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise UsageError(f"The state URL {without_passwords(text_url)!r} names no file", _URL_REMEDY)
        return parsed
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+pg8000")
    raise UsageError(f"The state cannot be stored in {backend!r}", _URL_REMEDY)


_URL_REMEDY = "Give sqlite:///FILE or postgresql://USER@HOST/NAME."


def open_engine(url: str | Path) -> Engine:
    """An engine whose transactions take SQLite's write lock when they begin. It opens no connection yet.

    Raises:
        UsageError: the URL or its driver cannot be used.
    """
    address = state_url(url)
    try:
        if address.get_backend_name() != "sqlite":
            if not address.username:
                raise UsageError(f"{_title(address)} names no user", "Write it as scheme://USER@HOST/NAME.")
            return _pinged_engine(address)
        engine = create_engine(address, connect_args={"timeout": BUSY_TIMEOUT_S})
    except (ImportError, NoSuchModuleError) as error:
        raise UsageError(
            f"{address.drivername} is not installed: {error}", "Run `pip install 'soundsright[postgres]'`."
        ) from error

    @event.listens_for(engine, "connect")
    def _on_connect(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # `_on_begin` starts transactions, not the driver.
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")  # Recorded steps must survive a power cut.

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            # Immediately, because a transaction that reads first and then writes would fail instead of waiting.
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _pinged_engine(address: URL) -> Engine:
    """An engine that tests each connection before use, and replaces it if it is gone."""
    engine = create_engine(address, pool_pre_ping=True)
    ping = engine.dialect.do_ping

    def answers(connection: Any) -> bool:
        try:
            return ping(connection)
        except OSError:  # pg8000 does not wrap errors of the socket.
            return False

    engine.dialect.do_ping = answers  # type: ignore[assignment]
    return engine


@contextmanager
def database_errors(engine: Engine) -> Iterator[None]:
    """Raise SQLAlchemy's errors as errors of the state.

    Raises:
        UsageError: the database is corrupt.
        StateUnavailable: any other error, with the driver's message.
    """
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        if any(sign in _cause(error) for sign in ("malformed", "not a database")):
            raise UsageError(f"{_title(engine.url)} is corrupt: {_cause(error)}", _CORRUPT_REMEDY) from error
        raise StateUnavailable(
            f"{_title(engine.url)} failed: {_cause(error)}",
            "Check its disk, its locks and its server, then start again. Finished steps are not lost.",
        ) from error


def _cause(error: Exception) -> str:
    """The driver's message, on one line. pg8000 gives a mapping, in which M is the message."""
    cause = getattr(error, "orig", None) or error
    if cause.args and isinstance(cause.args[0], dict):
        return str(cause.args[0].get("M", cause))
    return str(cause).splitlines()[0] if str(cause) else type(cause).__name__


@dataclass(frozen=True)
class DatabaseState:
    """The state of a database. `revision` is None if it has no tables yet; `problem` is empty if it is usable."""

    revision: str | None
    problem: str = ""
    remedy: str = ""


def prepare(engine: Engine) -> None:
    """Create the tables in an empty database. Accept a current one.

    Raises:
        UsageError: it is any other database, which stays unchanged.
    """
    _check_is_database(engine.url)
    _enable_wal(engine.url)
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CREATION_LOCK})
        state = examine(connection)
        if state.problem:
            raise UsageError(f"{_title(engine.url)}: {state.problem}", state.remedy)
        if state.revision is None:
            METADATA.create_all(connection)
            # The same as Alembic creates, without the time to load it. A test compares them.
            connection.execute(
                text(
                    "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
                    "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
                )
            )
            connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD_REVISION})


def examine(connection: Connection) -> DatabaseState:
    """Find out whether this is a state database, and its version."""
    tables = set(inspect(connection).get_table_names())
    if not tables:
        return DatabaseState(None)
    if "alembic_version" not in tables or not {"rounds", "steps"} <= tables:
        return DatabaseState(
            None,
            f"it has another program's tables ({', '.join(sorted(tables)[:3])})",
            "Use a separate database for the state.",
        )
    revisions = [row[0] for row in connection.execute(text("SELECT version_num FROM alembic_version"))]
    revision = str(revisions[0]) if revisions else ""
    if revision == HEAD_REVISION:
        return DatabaseState(revision)
    if revision in known_revisions():
        return DatabaseState(
            revision,
            f"it has an older version ({revision}; this program writes {HEAD_REVISION})",
            "Run `soundsright db backup`, then `soundsright db upgrade`.",
        )
    return DatabaseState(
        revision,
        f"it has a newer version ({revision!r}; this program reads up to {HEAD_REVISION})",
        "Update soundsright. The database was not changed.",
    )


def known_revisions() -> tuple[str, ...]:
    """The versions that this program can upgrade, and its own version, oldest first."""
    return tuple(sorted(path.name[1:5] for path in (_MIGRATIONS / "versions").glob("v[0-9]*_*.py")))


def upgrade(engine: Engine) -> tuple[str | None, str]:
    """Migrate to this program's version in one transaction. Returns the versions before and after.

    Raises:
        UsageError: the database is corrupt, newer, or another program's.
    """
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    _check_is_database(engine.url)
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    script = ScriptDirectory.from_config(config)
    _enable_wal(engine.url)
    with _migrating(engine) as connection:
        before = examine(connection)
        if before.problem and before.revision not in known_revisions():
            raise UsageError(f"{_title(engine.url)}: {before.problem}", before.remedy)
        with EnvironmentContext(
            config, script, fn=lambda revision, _context: script._upgrade_revs("head", revision)
        ) as environment:
            environment.configure(connection=connection, target_metadata=METADATA, transactional_ddl=True)
            with environment.begin_transaction():
                environment.run_migrations()
    return before.revision, HEAD_REVISION


@contextmanager
def _migrating(engine: Engine) -> Iterator[Connection]:
    """A transaction for migrations. In SQLite, foreign keys are off: a copied table must not empty others."""
    if engine.dialect.name != "sqlite":
        with engine.begin() as connection:
            yield connection
        return
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute("PRAGMA foreign_keys = OFF")  # It has no effect inside a transaction.
        try:
            with connection.begin():
                yield connection
                orphan = connection.execute(text("PRAGMA foreign_key_check")).first()
                if orphan is not None:
                    raise UsageError(f"{_title(engine.url)} is corrupt: {orphan}", _CORRUPT_REMEDY)
        finally:
            driver.execute("PRAGMA foreign_keys = ON")


def check(engine: Engine) -> dict[str, int]:
    """Read every page, every reference and every balance of a database. Returns the number of rows by table.

    Raises:
        UsageError: the database has a problem; the first one is named.
    """
    _check_is_database(engine.url)
    try:
        with engine.connect() as connection:
            state = examine(connection)
            if state.problem:
                raise UsageError(f"{_title(engine.url)}: {state.problem}", state.remedy)
            if state.revision is None:
                raise UsageError(f"{_title(engine.url)} has no state yet", "Give the database of a validator.")
            if connection.dialect.name == "sqlite":
                verdict = connection.execute(text("PRAGMA integrity_check(1)")).scalar_one()
                orphan = connection.execute(text("PRAGMA foreign_key_check")).first()
                if verdict != "ok" or orphan is not None:
                    raise UsageError(
                        f"{_title(engine.url)} is corrupt: {verdict if orphan is None else orphan}", _CORRUPT_REMEDY
                    )
            problem = wrong_balance(connection)
            if problem is not None:
                raise UsageError(f"{_title(engine.url)} is corrupt: {problem}", _CORRUPT_REMEDY)
            counts = {}
            for table in METADATA.sorted_tables:
                counts[table.name] = int(
                    connection.execute(text(f"SELECT count(*) FROM {table.name}")).scalar_one()
                )
            return counts
    except DBAPIError as error:
        raise UsageError(f"{_title(engine.url)} cannot be read: {error.orig}", _CORRUPT_REMEDY) from error


def backup(engine: Engine, to: Path) -> int:
    """Copy a SQLite database consistently, while others may write to it. Returns the size in bytes.

    Raises:
        UsageError: the target exists or cannot be written, or the database is not SQLite.
    """
    if engine.dialect.name != "sqlite":
        raise UsageError(f"{_title(engine.url)} is on a server", "Use the server's own `pg_dump`.")
    _check_is_database(engine.url)
    if to.exists():
        raise UsageError(f"{to} exists", "Give a file that does not exist.")
    part = to.with_name(f".{to.name}.part")
    try:
        source_path = str(engine.url.database)
        _create_private(part)
        with (
            closing(sqlite3.connect(f"file:{source_path}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(part)) as target,
        ):
            source.backup(target)
        part.replace(to)
    except (OSError, sqlite3.Error) as error:
        part.unlink(missing_ok=True)
        raise UsageError(f"{to} cannot be written: {error}", "Give a file in a writable folder.") from error
    return to.stat().st_size


_CORRUPT_REMEDY = "Replace it with the last `soundsright db backup`. It was not changed."


def _check_is_database(url: URL) -> None:
    """Check that a file is empty or starts like a SQLite database, before SQLite could write to it."""
    if url.get_backend_name() != "sqlite":
        return
    path = Path(str(url.database))
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"{path} cannot be a database file", "Give a file in a folder that exists.")
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StateUnavailable(f"{path} cannot be read: {error.strerror}", "Check its permissions.") from error
    if head and head != b"SQLite format 3\x00":
        raise UsageError(f"{path} is not a SQLite database, or is corrupt", _CORRUPT_REMEDY)


def _enable_wal(url: URL) -> None:
    """Create a SQLite file in write-ahead mode, which the file remembers. An existing file is not changed."""
    if url.get_backend_name() != "sqlite":
        return
    path = Path(str(url.database))
    until_s = time.monotonic() + BUSY_TIMEOUT_S
    while not path.exists() or path.stat().st_size == 0:
        _create_private(path)
        try:
            with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.Error as error:
            # If several processes change the mode at once, SQLite refuses all but one without waiting.
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until_s:
                raise StateUnavailable(
                    f"{path} cannot be created ({error})", "Check its folder and its disk."
                ) from error
            time.sleep(0.01)
        else:
            return


def _create_private(path: Path) -> None:
    """Create an empty file that only its owner reads, because the steps of a round name recordings still in use.

    SQLite gives the files of its log the same mode. A file that exists keeps its mode.
    """
    with suppress(OSError):  # SQLite then says what is wrong with the folder.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _title(url: URL) -> str:
    return f"The state database {without_passwords(url.render_as_string())}"
