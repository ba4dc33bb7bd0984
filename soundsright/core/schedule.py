"""Rounds: when entries close, which block fixes the seed, and the seed itself.

Blocks are counted; a block's hash is a hex string. Entries count up to and including `entries_close_block`;
the seed comes from the hash of `seed_block`, which lies after it, so that nobody can know the set in time.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Round:
    """One round of all competitions.

    Raises:
        ValueError: if the seed's block does not lie after the close of entries.
    """

    id: str
    entries_close_block: int
    seed_block: int

    def __post_init__(self) -> None:
        if self.seed_block <= self.entries_close_block:
            raise ValueError(
                f"seed block {self.seed_block} does not lie after the close {self.entries_close_block}"
            )


def seed_of_round(block_hash: str, competition_id: str) -> int:
    """The 64-bit seed of one competition's set: the first 8 bytes of SHA-256(`hash:competition`).

    >>> seed_of_round("0xabc", "DENOISING_16000HZ") != seed_of_round("0xabc", "DENOISING_48000HZ")
    True
    """
    digest = hashlib.sha256(f"{block_hash}:{competition_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big")
