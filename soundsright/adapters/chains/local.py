"""A private competition's chain in one SQLite file: blocks, registrations, commitments, weights.

Blocks are counted from 0 and hashed over their parent, number and entropy; a write lands in the block after the
head, which it makes, or waits for. One process advances the chain; any number may read it. Times are in seconds
since the epoch. What was committed is kept with its block, so that the chain can be read as of any block.
"""

from __future__ import annotations

import fcntl
import hashlib
import math
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from soundsright.core.endpoint import is_endpoint
from soundsright.core.entry_rules import MAX_EARLIER_BLOCKS
from soundsright.core.errors import ChainUnavailable, UsageError
from soundsright.core.ports import BlockRef, Neuron, Snapshot, SubnetRules, TxResult
from soundsright.core.submission import Commitment

_TABLES = {
    "blocks": "number INTEGER PRIMARY KEY, hash TEXT NOT NULL",
    "neurons": "uid INTEGER PRIMARY KEY, hotkey TEXT NOT NULL UNIQUE, registered_at INTEGER NOT NULL, "
    "stake REAL NOT NULL, permit INTEGER NOT NULL",
    "commitments": "hotkey TEXT PRIMARY KEY REFERENCES neurons (hotkey), digest TEXT NOT NULL, "
    "block INTEGER NOT NULL",
    "weights": "validator TEXT NOT NULL, uid INTEGER NOT NULL, weight REAL NOT NULL, block INTEGER NOT NULL, "
    "PRIMARY KEY (validator, uid)",
    "block_times": "number INTEGER PRIMARY KEY, made_at_s REAL NOT NULL",
    "commitment_log": "hotkey TEXT NOT NULL, digest TEXT NOT NULL, block INTEGER NOT NULL, "
    "PRIMARY KEY (hotkey, block)",
    "endpoints": "hotkey TEXT PRIMARY KEY REFERENCES neurons (hotkey), endpoint TEXT NOT NULL",
}

MAX_COMMITMENT_CHARS = 2_000
MAX_NEURONS = 4_096
_DAMAGED_REMEDY = "Move it away: put an earlier copy in its place, or start a new chain. It was left as it is."


def _system_entropy(_number: int) -> bytes:
    return secrets.token_bytes(32)


def seeded_entropy(seed: int) -> Callable[[int], bytes]:
    """Entropy that makes two chains of one seed have the same block hashes: for trials, never for prizes.

    >>> seeded_entropy(1)(5) == seeded_entropy(1)(5) != seeded_entropy(2)(5)
    True
    """
    return lambda number: hashlib.sha256(f"{seed}:{number}".encode()).digest()


