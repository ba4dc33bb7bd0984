"""The seats of a private chain with open registration: which hotkey loses its seat to a new one if all are taken.

A hotkey that registered itself and never committed loses its seat to a new one after `GRACE_BLOCKS`. Hotkeys that
the organiser registered, and those with stake or a permit, keep theirs.
"""

from __future__ import annotations

import sqlite3

from soundsright.core.errors import OtherColdkey, UsageError

MAX_NEURONS = 4_096
GRACE_BLOCKS = 300
"""An hour of blocks of 12 s: the time for a first commitment."""


def free_uid(db: sqlite3.Connection, block: int, most: int) -> int:
    """The uid for a new hotkey. On a full chain it is that of a hotkey that never committed, which is removed.

    Raises:
        UsageError: the chain is full, and every hotkey may keep its seat.
    """
    uid = int(db.execute("SELECT coalesce(max(uid) + 1, 0) FROM neurons").fetchone()[0])
    if uid < most:
        return uid
    idle = db.execute(
        "SELECT uid, hotkey FROM neurons NATURAL JOIN self_registered WHERE permit = 0 AND stake = 0 "
        "AND registered_at <= ? AND NOT EXISTS (SELECT 1 FROM commitment_log c WHERE c.hotkey = neurons.hotkey) "
        "ORDER BY registered_at, uid LIMIT 1",
        (block - GRACE_BLOCKS,),
    ).fetchone()
    if idle is None:
        raise UsageError(f"The chain is full: it has {most} hotkeys", "Start another chain.")
    _remove(db, *idle)
    return int(idle[0])


def _remove(db: sqlite3.Connection, uid: int, hotkey: str) -> None:
    db.execute("DELETE FROM weights WHERE uid = ? OR validator = ?", (uid, hotkey))
    for table in ("endpoints", "self_registered", "coldkeys", "neurons"):
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


def note_who_registered(db: sqlite3.Connection, hotkey: str, *, by_itself: bool) -> None:
    """Note that a hotkey registered itself, or that the organiser registered it, which counts from then on."""
    if by_itself:
        db.execute("INSERT OR IGNORE INTO self_registered VALUES (?)", (hotkey,))
    else:
        db.execute("DELETE FROM self_registered WHERE hotkey = ?", (hotkey,))
