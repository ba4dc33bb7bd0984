"""The verdicts of a federation's window as arrays: one row per entrant, one column per task.

Scores are counted in units of the last published digit, as whole numbers. So sums of them are exact, and do not
depend on the order of tasks or on the machine. Shares of tasks and rates are exact fractions.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from soundsright.core.federation import MEAN_DIGITS, JudgedColumns, Verdict
from soundsright.core.federation_rules import FederationRules
from soundsright.core.profiles import Profile

UNITS = 10**MEAN_DIGITS
"""Units in 1 of a metric."""

MAX_ENTRANTS = 1_024
"""The most entrants of a competition: four times the places of a subnet."""

OUTVOTING = 3
"""So many validators outvote one that lies, in the profile `soundsright`."""

LIARS_AMONG = 3
"""One liar among this many validators and one more is outvoted; each further group of this many allows one more."""

Units = NDArray[np.int64]
Flags = NDArray[np.bool_]
Passed = tuple[int, int]
"""The number of tasks that an entrant passed with one validator, and of those in which it was judged."""


@dataclass(frozen=True, order=True)
class Entrant:
    """A miner's model. The order is that of precedence: the earliest commitment first."""

    block: int
    hotkey: str
    model: str
    uid: int


@dataclass(frozen=True, eq=False)
class VerdictTable:
    """The verdicts of one competition. `by` has the number of each task's validator in `validators`.

    `in_window` is the number of validators with a verdict in the window, also on other competitions only. Means
    over validators leave out as many of the highest and of the lowest as `outvoted`.
    `judged` and `passed` are `(entrants, tasks)`, `scores` `(metrics, entrants, tasks)` and `unprocessed`
    `(metrics, tasks)`. Scores of tasks in which an entrant was not judged are 0.
    """

    metrics: tuple[str, ...]
    tasks: tuple[int, ...]
    validators: tuple[str, ...]
    by: NDArray[np.int64]
    entrants: tuple[Entrant, ...]
    judged: Flags
    passed: Flags
    scores: Units
    unprocessed: Units
    in_window: int
    outvoted: int

    @property
    def tasks_by_validator(self) -> Units:
        """The number of tasks of each validator."""
        return np.bincount(self.by, minlength=len(self.validators)).astype(np.int64)

    def passed_by_validator(self) -> list[tuple[Passed, ...]]:
        """By entrant and validator: how many tasks it passed, and in how many it was judged."""
        judged, passed = (self._by_validator(flags) for flags in (self.judged, self.passed))
        return [tuple(zip(*row, strict=True)) for row in zip(passed.tolist(), judged.tolist(), strict=True)]

    def _by_validator(self, flags: Flags) -> Units:
        return by_validator(flags.astype(np.int64), self.by, len(self.validators))

    def eligible(self, rules: FederationRules) -> Flags:
        """Whether each entrant was judged often enough, and by enough validators of the window."""
        judged = self._by_validator(self.judged)
        return judged_enough(judged, self.tasks_by_validator, rules, active=self.in_window, outvoted=self.outvoted)


