"""A private chain in one SQLite file: blocks, registrations, commitments, endpoints and weights.

Blocks are counted from 0; times are in seconds since the epoch. A block's hash covers its parent's hash, its number
and its entropy. A write belongs to the block after the head. One process makes blocks; any number may read them.
The last commitments of each hotkey are kept with their blocks, so the chain can be read as of an earlier block.
"""

from __future__ import annotations

import hashlib
import math
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from soundsright.adapters.chains.chain_file import ChainFile
from soundsright.adapters.chains.commitment_log import (
    MAX_PER_PERIOD,
    PERIOD_BLOCKS,
    commitments_as_of,
    commits_too_often,
    log_commitment,
)
from soundsright.adapters.chains.ledger_transfers import (
    add_mint,
    add_transfer,
    bad_mint,
    bad_transfer,
    balance_rao,
    transfers_to,
)
from soundsright.adapters.chains.registrations import MAX_NEURONS, free_uid, note_who_registered, set_coldkey
from soundsright.core.endpoint import is_endpoint
from soundsright.core.errors import ChainUnavailable
from soundsright.core.ports import BlockRef, Neuron, Snapshot, SubnetRules, Transfer, TxResult
from soundsright.core.submission import Commitment

MAX_COMMITMENT_CHARS = 2_000
_SHOWN_BLOCKS = 4


def _system_entropy(_number: int) -> bytes:
    return secrets.token_bytes(32)


def seeded_block_entropy(seed: int) -> Callable[[int], bytes]:
    """Entropy for each block that follows from the seed, so that a trial can be repeated. Never use it for prizes.

    >>> seeded_block_entropy(1)(5) == seeded_block_entropy(1)(5) != seeded_block_entropy(2)(5)
    True
    """
    return lambda number: hashlib.sha256(f"{seed}:{number}".encode()).digest()


