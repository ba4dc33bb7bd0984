"""Compares validators that judge the same miners on different tasks: how far their pass rates agree.

Each validator judges other tasks, so its rates differ by chance. `standing_apart` names only differences that
chance does not explain: Fisher's exact test on passed and failed tasks, two-sided, with Bonferroni's correction
over all pairs of validator and miner.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

ALPHA = 0.001
"""The most chance, over all pairs together, that an honest validator stands apart."""


@dataclass(frozen=True)
class Judged:
    """A miner at one validator, or at several together: tasks that it passed, of those that were judged.

    Raises:
        ValueError: `passed` is negative or above `tasks`.
    """

    passed: int
    tasks: int

    def __post_init__(self) -> None:
        if not 0 <= self.passed <= self.tasks:
            raise ValueError(f"{self.passed} of {self.tasks} tasks cannot be passed")

    @property
    def rate(self) -> float | None:
        """The share of passed tasks; None without tasks."""
        return self.passed / self.tasks if self.tasks else None


@dataclass(frozen=True)
class Apart:
    """A validator whose verdicts on one miner differ from all others'. `p_value` is not corrected."""

    validator: str
    miner: str
    own: Judged
    others: Judged
    p_value: float


JudgedBy = Mapping[str, Mapping[str, Judged]]
"""For each validator: the miners that it judged."""


def agreements(judged: JudgedBy) -> dict[tuple[str, str], float | None]:
    """The agreement of each pair of validators, in sorted order: 1 minus the mean difference of their rates.

    The mean is over the miners that both judged. It is None if there are none.

    >>> agreements({"a": {"m": Judged(3, 4)}, "b": {"m": Judged(1, 4)}, "c": {}})
    {('a', 'b'): 0.5, ('a', 'c'): None, ('b', 'c'): None}
    """
    return {(a, b): _agreement(judged[a], judged[b]) for a, b in combinations(sorted(judged), 2)}


def _agreement(one: Mapping[str, Judged], other: Mapping[str, Judged]) -> float | None:
    differences = []
    for miner in sorted(one.keys() & other.keys()):
        first, second = one[miner].rate, other[miner].rate
        if first is not None and second is not None:
            differences.append(abs(first - second))
    return 1.0 - math.fsum(differences) / len(differences) if differences else None


def standing_apart(judged: JudgedBy, *, alpha: float = ALPHA) -> tuple[Apart, ...]:
    """The validators whose verdicts on a miner differ from the others' by more than chance, least likely first.

    >>> honest = {"m": Judged(38, 40)}
    >>> [a.validator for a in standing_apart({"a": honest, "b": honest, "c": {"m": Judged(2, 20)}})]
    ['c']
    """
    found = []
    for validator in sorted(judged):
        for miner, own in sorted(judged[validator].items()):
            rest = [judged[other][miner] for other in judged if other != validator and miner in judged[other]]
            others = Judged(sum(each.passed for each in rest), sum(each.tasks for each in rest))
            if own.tasks and others.tasks:
                found.append(Apart(validator, miner, own, others, fisher_p(own, others)))
    limit = alpha / len(found) if found else 0.0
    return tuple(sorted((each for each in found if each.p_value <= limit), key=lambda each: each.p_value))


def fisher_p(one: Judged, other: Judged) -> float:
    """The two-sided p-value of Fisher's exact test (Fisher 1922): the sum of all tables that are no likelier.

    >>> fisher_p(Judged(3, 3), Judged(0, 3))
    0.1
    """
    passed, tasks = one.passed + other.passed, one.tasks + other.tasks
    counts = range(max(0, passed - other.tasks), min(passed, one.tasks) + 1)
    ways = {k: math.comb(one.tasks, k) * math.comb(other.tasks, passed - k) for k in counts}
    return sum(way for way in ways.values() if way <= ways[one.passed]) / math.comb(tasks, passed)
