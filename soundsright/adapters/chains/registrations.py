"""The seats of a private chain with open registration, and which hotkey loses its seat to a new one.

A hotkey that registered itself loses its seat if it committed nothing in its first `GRACE_BLOCKS`, or nothing in
the last `STALE_BLOCKS`. Hotkeys that the organiser registered, or with stake, a permit or weight, keep theirs.
One seat in eight, at most `RESERVED_SEATS`, is only for hotkeys that the organiser registers.

The client with the most seats loses one first, and a client takes no seat of another one that has fewer. So whoever
fills the chain from a few addresses replaces only its own hotkeys.
"""

from __future__ import annotations

import sqlite3

from soundsright.core.errors import OtherColdkey, UsageError

MAX_NEURONS = 4_096
GRACE_BLOCKS = 300
"""An hour of blocks of 12 s: the time for a first commitment."""
STALE_BLOCKS = 7_200
"""A day of blocks of 12 s."""
RESERVED_SEATS = 64


def free_uid(db: sqlite3.Connection, block: int, most: int, *, by_itself: bool, client: str) -> int:
    """The uid for a new hotkey. On a full chain it is that of a hotkey that may lose its seat, which is removed.

    Raises:
        UsageError: the chain is full, and every hotkey may keep its seat.
    """
    uid = int(db.execute("SELECT coalesce(max(uid) + 1, 0) FROM neurons").fetchone()[0])
    if uid < (most - min(RESERVED_SEATS, most // 8) if by_itself else most):
        return uid
    seats = db.execute("SELECT count(*) FROM registered_from WHERE client = ?", (client,)).fetchone()[0]
    loser = _without_commitment(db, block - GRACE_BLOCKS, seats) or _with_stale_commitment(
        db, block - STALE_BLOCKS, seats
    )
    if loser is None:
        raise UsageError(
            f"The chain is full: it has {uid} hotkeys",
            "Try again in a day, when hotkeys that stopped committing lose their seats, or ask the organiser.",
        )
    _remove(db, *loser)
    return loser[0]


_CLIENTS = "WITH clients AS (SELECT client, count(*) AS seats FROM registered_from GROUP BY client) "
_MAY_LOSE = (
    "FROM neurons n NATURAL JOIN self_registered LEFT JOIN registered_from USING (hotkey) "
    "LEFT JOIN clients USING (client) WHERE permit = 0 AND stake = 0 "
    "AND hotkey NOT IN (SELECT hotkey FROM organiser) AND coalesce(seats, 1) >= ?"
)
"""A hotkey that an earlier version registered has no client, and counts as one of its own."""


def _without_commitment(db: sqlite3.Connection, until: int, seats: int) -> tuple[int, str] | None:
    """The uid and hotkey of the first one registered up to a block that never committed, of a client with seats."""
    row = db.execute(
        f"{_CLIENTS} SELECT uid, hotkey {_MAY_LOSE} AND registered_at <= ? "
        "AND NOT EXISTS (SELECT 1 FROM commitment_log c WHERE c.hotkey = n.hotkey) "
        "ORDER BY coalesce(seats, 1) DESC, registered_at, uid LIMIT 1",
        (seats, until),
    ).fetchone()
    return None if row is None else (int(row[0]), str(row[1]))


def _with_stale_commitment(db: sqlite3.Connection, until: int, seats: int) -> tuple[int, str] | None:
    """The uid and hotkey of the one without weight whose last commitment is the oldest, of a client with seats."""
    row = db.execute(
        f"{_CLIENTS} SELECT uid, hotkey FROM (SELECT uid, hotkey, coalesce(seats, 1) AS seats, "
        f"(SELECT max(block) FROM commitment_log c WHERE c.hotkey = n.hotkey) AS last {_MAY_LOSE} "
        "AND uid NOT IN (SELECT uid FROM weights WHERE weight > 0)) "
        "WHERE last <= ? ORDER BY seats DESC, last, uid LIMIT 1",
        (seats, until),
    ).fetchone()
    return None if row is None else (int(row[0]), str(row[1]))


def _remove(db: sqlite3.Connection, uid: int, hotkey: str) -> None:
    db.execute("DELETE FROM weights WHERE uid = ? OR validator = ?", (uid, hotkey))
    own = (
        "endpoints",
        "self_registered",
        "registered_from",
        "coldkeys",
        "commitments",
        "commitment_log",
        "commitment_cuts",
        "neurons",
    )
    for table in own:
        db.execute(f"DELETE FROM {table} WHERE hotkey = ?", (hotkey,))


def set_coldkey(db: sqlite3.Connection, hotkey: str, coldkey: str, block: int) -> None:
    """Note the coldkey that owns a registered hotkey from that block on. It stays while the hotkey has its seat.

    Raises:
        OtherColdkey: another coldkey owns the hotkey.
    """
    row = db.execute("SELECT coldkey FROM coldkeys WHERE hotkey = ?", (hotkey,)).fetchone()
    if row is not None and row[0] != coldkey:
        raise OtherColdkey(f"The hotkey {hotkey} belongs to the coldkey {row[0]}", "Register another hotkey.")
    db.execute("INSERT OR IGNORE INTO coldkeys VALUES (?, ?, ?)", (hotkey, coldkey, block))


def note_who_registered(db: sqlite3.Connection, hotkey: str, *, by_itself: bool, client: str = "") -> None:
    """Note that a hotkey registered itself, or that the organiser registered it, which counts from then on."""
    if not by_itself:
        for table in ("self_registered", "registered_from"):
            db.execute(f"DELETE FROM {table} WHERE hotkey = ?", (hotkey,))
        return
    db.execute("INSERT OR IGNORE INTO self_registered VALUES (?)", (hotkey,))
    if client:
        db.execute("INSERT OR IGNORE INTO registered_from VALUES (?, ?)", (hotkey, client))
