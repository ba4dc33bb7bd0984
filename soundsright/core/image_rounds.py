"""Rounds of the executor: which round a block belongs to, and the competition of that round.

Blocks are counted. Round number k begins with the block k x `update_blocks`, whose hash is the seed of its set.
There is no round 0: the hash of a chain's first block was known before anybody could submit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from soundsright.core.competition import Competition


@dataclass(frozen=True)
class ImageRound:
    """A round of images. `seed_block` is the block whose hash is the seed of its set.

    Raises:
        ValueError: the number is not positive, or the block is before it.
    """

    number: int
    seed_block: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.seed_block:
            raise ValueError(f"round {self.number} cannot begin with block {self.seed_block}")

    @property
    def id(self) -> str:
        """A name that no other round has, also if the organiser changes the length of rounds.

        >>> ImageRound(7, 1_260).id
        'images-1260'
        """
        return f"images-{self.seed_block}"

    def competition(self, competitions: Sequence[Competition]) -> Competition:
        """The competition of this round. They take turns, in the organiser's order.

        Raises:
            ValueError: there is no competition.
        """
        if not competitions:
            raise ValueError("a round needs a competition")
        return competitions[self.number % len(competitions)]


def image_round_at(finalized_block: int, update_blocks: int) -> ImageRound | None:
    """The round in which `finalized_block` is the latest final block; None before the first one.

    Raises:
        ValueError: `update_blocks` is not positive, or the block is negative.

    >>> image_round_at(359, 180), image_round_at(360, 180), image_round_at(179, 180)
    (ImageRound(number=1, seed_block=180), ImageRound(number=2, seed_block=360), None)
    """
    if update_blocks < 1 or finalized_block < 0:
        raise ValueError(f"block {finalized_block} with rounds of {update_blocks} blocks is in no round")
    number = finalized_block // update_blocks
    return ImageRound(number, number * update_blocks) if number else None
