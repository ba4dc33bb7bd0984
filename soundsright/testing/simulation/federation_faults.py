"""Faults of a simulated federation: buckets that cannot be read, partitions, late blocks, lost writes, restarts.

Validators are numbered from 0. A set of them is an integer whose bit v stands for validator v. An epoch has
`PHASES` phases; what cannot be read is drawn once for each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PHASES = 5
"""Before the view, until it is committed, until views are attested, and two until the next epoch."""
LOST_WRITES = 0.003
FAILED_READS = 0.01

_SHORT, _LONG, _LONG_PART = 2.0, 3.0 * PHASES, 0.1
_MEAN_PHASES = (1 - _LONG_PART) * _SHORT + _LONG_PART * _LONG
_OF_LINKS, _OF_BUCKETS, _OF_READERS = 0.5, 0.3, 0.2
_PARTITIONS, _LATE, _ASLEEP, _REORGANISED, _RESTARTED, _SLOW_IS_LATE = 0.004, 0.01, 0.002, 0.01, 0.004, 0.15
_LONGEST_PARTITION = 4


class _Outages:
    """Outages that begin and end by chance. In the long run, each member is away for its part of the phases."""

    def __init__(self, parts: NDArray[np.float64], rng: np.random.Generator) -> None:
        self._rng, self._parts = rng, parts
        with np.errstate(divide="ignore"):
            self._begins = 1 / (1 + _MEAN_PHASES * (1 - parts) / parts)
        self._left = np.where(rng.random(parts.shape) < parts, self._lengths(), 0)

    def _lengths(self) -> NDArray[np.int64]:
        is_long = self._rng.random(self._parts.shape) < _LONG_PART
        return self._rng.geometric(1 / np.where(is_long, _LONG, _SHORT))

    def next_phase(self) -> NDArray[np.bool_]:
        """Begin a phase. Returns which members are away in it."""
        self._left = np.maximum(self._left - 1, 0)
        begins = (self._left == 0) & (self._rng.random(self._parts.shape) < self._begins)
        self._left = np.where(begins, self._lengths(), self._left)
        return self._left > 0


class Links:
    """The buckets that each validator can read in a phase.

    A link, a bucket or a reader's line is away for a while, a tenth of the times for epochs. `unreachable` is the
    part of reads that fail by it on average. Some validators are harder to reach than others, and one is much
    harder.
    """

    def __init__(self, validators: int, unreachable: float, rng: np.random.Generator) -> None:
        weights = rng.uniform(0.5, 1.5, validators)
        weights[rng.integers(validators)] *= 2
        weights /= weights.mean()
        pairs = np.sqrt(np.outer(weights, weights))
        self._validators = validators
        self._links = _Outages(1 - (1 - unreachable) ** (_OF_LINKS * pairs), rng)
        self._buckets = _Outages(1 - (1 - unreachable) ** (_OF_BUCKETS * weights), rng)
        self._readers = _Outages(1 - (1 - unreachable) ** (_OF_READERS * weights), rng)
        self._groups: Sequence[int] = [0] * validators
        self.reads = 0
        self.unread = 0

    def split(self, groups: Sequence[int]) -> None:
        """Let no validator read the bucket of one with another number in `groups`."""
        self._groups = groups

    def next_phase(self) -> list[int]:
        """Begin a phase. Returns the buckets that each validator can read in it; its own is always among them."""
        away = self._links.next_phase() | self._buckets.next_phase()[None, :] | self._readers.next_phase()[:, None]
        groups = np.asarray(self._groups)
        away |= groups[:, None] != groups[None, :]
        np.fill_diagonal(away, False)
        self.reads += away.size - self._validators
        self.unread += int(away.sum())
        return [sum(1 << int(other) for other in np.flatnonzero(~row)) for row in away]


@dataclass(frozen=True)
class EpochFaults:
    """The faults of one epoch: sets of validators.

    `late` see its blocks too late to commit in time, and `asleep` see none of them. `undone` lose their commitments
    to a reorganisation of the chain, and `restarted` have lost their memory.
    """

    late: int = 0
    asleep: int = 0
    undone: int = 0
    restarted: int = 0
    is_split: bool = False


class FaultDraw:
    """Draws the faults of one epoch after the other, and counts them."""

    def __init__(self, validators: int, slow: int, links: Links, rng: np.random.Generator) -> None:
        self._validators, self._slow, self._links, self._rng = validators, slow, links, rng
        self._split_epochs = 0
        self.counts: Counter[str] = Counter()

    def next_epoch(self) -> EpochFaults:
        """Draw the faults of the next epoch, and split or join the validators."""
        late = self._members(_LATE)
        if self._rng.random() < _SLOW_IS_LATE:
            late |= 1 << self._slow
        undone = self._members(0.5) if self._rng.random() < _REORGANISED else 0
        asleep, restarted = self._members(_ASLEEP), self._members(_RESTARTED)
        faults = EpochFaults(late, asleep, undone, restarted, self._partition())
        for name, struck in (
            ("late blocks", faults.late),
            ("no blocks", faults.asleep),
            ("reorganisation", faults.undone),
            ("restart", faults.restarted),
            ("epoch of a partition", faults.is_split),
        ):
            if struck:
                self.counts[name] += 1
        return faults

    def _members(self, part: float) -> int:
        return sum(1 << v for v in range(self._validators) if self._rng.random() < part)

    def _partition(self) -> bool:
        """Whether the validators are in groups that cannot read each other's buckets, in this epoch."""
        if self._split_epochs > 0:
            self._split_epochs -= 1
            if self._split_epochs == 0:
                self._links.split([0] * self._validators)
        elif self._rng.random() < _PARTITIONS:
            self._split_epochs = int(self._rng.integers(1, _LONGEST_PARTITION + 1))
            self._links.split([int(group) for group in self._rng.integers(0, 2, self._validators)])
        return self._split_epochs > 0
