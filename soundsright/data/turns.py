"""Turns: which recording, noise or room clip i has, so that none comes twice before all have come once.

Clip i has element `i mod n` of block `i div n`, and each block is another permutation of the n elements.
A turn depends on the seed, the split and the number of the clip, and on no other clip.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from soundsright.data.splits import Split

BALANCE_VERSION = 1
"""The method below. A set records it, so that a later method does not continue a set of this one."""

SPEECH, NOISE, ROOMS = range(3)
"""The series of a set, which are shuffled independently."""

_ORDER_KEY, _PLACE_KEY = 0xBA1A, 0xBA1B
_PART = 20
# Multiples of the golden ratio, modulo 1, stay far from each other however many there are.
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


@dataclass(frozen=True)
class Picked:
    """An element by its number, how often the series had it before, and a random place of its own in [0, 1)."""

    number: int
    use: int
    first_place: float

    def place(self, attempt: int = 0) -> float:
        """The place to begin in the element, in [0, 1). Each use begins at another place, far from the others."""
        return (self.first_place + (self.use + 0.5 * attempt) * _GOLDEN) % 1.0


@dataclass(frozen=True)
class Turn:
    """The place of clip `index` in one series of the set of `seed`.

    >>> sorted(Turn(7, index, series=(SPEECH,)).of(5).number for index in range(10, 15))
    [0, 1, 2, 3, 4]
    """

    seed: int
    index: int
    split: Split | None = None
    series: tuple[int, ...] = ()

    def of(self, count: int) -> Picked:
        """The element that the clip has, of `count` ones."""
        use, place = divmod(self.index, count)
        number = int(_order(self._entropy(_ORDER_KEY, use), self._spawn_key, count)[place])
        return Picked(number, use, float(_places(self._entropy(_PLACE_KEY), self._spawn_key, count)[number]))

    def among(self, series: int) -> Turn:
        """The clip's turn in one of the series of this one."""
        return replace(self, series=(*self.series, series))

    def within(self, picked: Picked) -> Turn:
        """The turn among the clips that have the same element."""
        return replace(self.among(picked.number), index=picked.use)

    def parted(self, share: float) -> tuple[bool, Turn]:
        """Whether the clip belongs to a part with this share of the clips, and its turn within its part.

        Of each 20 clips, 20 times the share belong to it, rounded down or up.
        """
        block, place = divmod(self.index, _PART)
        phase = float(_places(self._entropy(_PLACE_KEY), self._spawn_key, 1)[0])
        before, after = (math.floor(number * _PART * share + phase) for number in (block, block + 1))
        order = _order(self._entropy(_ORDER_KEY, block), self._spawn_key, _PART)
        belongs = order < after - before
        index = before + int(np.count_nonzero(belongs[:place]))
        if not belongs[place]:
            return False, replace(self.among(0), index=self.index - index)
        return True, replace(self.among(1), index=index)

    def _entropy(self, *key: int) -> tuple[int, ...]:
        return (self.seed, *key, *self.series)

    @property
    def _spawn_key(self) -> tuple[int, ...]:
        return () if self.split is None else (list(Split).index(self.split),)


@lru_cache(maxsize=32)
def _order(entropy: tuple[int, ...], spawn_key: tuple[int, ...], count: int) -> NDArray[np.int32]:
    order = _generator(entropy, spawn_key).permutation(count).astype(np.int32)
    order.flags.writeable = False
    return order


@lru_cache(maxsize=32)
def _places(entropy: tuple[int, ...], spawn_key: tuple[int, ...], count: int) -> NDArray[np.float64]:
    return _generator(entropy, spawn_key).random(count)


def _generator(entropy: tuple[int, ...], spawn_key: tuple[int, ...]) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(entropy, spawn_key=spawn_key))
