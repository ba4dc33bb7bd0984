"""The SQLite file of a private chain: its tables, its transactions, and the lock for making blocks."""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from soundsright.adapters.chains import commitment_log, ledger_transfers
from soundsright.core.errors import ChainUnavailable, UsageError

_TABLES = {
    "blocks": "number INTEGER PRIMARY KEY, hash TEXT NOT NULL",
    "neurons": "uid INTEGER PRIMARY KEY, hotkey TEXT NOT NULL UNIQUE, registered_at INTEGER NOT NULL, "
    "stake REAL NOT NULL, permit INTEGER NOT NULL",
    "commitments": "hotkey TEXT PRIMARY KEY REFERENCES neurons (hotkey), digest TEXT NOT NULL, "
    "block INTEGER NOT NULL",
    "weights": "validator TEXT NOT NULL, uid INTEGER NOT NULL, weight REAL NOT NULL, block INTEGER NOT NULL, "
    "PRIMARY KEY (validator, uid)",
    "block_times": "number INTEGER PRIMARY KEY, made_at_s REAL NOT NULL",
    "commitment_log": commitment_log.TABLE,
    "commitment_cuts": commitment_log.CUTS_TABLE,
    "endpoints": "hotkey TEXT PRIMARY KEY REFERENCES neurons (hotkey), endpoint TEXT NOT NULL",
    "self_registered": "hotkey TEXT PRIMARY KEY REFERENCES neurons (hotkey)",
    "registered_from": "hotkey TEXT PRIMARY KEY REFERENCES neurons (hotkey), client TEXT NOT NULL",
    "coldkeys": "hotkey TEXT PRIMARY KEY REFERENCES neurons (hotkey), coldkey TEXT NOT NULL, "
    "block INTEGER NOT NULL",
    "organiser": "one INTEGER PRIMARY KEY CHECK (one = 1), hotkey TEXT NOT NULL",
    **ledger_transfers.TABLES,
}
_DAMAGED_REMEDY = "Move it away, then put a backup in its place or start a new chain. It was not changed."


class ChainFile:
    """The file of a chain. Any thread and any process may use it at the same time.

    Opening makes missing tables, and calls `make_first_block` if the chain has no block. Both are one transaction:
    another process sees the whole chain or none. A file of an earlier version is upgraded.

    Raises:
        UsageError: the file is not a database, is damaged, or belongs to another program.
        ChainUnavailable: the file cannot be opened, read or written. This also applies to every transaction.
    """

    def __init__(self, path: Path, make_first_block: Callable[[sqlite3.Connection], object]) -> None:
        self._path = path
        with self._damage_as_usage_error(), self.reading() as db:
            tables = _tables_of(db)
            has_old_log = commitment_log.is_old_log(db)
        if not tables >= _TABLES.keys():
            # A chain of an earlier version lacks some tables, but has its blocks and no other program's tables.
            foreign = sorted(tables - _TABLES.keys()) if "blocks" in tables else sorted(tables)
            if foreign:
                raise UsageError(
                    f"{path} is not a chain: it has tables of another program ({', '.join(foreign)[:100]})",
                    "Move it away, or give another STATE_FOLDER. It was not changed.",
                )
            with self.writing() as db:
                for name, columns in _TABLES.items():
                    db.execute(f"CREATE TABLE IF NOT EXISTS {name} ({columns}) STRICT")
                for index in ledger_transfers.INDEXES:
                    db.execute(index)
                if db.execute("SELECT count(*) FROM blocks").fetchone()[0] == 0:
                    make_first_block(db)
                if "commitment_log" not in tables:
                    commitment_log.add_current_commitments(db)
                elif "commitment_cuts" not in tables and not has_old_log:
                    commitment_log.mark_earlier_cuts(db)
        if has_old_log:
            with self.writing() as db:
                if commitment_log.is_old_log(db):  # Another process may have upgraded it meanwhile.
                    commitment_log.upgrade_log(db)
                    commitment_log.add_current_commitments(db)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A transaction that reads. Others may read at the same time, and one may prepare to write."""
        with self._transaction("DEFERRED") as db:
            yield db

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that writes. An error inside the context undoes it."""
        with self._transaction("IMMEDIATE") as db:
            yield db

    def check(self) -> None:
        """Read the whole file and check that it is not damaged.

        Raises:
            UsageError: it is damaged.
        """
        with self._damage_as_usage_error(), self.reading() as db:
            verdict = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
        if verdict != "ok":
            raise UsageError(f"{self._path} is damaged ({' '.join(verdict.split())[:100]})", _DAMAGED_REMEDY)

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[sqlite3.Connection]:
        # One connection for each transaction: any thread may call, and a killed process leaves no lock behind.
        try:
            with closing(sqlite3.connect(self._path, timeout=10, isolation_level=None)) as db:
                db.execute("PRAGMA foreign_keys = ON")
                db.execute(f"BEGIN {kind}")
                try:
                    yield db
                except BaseException:
                    if db.in_transaction:
                        db.execute("ROLLBACK")
                    raise
                if db.in_transaction:
                    db.execute("COMMIT")
        except sqlite3.Error as error:
            raise ChainUnavailable(
                f"The local chain {self._path} cannot be used ({error})",
                "Check that you may write to the file and its folder, and that the disk is not full.",
            ) from error

    @contextmanager
    def _damage_as_usage_error(self) -> Iterator[None]:
        """Raise UsageError for a damaged file. ChainUnavailable would be tried again, which does not help."""
        try:
            yield
        except ChainUnavailable as fault:
            # The lowest eight bits are the kind of the error; the others give details.
            code = getattr(fault.__cause__, "sqlite_errorcode", 0) & 0xFF
            if code not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
                raise
            problem = "is not a database" if code == sqlite3.SQLITE_NOTADB else f"is damaged ({fault.__cause__})"
            raise UsageError(f"{self._path} {problem}", _DAMAGED_REMEDY) from fault


@contextmanager
def authoring_lock(path: Path) -> Iterator[None]:
    """Prevent other processes from making blocks of the chain in that file, while the context lasts.

    The lock is on a second file, `PATH.lock`. The system releases it when the process ends in any way.

    Raises:
        UsageError: another process has the lock.
    """
    with path.with_name(f"{path.name}.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"Another process already serves the chain {path}",
                "Stop that process, or give another STATE_FOLDER for another chain.",
            ) from error
        yield


def _tables_of(db: sqlite3.Connection) -> set[str]:
    rows = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    # SQLite adds its own tables, such as the statistics of ANALYZE.
    return {str(name) for (name,) in rows if not str(name).startswith("sqlite_")}