class LocalChain:
    """The ports `LiveChain` and `Treasury` over one file.

    `appoint`, `register`, `mint` and `advance` are for the organiser. Check who asks before you call a method that
    writes.

    Parameters:
        entropy: gives, for the number of a block, the unpredictable part of the block's hash.
        block_s: the seconds between two blocks in the chain's own time, however fast blocks are made. If None, a
            block has the time of the clock.
        block_per_write: whether each write makes the block that it belongs to. Otherwise only `advance` makes
            blocks, and writers do not influence the chain's time. Registrations and commitments are then visible
            from the next block on; of a hotkey's commitments in one block only the last counts. Endpoints,
            weights and balances are visible at once, transfers from the next block on.
        now_s: the clock.

    Raises:
        UsageError: the file is not a database, is damaged, or belongs to another program.
        ChainUnavailable: the file cannot be opened, read or written. Every method can raise it.
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
        self._entropy = entropy
        self._block_s = block_s
        self._block_per_write = block_per_write
        self._now_s = now_s
        self._shown: dict[BlockRef, tuple[Commitment, ...]] = {}
        self._shown_lock = threading.Lock()
        self._file = ChainFile(path, make_first_block=self._append_block)

    def check(self) -> None:
        """Read the whole file and check that it is not damaged.

        Raises:
            UsageError: it is damaged.
        """
        self._file.check()

    def ahead_s(self) -> float:
        """The seconds by which the last block's time is ahead of the clock; negative if it is behind."""
        with self._file.reading() as db:
            last_s = db.execute("SELECT max(made_at_s) FROM block_times").fetchone()[0]
        return 0.0 if last_s is None else float(last_s) - self._now_s()

    def _append_block(self, db: sqlite3.Connection) -> BlockRef:
        row = db.execute("SELECT number, hash FROM blocks ORDER BY number DESC LIMIT 1").fetchone()
        number, parent = (row[0] + 1, row[1]) if row else (0, "0x" + "0" * 64)
        digest = hashlib.sha256(f"{parent}:{number}:".encode() + self._entropy(number)).hexdigest()
        db.execute("INSERT INTO blocks VALUES (?, ?)", (number, "0x" + digest))
        previous_s = db.execute("SELECT max(made_at_s) FROM block_times").fetchone()[0]
        made_at_s = self._now_s() if previous_s is None or self._block_s is None else previous_s + self._block_s
        # Never go back, even if the clock does: the block of a time is found by bisection.
        made_at_s = made_at_s if previous_s is None else max(made_at_s, previous_s)
        db.execute("INSERT INTO block_times VALUES (?, ?)", (number, made_at_s))
        return BlockRef(number, "0x" + digest)

    def _block_of_write(self, db: sqlite3.Connection) -> int:
        """The number of the block that a write belongs to."""
        if self._block_per_write:
            return self._append_block(db).number
        return self._next_block(db)

    def _next_block(self, db: sqlite3.Connection) -> int:
        return int(db.execute("SELECT max(number) + 1 FROM blocks").fetchone()[0])

    def advance(self, blocks: int = 1) -> BlockRef:
        """Append `blocks` blocks and return the new head."""
        with self._file.writing() as db:
            for _ in range(blocks):
                self._append_block(db)
        return self.head()

    def head(self) -> BlockRef:
        with self._file.reading() as db:
            return BlockRef(*db.execute("SELECT number, hash FROM blocks ORDER BY number DESC LIMIT 1").fetchone())

    def finalized(self) -> BlockRef:
        """The head: a chain with one author has no forks."""
        return self.head()

    def block_hash(self, number: int) -> str:
        with self._file.reading() as db:
            row = db.execute("SELECT hash FROM blocks WHERE number = ?", (number,)).fetchone()
        if row is None:
            raise _no_block_yet(number)
        return str(row[0])

    def timestamp_s(self, number: int) -> float:
        with self._file.reading() as db:
            row = db.execute("SELECT made_at_s FROM block_times WHERE number = ?", (number,)).fetchone()
        if row is None:
            raise ChainUnavailable(f"The local chain has no time for block {number}", "Wait for the block.")
        return float(row[0])

    def owner(self) -> str | None:
        """The organiser's hotkey. It may commit without registration."""
        with self._file.reading() as db:
            row = db.execute("SELECT hotkey FROM organiser").fetchone()
        return None if row is None else str(row[0])

    def appoint(self, hotkey: str) -> None:
        """Make the hotkey the organiser's. It replaces the one before."""
        if self.owner() != hotkey:
            with self._file.writing() as db:
                db.execute("INSERT OR REPLACE INTO organiser VALUES (1, ?)", (hotkey,))
            with self._shown_lock:
                self._shown.clear()  # Commitments of the old and the new owner.

    def register(
        self,
        hotkey: str,
        *,
        stake: float = 0.0,
        permit: bool = False,
        by_itself: bool = False,
        client: str = "",
        coldkey: str | None = None,
    ) -> int:
        """The hotkey's uid. A new hotkey is registered in the next block. With `permit` it may set weights.

        On a full chain, it gets the seat of a hotkey that registered itself (`by_itself`) and has not committed for
        a day. The `client` from which most hotkeys registered loses a seat first. The last seats are only for
        hotkeys that the organiser registers.
        `coldkey` owns the hotkey from the next block on. A hotkey that has no coldkey yet can be given one later.

        Raises:
            UsageError: the chain has `MAX_NEURONS` hotkeys already, and each of them keeps its seat.
            OtherColdkey: another coldkey owns the hotkey.
        """
        with self._file.writing() as db:
            row = db.execute("SELECT uid FROM neurons WHERE hotkey = ?", (hotkey,)).fetchone()
            if row is not None:
                if not by_itself:
                    note_who_registered(db, hotkey, by_itself=False)
                if coldkey is not None:
                    set_coldkey(db, hotkey, coldkey, self._next_block(db))
                return int(row[0])
            block = self._block_of_write(db)
            uid = free_uid(db, block, MAX_NEURONS, by_itself=by_itself, client=client)
            db.execute("INSERT INTO neurons VALUES (?, ?, ?, ?, ?)", (uid, hotkey, block, stake, int(permit)))
            note_who_registered(db, hotkey, by_itself=by_itself, client=client)
            if coldkey is not None:
                set_coldkey(db, hotkey, coldkey, block)
            return uid

    def is_registered(self, hotkey: str) -> bool:
        """Whether the hotkey has a seat, from now or from the next block on."""
        with self._file.reading() as db:
            return _is_registered(db, hotkey)

    def neurons(self) -> tuple[Neuron, ...]:
        return self.snapshot().neurons

    def commitments(self) -> tuple[Commitment, ...]:
        return self.snapshot().commitments

    def snapshot(self, number: int | None = None) -> Snapshot:
        """The chain as of that block; None means the head.

        Registrations, coldkeys and commitments are those of that block. Endpoints and weights are always the
        current ones.
        """
        with self._file.reading() as db:
            query = "SELECT number, hash FROM blocks WHERE number <= ? ORDER BY number DESC LIMIT 1"
            block = BlockRef(*db.execute(query, (2**62 if number is None else number,)).fetchone())
            if number is not None and block.number != number:
                raise _no_block_yet(number)
            return Snapshot(block, _neurons_as_of(db, block.number), self._commitments_as_of(db, block))

    def _commitments_as_of(self, db: sqlite3.Connection, block: BlockRef) -> tuple[Commitment, ...]:
        """The commitments as of a block. They never change, so those of the last blocks read are kept."""
        with self._shown_lock:
            shown = self._shown.get(block)
        if shown is None:
            shown = commitments_as_of(db, block.number)
            with self._shown_lock:
                self._shown[block] = shown
                while len(self._shown) > _SHOWN_BLOCKS:
                    del self._shown[next(iter(self._shown))]
        return shown

    def publish(self, hotkey: str, digest: str) -> TxResult:
        """Commit the text for the hotkey in the next block. It replaces the hotkey's earlier commitment.

        The hotkey is registered, or the organiser's.
        """
        if len(digest) > MAX_COMMITMENT_CHARS:
            return TxResult(False, "too_long", f"a commitment has at most {MAX_COMMITMENT_CHARS} characters")
        with self._file.writing() as db:
            registered = _is_registered(db, hotkey)
            if not registered and not _is_organiser(db, hotkey):
                return _not_registered(hotkey)
            if commits_too_often(db, hotkey, self._next_block(db)):
                return TxResult(
                    False,
                    "too_often",
                    f"{hotkey} has committed {MAX_PER_PERIOD} times in {PERIOD_BLOCKS} blocks: try again later",
                    retryable=True,
                )
            block = self._block_of_write(db)
            if registered:
                db.execute("INSERT OR REPLACE INTO commitments VALUES (?, ?, ?)", (hotkey, digest, block))
            log_commitment(db, hotkey, digest, block)
        return TxResult(True, block=block)

    def balance_rao(self, coldkey: str) -> int:
        """The balance of the address; 0 if it has no account."""
        with self._file.reading() as db:
            return balance_rao(db, coldkey)

    def mint(self, to: str, amount_rao: int) -> TxResult:
        """Add new RAO to the balance of the address. All balances together are at most 21 million TAO."""
        with self._file.writing() as db:
            refusal = bad_mint(db, amount_rao)
            if refusal is not None:
                return refusal
            block = self._block_of_write(db)
            add_mint(db, to, amount_rao)
        return TxResult(True, block=block)

    def transfer(self, coldkey: str, to: str, amount_rao: int) -> TxResult:
        """Move RAO from the coldkey's balance to that of an address with an account."""
        with self._file.writing() as db:
            refusal = bad_transfer(db, coldkey, to, amount_rao, self._next_block(db))
            if refusal is not None:
                return refusal
            block = self._block_of_write(db)
            add_transfer(db, coldkey, to, amount_rao, block)
        return TxResult(True, block=block)

    def transfers(self, to: str, after_block: int, until_block: int | None = None) -> tuple[Transfer, ...]:
        with self._file.reading() as db:
            head = self._next_block(db) - 1
            until = head if until_block is None else until_block
            if max(after_block, until) > head:
                raise _no_block_yet(max(after_block, until))
            return transfers_to(db, to, after_block, until)

    def rules(self) -> SubnetRules:
        """The defaults: the owner of a private chain cannot change the rules."""
        return SubnetRules()

    def clock_offset_s(self, now_s: float) -> float:
        """0: the chain's clock is this machine's."""
        return 0.0

    def publish_endpoint(self, hotkey: str, endpoint: str) -> TxResult:
        """Announce the `host:port` at which the hotkey serves requests."""
        if not is_endpoint(endpoint):
            return TxResult(
                False,
                "bad_endpoint",
                f"{endpoint[:80]!r} is not an endpoint: give HOST:PORT, with a port from 1 to 65535, and an IPv6 "
                "address in brackets",
            )
        with self._file.writing() as db:
            if not _is_registered(db, hotkey):
                return _not_registered(hotkey)
            block = self._block_of_write(db)
            db.execute("INSERT OR REPLACE INTO endpoints VALUES (?, ?)", (hotkey, endpoint))
        return TxResult(True, block=block)

    def set_weights(self, hotkey: str, by_hotkey: Mapping[str, float]) -> TxResult:
        """Replace the validator's weights. They are stored by the uids that the hotkeys have now."""
        if not by_hotkey or any(not math.isfinite(w) or w < 0 for w in by_hotkey.values()):
            return TxResult(False, "bad_weights", "there must be weights, all finite and none negative")
        with self._file.writing() as db:
            permit = db.execute("SELECT permit FROM neurons WHERE hotkey = ?", (hotkey,)).fetchone()
            if permit is None:
                return _not_registered(hotkey)
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
        """The validator's current weights, by uid."""
        with self._file.reading() as db:
            rows = db.execute("SELECT uid, weight FROM weights WHERE validator = ? ORDER BY uid", (validator,))
            return {int(uid): float(weight) for uid, weight in rows}

    def close(self) -> None:
        """Do nothing: no connection stays open between calls."""


