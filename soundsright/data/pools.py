"""The recordings of a source of speech by number: fresh ones, used ones, and those of each speaker.

A fresh recording is one that no set has used before. A clip speaks with recordings of one speaker that are all
fresh or all used.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from soundsright.core.ports import SpeechSource
from soundsright.data.sources import Sources
from soundsright.data.turns import Turn


@dataclass(frozen=True)
class ChosenRecording:
    """A recording of speech by its number, and whether it is a fresh one; None if the source does not say."""

    index: int
    fresh: bool | None


class Pools:
    """The recordings of a source by number. It is made once for each source, because a source can be large.

    `levels_db` keeps the measured levels of recordings, by number and sample rate.
    """

    def __init__(self, speech: SpeechSource, fresh: tuple[int, ...]) -> None:
        self._is_fresh = frozenset(fresh)
        self.fresh = np.unique(np.asarray(fresh, dtype=np.int64))
        self.used: NDArray[np.int64] = np.setdiff1d(np.arange(len(speech)), self.fresh)
        self.levels_db: dict[tuple[int, int], float] = {}
        self._by_speaker: dict[tuple[str, bool], list[int]] = defaultdict(list)
        for number in range(len(speech)):
            self._by_speaker[speech.speaker(number), number in self._is_fresh].append(number)

    @classmethod
    def of(cls, sources: Sources) -> Pools:
        """The pools of the sources' speech, from a cache."""
        return cls.of_speech(sources.speech, sources.fresh)

    @classmethod
    def of_speech(cls, speech: SpeechSource, fresh: tuple[int, ...] = ()) -> Pools:
        """The pools of a source of speech, from a cache."""
        by_fresh = _pools.setdefault(speech, {})
        pools = by_fresh.get(fresh)
        if pools is None:
            pools = by_fresh[fresh] = cls(speech, fresh)
        return pools

    def chosen(
        self, rng: np.random.Generator, *, fresh_share: float, number: int | None = None, turn: Turn | None = None
    ) -> ChosenRecording:
        """A random recording, with probability `fresh_share` a fresh one, or the recording of that number.

        With a turn, a share of the clips has fresh recordings, and no recording comes twice before all of its pool
        have come once.

        If the source names no fresh recordings, every recording is as likely as any other, and the choice uses no
        random number for the pool. If all recordings are fresh, a fresh one is chosen.
        """
        if number is not None:
            return ChosenRecording(number, number in self._is_fresh if self._is_fresh else None)
        if turn is not None:
            return self._chosen_in_turn(turn, fresh_share)
        if not self._is_fresh:
            return ChosenRecording(int(rng.integers(self.used.size)), None)
        fresh = self.used.size == 0 or bool(rng.random() < fresh_share)
        pool = self.fresh if fresh else self.used
        return ChosenRecording(int(pool[int(rng.integers(pool.size))]), fresh)

    def _chosen_in_turn(self, turn: Turn, fresh_share: float) -> ChosenRecording:
        if not self._is_fresh:
            return ChosenRecording(turn.of(self.used.size).number, None)
        fresh, turn = turn.parted(fresh_share if self.used.size else 1.0)
        pool = self.fresh if fresh else self.used
        return ChosenRecording(int(pool[turn.of(pool.size).number]), fresh)

    def others(self, number: int, speaker: str) -> list[int]:
        """The recordings of the same speaker in the same pool, with the recording itself.

        A recording without a speaker is alone, because nothing says that two of them have one voice.
        """
        return self._by_speaker[speaker, number in self._is_fresh] if speaker else [number]


_pools: WeakKeyDictionary[SpeechSource, dict[tuple[int, ...], Pools]] = WeakKeyDictionary()
