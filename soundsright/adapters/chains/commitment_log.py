"""The commitments of a private chain's hotkeys, each with its block: how many are kept, and what a block shows.

A hotkey may commit `MAX_PER_PERIOD` times in `PERIOD_BLOCKS`, and its last `KEPT` commitments stay. So the log of a
chain has at most `KEPT` lines for each hotkey, and it shows every block of at least the last
`KEPT / MAX_PER_PERIOD * PERIOD_BLOCKS` blocks as it was.
"""

from __future__ import annotations

import sqlite3

from soundsright.core.entry_rules import MAX_EARLIER_BLOCKS
from soundsright.core.submission import Commitment

KEPT = 256
PERIOD_BLOCKS = 360
MAX_PER_PERIOD = 32

TABLE = (
    "hotkey TEXT NOT NULL, digest TEXT NOT NULL, block INTEGER NOT NULL, first_block INTEGER, "
    "PRIMARY KEY (hotkey, block)"
)
"""`first_block` is the block of the hotkey's first commitment of the same text. The key is the index of reads."""


def commits_too_often(db: sqlite3.Connection, hotkey: str, block: int) -> bool:
    """Whether the hotkey has used up its commitments before this block."""
    query = "SELECT count(*) FROM commitment_log WHERE hotkey = ? AND block > ? AND block < ?"
    return bool(db.execute(query, (hotkey, block - PERIOD_BLOCKS, block)).fetchone()[0] >= MAX_PER_PERIOD)


def log_commitment(db: sqlite3.Connection, hotkey: str, digest: str, block: int) -> None:
    """Add a commitment. It replaces one of the same block. The oldest ones beyond `KEPT` are removed."""
    query = "SELECT min(first_block) FROM commitment_log WHERE hotkey = ? AND digest = ?"
    first = db.execute(query, (hotkey, digest)).fetchone()[0]
    db.execute(
        "INSERT OR REPLACE INTO commitment_log VALUES (?, ?, ?, ?)",
        (hotkey, digest, block, block if first is None else first),
    )
    db.execute(
        "DELETE FROM commitment_log WHERE hotkey = ? AND block <= "
        "(SELECT block FROM commitment_log WHERE hotkey = ? ORDER BY block DESC LIMIT 1 OFFSET ?)",
        (hotkey, hotkey, KEPT),
    )


def commitments_as_of(db: sqlite3.Connection, block: int) -> tuple[Commitment, ...]:
    """Each hotkey's last commitment up to that block, with the blocks of its earlier ones."""
    commitments = []
    for (hotkey,) in db.execute("SELECT hotkey FROM neurons").fetchall():
        # The index has these columns, so no text is read.
        blocks = db.execute(
            "SELECT block FROM commitment_log WHERE hotkey = ? AND block <= ? ORDER BY block DESC LIMIT ?",
            (hotkey, block, MAX_EARLIER_BLOCKS + 1),
        ).fetchall()
        if not blocks:
            continue
        last, *earlier = (int(number) for (number,) in blocks)
        digest, first = db.execute(
            "SELECT digest, first_block FROM commitment_log WHERE hotkey = ? AND block = ?", (hotkey, last)
        ).fetchone()
        commitments.append(Commitment(hotkey, digest, last, tuple(reversed(earlier)), first))
    return tuple(sorted(commitments, key=lambda each: (each.block, each.hotkey)))


def is_old_log(db: sqlite3.Connection) -> bool:
    """Whether the log was made by a version that kept every commitment, or one per block, without first blocks."""
    columns = db.execute("SELECT name FROM pragma_table_info('commitment_log')").fetchall()
    return bool(columns) and ("first_block",) not in columns


def upgrade_log(db: sqlite3.Connection) -> None:
    """Copy an old log to a new one: the first block of each text, and the last `KEPT` lines of each hotkey."""
    db.execute("ALTER TABLE commitment_log RENAME TO commitment_log_before")
    db.execute(f"CREATE TABLE commitment_log ({TABLE}) STRICT")
    db.execute(
        "INSERT INTO commitment_log SELECT hotkey, digest, block, first_block FROM ("
        "SELECT hotkey, digest, block, min(block) OVER (PARTITION BY hotkey, digest) AS first_block, "
        "row_number() OVER (PARTITION BY hotkey ORDER BY block DESC) AS age FROM commitment_log_before"
        ") WHERE age <= ?",
        (KEPT,),
    )
    db.execute("DROP TABLE commitment_log_before")


def add_current_commitments(db: sqlite3.Connection) -> None:
    """Add the commitments of a chain from before the log, which has them only in their own table."""
    db.execute("INSERT OR IGNORE INTO commitment_log SELECT hotkey, digest, block, block FROM commitments")