def _no_block_yet(number: int) -> ChainUnavailable:
    return ChainUnavailable(f"The local chain has no block {number} yet", "Wait until the chain has made it.")


def _not_registered(hotkey: str) -> TxResult:
    return TxResult(False, "not_registered", f"{hotkey} is not registered")


def _is_registered(db: sqlite3.Connection, hotkey: str) -> bool:
    return db.execute("SELECT 1 FROM neurons WHERE hotkey = ?", (hotkey,)).fetchone() is not None


def _is_organiser(db: sqlite3.Connection, hotkey: str) -> bool:
    return db.execute("SELECT 1 FROM organiser WHERE hotkey = ?", (hotkey,)).fetchone() is not None


def _neurons_as_of(db: sqlite3.Connection, block: int) -> tuple[Neuron, ...]:
    rows = db.execute(
        "SELECT uid, n.hotkey, registered_at, stake, permit, endpoint, "
        "(SELECT max(block) FROM weights WHERE validator = n.hotkey), coldkey FROM neurons n "
        "LEFT JOIN endpoints e ON e.hotkey = n.hotkey "
        "LEFT JOIN coldkeys c ON c.hotkey = n.hotkey AND c.block <= ? WHERE registered_at <= ? ORDER BY uid",
        (block, block),
    )
    return tuple(
        Neuron(uid, hotkey, registered_at, stake, bool(permit), endpoint, weights_set_at, coldkey)
        for uid, hotkey, registered_at, stake, permit, endpoint, weights_set_at, coldkey in rows
    )