def outvoted_validators(active: int, profile: Profile) -> int:
    """The number of validators that decide nothing even if they lie together, of those that are active.

    With two or fewer, and in the profiles `doc` and `code`, it is none. Otherwise it is less than a third, as in
    every agreement among parties that may lie; of three, it is one.

    >>> [outvoted_validators(active, Profile.SOUNDSRIGHT) for active in (2, 3, 6, 7, 9, 10)]
    [0, 1, 1, 2, 2, 3]
    """
    if profile is not Profile.SOUNDSRIGHT or active < OUTVOTING:
        return 0
    return max(1, (active - 1) // LIARS_AMONG)


def judged_enough(judged: Units, tasks: Units, rules: FederationRules, *, active: int, outvoted: int) -> Flags:
    """Whether each entrant was judged in enough tasks, and in enough of their own by enough active validators.

    `judged` has each entrant's tasks by validator, `(entrants, validators)`, and `tasks` those of each validator.
    The tasks of the `outvoted` validators that judged it least are left out, if that helps it.
    """
    least = exact(rules.completeness)
    validators = max(math.ceil(exact(rules.min_validators) * active), 1)
    surplus = judged * least.denominator - least.numerator * tasks
    covered = (surplus >= 0) & (judged > 0)
    # Only a validator that has not covered the entrant lacks tasks, so no left-out validator is among the covering.
    lacking = np.sort(np.minimum(surplus, 0), axis=1)[:, :outvoted].sum(axis=1)
    enough: Flags = (surplus.sum(axis=1) - lacking >= 0) & (covered.sum(axis=1) >= validators)
    return enough


def exact(value: float) -> Fraction:
    """The number as it is written in the rules.

    >>> exact(0.05)
    Fraction(1, 20)
    """
    return Fraction(repr(value))


def by_validator(values: Units, by: NDArray[np.int64], validators: int) -> Units:
    """The sum of each row's values `(rows, tasks)` over the tasks of each validator: `(rows, validators)`."""
    sums = np.zeros((len(values), validators), dtype=np.int64)
    np.add.at(sums.T, by, values.T)
    return sums


def verdict_table(
    verdicts: Sequence[Verdict], competition: str, metrics: Sequence[str], profile: Profile
) -> VerdictTable:
    """The table of one competition's rows in these verdicts, at most one for each task.

    In the profile `soundsright` a miner's entrants differ by model and commitment. So a new model starts without
    the tasks of the one before. In the others, the commitment that most rows name stands for all of the miner's; of
    equally many, the earliest.
    A row without one of the metrics does not count, nor does a verdict whose unprocessed input lacks one.

    At most `MAX_ENTRANTS` are in the table, those with the most rows. So a validator that invents miners pushes out
    nobody who was judged by others too.

    Raises:
        ValueError: two verdicts are of one task.
    """
    ordered = sorted((v for v in verdicts if _has(v, competition, metrics)), key=lambda verdict: verdict.task)
    tasks = tuple(verdict.task for verdict in ordered)
    if len(set(tasks)) < len(tasks):
        raise ValueError("two verdicts are of one task")
    columns = [_column(verdict.columns[competition], metrics, profile) for verdict in ordered]
    entrants = _entrants(columns)
    numbers = {name: number for number, name in enumerate(entrants)}
    judged, passed = np.zeros((2, len(numbers), len(tasks)), dtype=np.bool_)
    scores = np.zeros((len(metrics), len(numbers), len(tasks)))
    for number, own in enumerate(columns):
        kept = own.only(numbers)
        places = np.fromiter((numbers[name] for name in kept.names), dtype=np.intp, count=len(kept.names))
        judged[places, number] = True
        passed[places, number] = kept.passed
        scores[:, places, number] = kept.means
    validators = tuple(sorted({verdict.validator for verdict in ordered}))
    in_window = len({verdict.validator for verdict in verdicts})
    unprocessed = np.array([[v.unprocessed[competition][metric] for v in ordered] for metric in metrics])
    return VerdictTable(
        metrics=tuple(metrics),
        tasks=tasks,
        validators=validators,
        by=np.array([validators.index(verdict.validator) for verdict in ordered], dtype=np.int64),
        entrants=tuple(entrants.values()),
        judged=judged,
        passed=passed,
        scores=units(scores),
        unprocessed=units(unprocessed.reshape(len(metrics), len(tasks))),
        in_window=in_window,
        outvoted=outvoted_validators(in_window, profile),
    )


@dataclass(frozen=True, eq=False)
class _Column:
    """The rows of one verdict that count, by the names of their entrants."""

    names: Sequence[str]
    entries: Sequence[tuple[int, str, str, int]]
    passed: Flags
    means: NDArray[np.float64]

    def only(self, names: Collection[str]) -> _Column:
        """The rows of these entrants."""
        return self._where([name in names for name in self.names])

    def complete(self) -> _Column:
        """The rows that have every metric."""
        return self._where(np.asarray(np.isfinite(self.means).all(axis=0)).tolist())

    def _where(self, kept: Sequence[bool]) -> _Column:
        if all(kept):
            return self
        places = np.flatnonzero(kept).tolist()
        names = [self.names[place] for place in places]
        entries = [self.entries[place] for place in places]
        return _Column(names, entries, self.passed[places], self.means[:, places])


def _column(own: JudgedColumns, metrics: Sequence[str], profile: Profile) -> _Column:
    names = own.models if profile is Profile.SOUNDSRIGHT else own.hotkeys
    means = own.means[[own.metrics.index(metric) for metric in metrics]]
    return _Column(names, own.entries, own.passed, means).complete()


def _entrants(columns: Sequence[_Column]) -> dict[str, Entrant]:
    """The entrants by name, in order of precedence: the `MAX_ENTRANTS` that are judged in the most tasks."""
    named: Counter[tuple[str, tuple[int, str, str, int]]] = Counter()
    for own in columns:
        named.update(zip(own.names, own.entries, strict=True))
    entrants: dict[str, Entrant] = {}
    for name, entry in sorted(named, key=lambda each: (-named[each], each[1])):
        if name not in entrants:
            entrants[name] = Entrant(*entry)
    if len(entrants) > MAX_ENTRANTS:
        tasks = Counter(name for own in columns for name in own.names)
        most = sorted(entrants, key=lambda name: (-tasks[name], entrants[name]))[:MAX_ENTRANTS]
        entrants = {name: entrants[name] for name in most}
    return dict(sorted(entrants.items(), key=lambda item: item[1]))


def units(values: NDArray[np.float64]) -> Units:
    """Published scores as whole numbers of units."""
    whole: Units = np.rint(values * UNITS).astype(np.int64)
    return whole


def _has(verdict: Verdict, competition: str, metrics: Sequence[str]) -> bool:
    """Whether the verdict judges the competition by these metrics."""
    unprocessed = verdict.unprocessed.get(competition)
    return unprocessed is not None and all(metric in unprocessed for metric in metrics)