class LocalChain:
    """The `Chain` port over one file, and the registrar's side: `register` and `advance`.

    `entropy` gives the unpredictable part of each block's hash. A block is made at the time of the clock, or, where
    `block_s` is given, that many seconds after the one before: a chain whose time runs as fast as it is advanced.

    Without `block_per_write` only `advance` makes blocks, and nobody who writes moves the chain's time: who
    registers or commits is shown from the next block on, and of a hotkey's commitments in one block the last
    stands. Endpoints and weights, which no block fixes, are shown at once.

    Raises:
        UsageError: the file is no database, or another program's.
        ChainUnavailable: if the file cannot be opened, read or written.
    """

    def __init__(
        self,
        path: Path,
        *,
        entropy: Callable[[int], bytes] = _system_entropy,
        block_s: float | None = None,
        block_per_write: bool = True,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._entropy = entropy
        self._block_s = block_s
        self._block_per_write = block_per_write
        self._now_s = now_s
        with self._told_damage(), self._transaction("DEFERRED") as db:
            tables = _tables_of(db)
            logs_one_a_block = _logs_one_a_block(db)
        if not tables >= _TABLES.keys():
            # A chain of an earlier version lacks some tables, but has its blocks, and has nothing else.
            others = sorted(tables - _TABLES.keys()) if "blocks" in tables else sorted(tables)
            if others:
                raise UsageError(
                    f"{path} holds no chain, but another program's tables ({', '.join(others)[:100]})",
                    "Move it away, or give another STATE_FOLDER; it was left as it is.",
                )
            # All tables and the first block in one transaction: whoever comes second, or after a kill, finds all
            # of it or nothing.
            with self._transaction() as db:
                for name, columns in _TABLES.items():
                    db.execute(f"CREATE TABLE IF NOT EXISTS {name} ({columns}) STRICT")
                if db.execute("SELECT count(*) FROM blocks").fetchone()[0] == 0:
                    self._append_block(db)
        if logs_one_a_block:
            with self._transaction() as db:
                _log_any_number_a_block(db)

    @contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
        """A transaction: IMMEDIATE to write, DEFERRED to read beside other readers and a waiting writer."""
        # A connection per transaction: any thread may call, and a killed process leaves no lock behind.
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
                "Check that the file is a chain of this program, its folder writable and the disk not full.",
            ) from error

    @contextmanager
    def _told_damage(self) -> Iterator[None]:
        """At opening, damage is said as what the operator has to mend, and not to be tried again."""
        try:
            yield
        except ChainUnavailable as fault:
            code = getattr(fault.__cause__, "sqlite_errorcode", 0) & 0xFF  # Of what kind; above it, in what part.
            if code not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
                raise
            how = "is no database" if code == sqlite3.SQLITE_NOTADB else f"is damaged ({fault.__cause__})"
            raise UsageError(f"{self._path} {how}", _DAMAGED_REMEDY) from fault

    def check(self) -> None:
        """Read the whole file and see that it is sound: for whoever is about to write to it for a long time.

        Raises:
            UsageError: it is damaged.
        """
        with self._told_damage(), self._transaction("DEFERRED") as db:
            found = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
        if found != "ok":
            raise UsageError(f"{self._path} is damaged ({' '.join(found.split())[:100]})", _DAMAGED_REMEDY)

    def ahead_s(self) -> float:
        """By how much the last block's time is ahead of the clock; below 0: it is behind, as it should be."""
        with self._transaction("DEFERRED") as db:
            last_s = db.execute("SELECT max(made_at_s) FROM block_times").fetchone()[0]
        return 0.0 if last_s is None else float(last_s) - self._now_s()

    def _append_block(self, db: sqlite3.Connection) -> BlockRef:
        row = db.execute("SELECT number, hash FROM blocks ORDER BY number DESC LIMIT 1").fetchone()
        number, parent = (row[0] + 1, row[1]) if row else (0, "0x" + "0" * 64)
        digest = hashlib.sha256(f"{parent}:{number}:".encode() + self._entropy(number)).hexdigest()
        db.execute("INSERT INTO blocks VALUES (?, ?)", (number, "0x" + digest))
        before = db.execute("SELECT max(made_at_s) FROM block_times").fetchone()[0]
        made_at_s = self._now_s() if before is None or self._block_s is None else before + self._block_s
        # Never backwards, whatever the clock does: rounds are found by halving.
        made_at_s = made_at_s if before is None else max(made_at_s, before)
        db.execute("INSERT INTO block_times VALUES (?, ?)", (number, made_at_s))
        return BlockRef(number, "0x" + digest)

    def _block_of_write(self, db: sqlite3.Connection) -> int:
        """The number of the block that a write lands in."""
        if self._block_per_write:
            return self._append_block(db).number
        return int(db.execute("SELECT max(number) + 1 FROM blocks").fetchone()[0])

    def advance(self, blocks: int = 1) -> BlockRef:
        """Append `blocks` blocks and return the new head."""
        with self._transaction() as db:
            for _ in range(blocks):
                self._append_block(db)
        return self.head()

    def head(self) -> BlockRef:
        with self._transaction("DEFERRED") as db:
            return BlockRef(*db.execute("SELECT number, hash FROM blocks ORDER BY number DESC LIMIT 1").fetchone())

    def finalized(self) -> BlockRef:
        """The head: a chain with one author does not reorganise."""
        return self.head()

    def block_hash(self, number: int) -> str:
        with self._transaction("DEFERRED") as db:
            row = db.execute("SELECT hash FROM blocks WHERE number = ?", (number,)).fetchone()
        if row is None:
            raise ChainUnavailable(f"The local chain has no block {number} yet", "Wait for it.")
        return str(row[0])

    def timestamp_s(self, number: int) -> float:
        with self._transaction("DEFERRED") as db:
            row = db.execute("SELECT made_at_s FROM block_times WHERE number = ?", (number,)).fetchone()
        if row is None:
            raise ChainUnavailable(f"The local chain knows no time of block {number}", "Wait for the block.")
        return float(row[0])

    def register(self, hotkey: str, *, stake: float = 0.0, permit: bool = False) -> int:
        """The uid of the hotkey, registering it in the next block if it is new. `permit`: may set weights."""
        with self._transaction() as db:
            row = db.execute("SELECT uid FROM neurons WHERE hotkey = ?", (hotkey,)).fetchone()
            if row is not None:
                return int(row[0])
            uid = db.execute("SELECT coalesce(max(uid) + 1, 0) FROM neurons").fetchone()[0]
            if uid >= MAX_NEURONS:
                raise UsageError(f"The chain has {MAX_NEURONS} hotkeys", "Start another chain.")
            block = self._block_of_write(db)
            db.execute("INSERT INTO neurons VALUES (?, ?, ?, ?, ?)", (uid, hotkey, block, stake, int(permit)))
            return int(uid)

    def neurons(self) -> tuple[Neuron, ...]:
        return self.snapshot().neurons

    def commitments(self) -> tuple[Commitment, ...]:
        return self.snapshot().commitments

    def snapshot(self, number: int | None = None) -> Snapshot:
        """The chain as of that block; None: the head. Of neurons, only who they were is of then."""
        with self._transaction("DEFERRED") as db:
            query = "SELECT number, hash FROM blocks WHERE number <= ? ORDER BY number DESC LIMIT 1"
            block = BlockRef(*db.execute(query, (2**62 if number is None else number,)).fetchone())
            if number is not None and block.number != number:
                raise ChainUnavailable(f"The local chain has no block {number} yet", "Wait for it.")
            neurons = db.execute(
                "SELECT uid, n.hotkey, registered_at, stake, permit, endpoint, "
                "(SELECT max(block) FROM weights WHERE validator = n.hotkey) FROM neurons n "
                "LEFT JOIN endpoints e ON e.hotkey = n.hotkey WHERE registered_at <= ? ORDER BY uid",
                (block.number,),
            ).fetchall()
            # Of a file from before the log there is only the last commitment.
            commitments = db.execute(
                "SELECT hotkey, digest, max(block) FROM "
                "(SELECT * FROM commitment_log UNION SELECT * FROM commitments) "
                "WHERE block <= ? GROUP BY hotkey ORDER BY 3, hotkey",
                (block.number,),
            ).fetchall()
            made: dict[str, list[int]] = {}
            for hotkey, at in db.execute(
                "SELECT hotkey, block FROM commitment_log WHERE block <= ? ORDER BY block", (block.number,)
            ):
                made.setdefault(hotkey, []).append(at)
        return Snapshot(
            block,
            tuple(
                Neuron(uid, hotkey, at, stake, bool(permit), endpoint, set_at)
                for uid, hotkey, at, stake, permit, endpoint, set_at in neurons
            ),
            tuple(
                Commitment(hotkey, digest, at, tuple(made.get(hotkey, [])[:-1][-MAX_EARLIER_BLOCKS:]))
                for hotkey, digest, at in commitments
            ),
        )

    def publish(self, hotkey: str, digest: str) -> TxResult:
        """Commit the text under the hotkey, in the next block. The last commitment stands."""
        if len(digest) > MAX_COMMITMENT_CHARS:
            return TxResult(False, "too_long", f"a commitment holds {MAX_COMMITMENT_CHARS} characters")
        with self._transaction() as db:
            if db.execute("SELECT 1 FROM neurons WHERE hotkey = ?", (hotkey,)).fetchone() is None:
                return TxResult(False, "not_registered", f"{hotkey} is not registered")
            block = self._block_of_write(db)
            # The one that stands until then: a file from before the log has it here only.
            db.execute("INSERT OR IGNORE INTO commitment_log SELECT * FROM commitments WHERE hotkey = ?", (hotkey,))
            db.execute("INSERT OR REPLACE INTO commitments VALUES (?, ?, ?)", (hotkey, digest, block))
            db.execute("INSERT OR REPLACE INTO commitment_log VALUES (?, ?, ?)", (hotkey, digest, block))
        return TxResult(True, block=block)

    def rules(self) -> SubnetRules:
        """The defaults: a private chain's owner sets nothing."""
        return SubnetRules()

    def clock_offset_s(self, now_s: float) -> float:
        """0: the file is this machine's."""
        return 0.0

    def publish_endpoint(self, hotkey: str, endpoint: str) -> TxResult:
        """Say at which `host:port` the hotkey serves requests."""
        if not is_endpoint(endpoint):
            return TxResult(
                False,
                "bad_endpoint",
                f"{endpoint[:80]!r} is no endpoint: give HOST:PORT, a port from 1 to 65535 and an IPv6 address in "
                "brackets",
            )
        with self._transaction() as db:
            if db.execute("SELECT 1 FROM neurons WHERE hotkey = ?", (hotkey,)).fetchone() is None:
                return TxResult(False, "not_registered", f"{hotkey} is not registered")
            block = self._block_of_write(db)
            db.execute("INSERT OR REPLACE INTO endpoints VALUES (?, ?)", (hotkey, endpoint))
        return TxResult(True, block=block)

    def set_weights(self, hotkey: str, by_hotkey: Mapping[str, float]) -> TxResult:
        """Replace the validator's weights. Hotkeys become uids here, at submission."""
        if not by_hotkey or any(not math.isfinite(w) or w < 0 for w in by_hotkey.values()):
            return TxResult(False, "bad_weights", "weights must be given, finite and not negative")
        with self._transaction() as db:
            permit = db.execute("SELECT permit FROM neurons WHERE hotkey = ?", (hotkey,)).fetchone()
            if permit is None:
                return TxResult(False, "not_registered", f"{hotkey} is not registered")
            if not permit[0]:
                return TxResult(False, "no_permit", f"{hotkey} has no validator permit")
            uids = dict(db.execute("SELECT hotkey, uid FROM neurons").fetchall())
            missing = sorted(set(by_hotkey) - set(uids))
            if missing:
                return TxResult(False, "unknown_hotkey", f"not registered: {', '.join(missing)}")
            block = self._block_of_write(db)
            db.execute("DELETE FROM weights WHERE validator = ?", (hotkey,))
            db.executemany(
                "INSERT INTO weights VALUES (?, ?, ?, ?)",
                [(hotkey, uids[hk], weight, block) for hk, weight in by_hotkey.items()],
            )
        return TxResult(True, block=block)

    def weights(self, validator: str) -> dict[int, float]:
        """What the validator set last: weight by uid."""
        with self._transaction("DEFERRED") as db:
            rows = db.execute("SELECT uid, weight FROM weights WHERE validator = ? ORDER BY uid", (validator,))
            return {int(uid): float(weight) for uid, weight in rows}

    def close(self) -> None:
        """Nothing stays open between calls."""


