"""Rounds: their start, the close of entries, and the block that gives the seed of the clips.

Times are in seconds since the epoch, UTC; blocks are counted; a block's hash is a hex string. Entries close with
`entries_close_block`. The hash of the later `seed_block` gives the seed, so nobody can know the clips before
entries close. Results are final at `final_block`.

The blocks of a round follow from the chain's own timestamps, and only from finalised blocks. So all validators find
the same blocks, even if their clocks differ. If blocks come late, the answer is "not yet".
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

DAY_S = 86_400
PRUNED_BLOCKS = 250
"""Every node knows the state this many blocks back. A node that is not an archive keeps the state of 256 blocks."""


@dataclass(frozen=True)
class Round:
    """One round of all competitions.

    Raises:
        ValueError: if the seed's block is not after the close of entries, or results are final before it.
    """

    id: str
    entries_close_block: int
    seed_block: int
    final_block: int | None = None

    def __post_init__(self) -> None:
        if self.seed_block <= self.entries_close_block:
            raise ValueError(
                f"seed block {self.seed_block} is not after the close of entries, {self.entries_close_block}"
            )
        if self.final_block is not None and self.final_block <= self.seed_block:
            raise ValueError(f"final block {self.final_block} is not after the seed block {self.seed_block}")

    @property
    def reveal_deadline_block(self) -> int:
        """The block up to which validators ask miners for reveals: half-way from the close to the seed's block.

        Until the seed's block they pass on to each other what they got.

        >>> Round("r", 100, 110).reveal_deadline_block, Round("r", 100, 101).reveal_deadline_block
        (105, 101)
        """
        return self.entries_close_block + (self.seed_block - self.entries_close_block + 1) // 2


def seed_of_round(block_hash: str, competition_id: str) -> int:
    """The 64-bit seed of one competition's set: the first 8 bytes of the SHA-256 of `hash:competition_id`.

    >>> seed_of_round("0xabc", "DENOISING_16000HZ") != seed_of_round("0xabc", "DENOISING_48000HZ")
    True
    """
    digest = hashlib.sha256(f"{block_hash}:{competition_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


@dataclass(frozen=True)
class Schedule:
    """Rounds that start at a fixed time of day, UTC, every `every_days` days from `first_day` on.

    Days are counted from 1970-01-01 and have 86 400 s: there is no summer time and no leap second.

    Raises:
        ValueError: if a number is out of its range, or the last day is before the first.
    """

    time_of_day_s: int
    every_days: int
    first_day: int = 0
    last_day: int | None = None
    seed_delay_blocks: int = 10
    final_after_blocks: int = 7_200

    def __post_init__(self) -> None:
        if not 0 <= self.time_of_day_s < DAY_S:
            raise ValueError(f"{self.time_of_day_s} s is not a time of day")
        for name in ("every_days", "seed_delay_blocks", "final_after_blocks"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.first_day < 0:
            raise ValueError(f"first_day {self.first_day} is before 1970-01-01")
        if self.last_day is not None and self.last_day < self.first_day:
            raise ValueError(f"last_day {_date(self.last_day)} is before first_day {_date(self.first_day)}")

    def start_s(self, number: int) -> int:
        """The start of round `number`, in seconds since the epoch. The first round is 0.

        >>> Schedule(time_of_day_s=9 * 3600, every_days=2).start_s(1)
        205200
        """
        return (self.first_day + number * self.every_days) * DAY_S + self.time_of_day_s

    def id_of(self, number: int) -> str:
        """The id of round `number`: the day on which it starts.

        >>> Schedule(time_of_day_s=0, every_days=7, first_day=20_000).id_of(0)
        '2024-10-04'
        """
        return _date(self.first_day + number * self.every_days)

    def last_started(self, time_s: float) -> int | None:
        """The latest round that has started by that time, or None before the first."""
        number = int((time_s - self.start_s(0)) // (self.every_days * DAY_S))
        if self.last_day is not None:
            number = min(number, (self.last_day - self.first_day) // self.every_days)
        return number if number >= 0 else None

    def next_start_s(self, time_s: float) -> int | None:
        """The start of the next round after that time, or None if the last round has started.

        >>> Schedule(time_of_day_s=9 * 3600, every_days=2).next_start_s(40_000.0)
        205200
        """
        started = self.last_started(time_s)
        number = 0 if started is None else started + 1
        if self.last_day is not None and self.first_day + number * self.every_days > self.last_day:
            return None
        return self.start_s(number)

    def due(self, chain_time_s: float, *, last_done: int | None) -> int | None:
        """The round to run now, or None if the latest round is done or no round has started.

        If several starts were missed, only the latest round is due, which judges the entries of the missed ones.
        `chain_time_s` is the time of the latest finalised block.
        """
        number = self.last_started(chain_time_s)
        if number is None or (last_done is not None and number <= last_done):
            return None
        return number

    def plan(self, number: int, *, finalized: int, timestamp_s: Callable[[int], float]) -> Round | None:
        """The blocks of round `number`, or None if no finalised block is at or after its start.

        Entries close with the last block before the start. `timestamp_s` gives the time of a finalised block. It is
        called about log2(n) times if n blocks have come since the start. It is never called for a block that is
        more than 2 n blocks back, or more than `PRUNED_BLOCKS` if that is further.
        """
        start_s = self.start_s(number)
        if finalized < 1 or timestamp_s(finalized) < start_s:
            return None
        high, back = finalized, PRUNED_BLOCKS  # `high` is never before the start.
        while back < finalized and timestamp_s(finalized - back) >= start_s:
            high, back = finalized - back, 2 * back
        low = max(0, finalized - back)  # `low` is before the start, or 0.
        while high - low > 1:
            middle = (low + high) // 2
            if timestamp_s(middle) < start_s:
                low = middle
            else:
                high = middle
        seed_block = low + self.seed_delay_blocks
        return Round(self.id_of(number), low, seed_block, seed_block + self.final_after_blocks)


def _date(day: int) -> str:
    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=day)).isoformat()
