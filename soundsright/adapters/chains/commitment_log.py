"""The commitments of a private chain's hotkeys, each with its block: how many are kept, and what a block shows.

A hotkey may commit `MAX_PER_PERIOD` times in `PERIOD_BLOCKS`, and its last `KEPT` commitments stay. A block shows a
hotkey's last commitment with up to `MAX_EARLIER_BLOCKS` earlier ones. So each of the last `PERIODS_KEPT` *
`PERIOD_BLOCKS` blocks is shown as it was. An older block of which something was removed is not shown at all.
"""

from __future__ import annotations

import sqlite3

from soundsright.core.entry_rules import MAX_EARLIER_BLOCKS
from soundsright.core.errors import ChainUnavailable
from soundsright.core.submission import Commitment

PERIOD_BLOCKS = 360
PERIODS_KEPT = 20
"""20 periods are a day of blocks of 12 seconds."""
MAX_PER_PERIOD = 32
KEPT = MAX_EARLIER_BLOCKS + PERIODS_KEPT * MAX_PER_PERIOD
_KEPT_BEFORE = 256
"""How many commitments an earlier version kept of a hotkey. It did not write down which hotkeys had more."""

TABLE = (
    "hotkey TEXT NOT NULL, digest TEXT NOT NULL, block INTEGER NOT NULL, first_block INTEGER, "
    "PRIMARY KEY (hotkey, block)"
)
"""`first_block` is the block of the hotkey's first commitment of the same text. The key is the index of reads.

A hotkey that commits a text again after all its commitments of that text were removed has it from then on.
"""

CUTS_TABLE = "hotkey TEXT PRIMARY KEY, known_from INTEGER NOT NULL"
"""The hotkeys of which commitments were removed, and the first block that can be shown as it was."""


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
    removed = db.execute(
        "DELETE FROM commitment_log WHERE hotkey = ? AND block <= "
        "(SELECT block FROM commitment_log WHERE hotkey = ? ORDER BY block DESC LIMIT 1 OFFSET ?)",
        (hotkey, hotkey, KEPT),
    ).rowcount
    if removed:
        _mark_cut(db, hotkey)


def _mark_cut(db: sqlite3.Connection, hotkey: str) -> None:
    """Write down the first block at which the hotkey's last commitment and all its earlier ones are still known."""
    db.execute(
        "INSERT OR REPLACE INTO commitment_cuts VALUES (?1, coalesce("
        "(SELECT block FROM commitment_log WHERE hotkey = ?1 ORDER BY block LIMIT 1 OFFSET ?2), "
        "(SELECT max(block) FROM commitment_log WHERE hotkey = ?1)))",
        (hotkey, MAX_EARLIER_BLOCKS),
    )


def commitments_as_of(db: sqlite3.Connection, block: int) -> tuple[Commitment, ...]:
    """The last commitment up to that block of each registered hotkey and of the organiser's.

    Each has the blocks of the hotkey's earlier ones.

    Raises:
        ChainUnavailable: commitments that the block had were removed.
    """
    cut = db.execute(
        "SELECT hotkey FROM commitment_cuts WHERE known_from > ?1 AND (hotkey IN (SELECT hotkey FROM organiser) "
        "OR hotkey IN (SELECT hotkey FROM neurons WHERE registered_at <= ?1)) LIMIT 1",
        (block,),
    ).fetchone()
    if cut is not None:
        raise ChainUnavailable(
            f"The local chain no longer has {cut[0]}'s commitments as of block {block}",
            "Ask for a later block. The chain keeps a limited number of commitments of each hotkey.",
        )
    commitments = []
    for (hotkey,) in db.execute("SELECT hotkey FROM neurons UNION SELECT hotkey FROM organiser").fetchall():
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
    too_many = "SELECT hotkey FROM commitment_log GROUP BY hotkey HAVING count(*) > ?"
    cut = db.execute(too_many, (KEPT,)).fetchall()
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
    for (hotkey,) in cut:
        _mark_cut(db, hotkey)


def mark_earlier_cuts(db: sqlite3.Connection) -> None:
    """Mark the hotkeys of which an earlier version may have removed commitments without a note."""
    full = "SELECT hotkey FROM commitment_log GROUP BY hotkey HAVING count(*) >= ?"
    for (hotkey,) in db.execute(full, (_KEPT_BEFORE,)).fetchall():
        _mark_cut(db, hotkey)


def add_current_commitments(db: sqlite3.Connection) -> None:
    """Add the commitments of a chain from before the log, which has only the last one of each hotkey."""
    db.execute(
        "INSERT OR REPLACE INTO commitment_cuts SELECT hotkey, block FROM commitments AS c WHERE NOT EXISTS "
        "(SELECT 1 FROM commitment_log AS l WHERE l.hotkey = c.hotkey AND l.block = c.block)"
    )
    db.execute("INSERT OR IGNORE INTO commitment_log SELECT hotkey, digest, block, block FROM commitments")