@contextmanager
def sole_author(path: Path) -> Iterator[None]:
    """Be the one process that makes the blocks of the chain in that file, for as long as the block runs.

    The lock is on a file beside it, and ends with the process, however that ends.

    Raises:
        UsageError: another process is.
    """
    with path.with_name(f"{path.name}.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"The chain {path} is served already, by another process",
                "End that one, or give another STATE_FOLDER for another chain.",
            ) from error
        yield


def _tables_of(db: sqlite3.Connection) -> set[str]:
    rows = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    # Without SQLite's own, such as the statistics of an ANALYZE.
    return {str(name) for (name,) in rows if not str(name).startswith("sqlite_")}


def _logs_one_a_block(db: sqlite3.Connection) -> bool:
    """Whether the file is of a version that made a block for every commitment, and logged one in each."""
    columns = db.execute("SELECT name FROM pragma_table_info('commitment_log') WHERE pk").fetchall()
    return columns == [("block",)]


def _log_any_number_a_block(db: sqlite3.Connection) -> None:
    if _logs_one_a_block(db):  # Nobody else was faster.
        db.execute("ALTER TABLE commitment_log RENAME TO commitment_log_before")
        db.execute(f"CREATE TABLE commitment_log ({_TABLES['commitment_log']}) STRICT")
        db.execute("INSERT INTO commitment_log SELECT hotkey, digest, block FROM commitment_log_before")
        db.execute("DROP TABLE commitment_log_before")
