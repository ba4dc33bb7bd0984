"""The balances of a private chain's coldkeys and their transfers, in RAO: 1 TAO is 1e9 RAO, always an integer.

Only the organiser makes new RAO; a transfer moves them. An address has an account if the organiser minted to it or
if it is the coldkey of a registered hotkey. Transfers go only to addresses with an account, and an address makes at
most `MAX_PER_PERIOD` of them in `PERIOD_BLOCKS`, because each one makes the file larger. The last `KEPT` transfers
stay. The chain remembers the last block of a removed one, and refuses to list transfers from before it.
"""

from __future__ import annotations

import sqlite3

from soundsright.core.errors import HistoryGone
from soundsright.core.ports import Transfer, TxResult
from soundsright.core.ports.tables import MAX_RAO, checked_amount

KEPT = 200_000
PERIOD_BLOCKS = 360
MAX_PER_PERIOD = 32

TABLES = {
    "balances": f"coldkey TEXT PRIMARY KEY, rao INTEGER NOT NULL CHECK (rao BETWEEN 0 AND {MAX_RAO})",
    "transfers": "position INTEGER PRIMARY KEY AUTOINCREMENT, sender TEXT NOT NULL, receiver TEXT NOT NULL, "
    "amount_rao INTEGER NOT NULL, block INTEGER NOT NULL",
    "removed_transfers": "one INTEGER PRIMARY KEY CHECK (one = 1), last_block INTEGER NOT NULL",
}
INDEXES = (
    "CREATE INDEX IF NOT EXISTS transfers_by_receiver ON transfers (receiver, block)",
    "CREATE INDEX IF NOT EXISTS transfers_by_sender ON transfers (sender, block)",
)


def balance_rao(db: sqlite3.Connection, coldkey: str) -> int:
    """The balance of the address; 0 if it has no account."""
    row = db.execute("SELECT rao FROM balances WHERE coldkey = ?", (coldkey,)).fetchone()
    return 0 if row is None else int(row[0])


def bad_mint(db: sqlite3.Connection, amount_rao: int) -> TxResult | None:
    """The refusal of new RAO, or None if they can be made."""
    refusal = _bad_amount(amount_rao)
    total = int(db.execute("SELECT coalesce(sum(rao), 0) FROM balances").fetchone()[0])
    if refusal is None and total + amount_rao > MAX_RAO:
        return TxResult(False, "too_much", f"all accounts have {total} RAO, and together at most {MAX_RAO}")
    return refusal


def bad_transfer(
    db: sqlite3.Connection, sender: str, receiver: str, amount_rao: int, block: int
) -> TxResult | None:
    """The refusal of a transfer in that block, or None if it can be made."""
    refusal = _bad_amount(amount_rao)
    if refusal is not None:
        return refusal
    if sender == receiver:
        return TxResult(False, "same_account", f"{sender} cannot pay itself")
    if not _has_account(db, receiver):
        return TxResult(
            False,
            "no_account",
            f"{receiver[:80]} has no account: it is no registered hotkey's coldkey, and the organiser has not "
            "minted to it",
        )
    balance = balance_rao(db, sender)
    if balance < amount_rao:
        return TxResult(False, "balance_too_low", f"{sender} has {balance} RAO, less than {amount_rao}")
    query = "SELECT count(*) FROM transfers WHERE sender = ? AND block > ?"
    if db.execute(query, (sender, block - PERIOD_BLOCKS)).fetchone()[0] >= MAX_PER_PERIOD:
        return TxResult(
            False,
            "too_often",
            f"{sender} has made {MAX_PER_PERIOD} transfers in {PERIOD_BLOCKS} blocks: try again later",
            retryable=True,
        )
    return None


def add_mint(db: sqlite3.Connection, coldkey: str, amount_rao: int) -> None:
    """Add new RAO to the address's balance."""
    db.execute(
        "INSERT INTO balances VALUES (?, ?) ON CONFLICT (coldkey) DO UPDATE SET rao = rao + excluded.rao",
        (coldkey, amount_rao),
    )


def add_transfer(db: sqlite3.Connection, sender: str, receiver: str, amount_rao: int, block: int) -> None:
    """Move RAO from one address to another, and note the transfer."""
    db.execute("UPDATE balances SET rao = rao - ? WHERE coldkey = ?", (amount_rao, sender))
    add_mint(db, receiver, amount_rao)
    db.execute(
        "INSERT INTO transfers (sender, receiver, amount_rao, block) VALUES (?, ?, ?, ?)",
        (sender, receiver, amount_rao, block),
    )
    row = db.execute(
        "SELECT position, block FROM transfers ORDER BY position DESC LIMIT 1 OFFSET ?", (KEPT,)
    ).fetchone()
    if row is not None:
        db.execute("DELETE FROM transfers WHERE position <= ?", (row[0],))
        db.execute("INSERT OR REPLACE INTO removed_transfers VALUES (1, ?)", (row[1],))


def transfers_to(db: sqlite3.Connection, to: str, after_block: int, until_block: int) -> tuple[Transfer, ...]:
    """The transfers to the address in the blocks after the first and up to the second, in order.

    Raises:
        HistoryGone: the chain no longer has all of them.
    """
    row = db.execute("SELECT last_block FROM removed_transfers").fetchone()
    if row is not None and after_block < row[0]:
        raise HistoryGone(
            f"Transfers after block {after_block} were asked for, and those up to block {row[0]} are gone",
            f"Ask for those after block {row[0]}, and settle the earlier ones by hand.",
        )
    rows = db.execute(
        "SELECT position, sender, amount_rao, block FROM transfers WHERE receiver = ? AND block > ? AND block <= ? "
        "ORDER BY position",
        (to, after_block, until_block),
    )
    return tuple(Transfer(f"{block}-{position}", sender, amount, block) for position, sender, amount, block in rows)


def _bad_amount(amount_rao: int) -> TxResult | None:
    try:
        checked_amount(amount_rao)
    except ValueError as error:
        return TxResult(False, "bad_amount", str(error))
    return None


def _has_account(db: sqlite3.Connection, address: str) -> bool:
    return any(
        db.execute(f"SELECT 1 FROM {table} WHERE coldkey = ?", (address,)).fetchone() is not None
        for table in ("balances", "coldkeys")
    )
