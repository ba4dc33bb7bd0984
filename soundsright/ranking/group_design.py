"""What the groups of clips imply for the variance of a mean, whatever the values are.

Model: a value is the mean, plus one random effect for each group of each factor, plus an effect of the clip.
Then the variance of the mean is linear in the variance components, and each estimate of it is a quadratic form.
This module computes, once for a set of clips, the expectations of these forms for each component.

A factor that refines another one adds nothing: clips that share its group share the other's group too. So it is
left out. Clips are first sorted by their labels. Results then do not depend on the order of clips.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Labels = Sequence[Sequence[Hashable]]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Grouping:
    """One way to split the clips: `codes` has the number of each clip's group, `sizes` the clips of each group.

    `sign` is the sign of this split in the inclusion-exclusion sum: +1 for a factor, -1 for the cells of two
    factors, and so on.
    """

    codes: Integers
    sizes: Integers
    sign: int

    def sums(self, rows: Floats) -> Floats:
        """The sums over each group, for each row of an array `(rows, clips)`."""
        order = np.argsort(self.codes, kind="stable")
        starts = np.concatenate([[0], np.cumsum(self.sizes)[:-1]])
        totals: Floats = np.add.reduceat(rows[:, order], starts, axis=1)
        return totals


@dataclass(frozen=True, eq=False)
class GroupDesign:
    """The groups of a set of clips, and the expectations that follow from them.

    `order` sorts the clips. `groups` is the number of groups of each given factor. `factors` has the factors that
    are not refinements of others, and `splits` these and the cells of all their combinations.

    Variance components come in the order of `factors`, then the clip. `mean_variance` has the variance of the mean
    for each component. `moments` solves for the components: it maps the sums of squares of each factor's group
    sums, and of the clips, to them. `expectation` and `covariance` belong to the signed sum of squares over all
    `splits`: its expectation is linear in the components, its variance twice a quadratic form.
    """

    order: Integers
    groups: tuple[int, ...]
    factors: tuple[Grouping, ...]
    splits: tuple[Grouping, ...]
    mean_variance: Floats
    moments: Floats
    clip_moments: Floats
    expectation: Floats
    covariance: Floats

    @property
    def fewest_groups(self) -> int:
        return min(self.groups)


def group_design(labels: Labels, clips: int) -> GroupDesign:
    """The design of these labels: one sequence for each factor, with one label per clip.

    Without a factor, each clip is a group of its own.

    Raises:
        ValueError: there is no clip, or a factor has another number of labels.
    """
    if clips < 1:
        raise ValueError("a mean needs at least one value")
    for factor in labels:
        if len(factor) != clips:
            raise ValueError(f"{len(factor)} labels for {clips} values")
    return _design(tuple(tuple(factor) for factor in labels) or (tuple(range(clips)),))


@lru_cache(maxsize=32)
def _design(labels: tuple[tuple[Hashable, ...], ...]) -> GroupDesign:
    clips = len(labels[0])
    order = np.array(
        sorted(range(clips), key=lambda clip: [repr(factor[clip]) for factor in labels]), dtype=np.int64
    )
    given = [_grouping([factor[clip] for clip in order]) for factor in labels]
    factors = _coarsest(given)
    splits = _splits(factors)
    effects = [factor for factor in factors if len(factor.sizes) < clips]
    moments = _Moments(clips, effects, splits)
    return GroupDesign(
        order,
        tuple(len(factor.sizes) for factor in given),
        tuple(effects),
        tuple(splits),
        np.array([float(np.sum(factor.sizes**2)) for factor in effects] + [float(clips)]) / clips**2,
        np.asarray(np.linalg.pinv(moments.squares), dtype=np.float64),
        moments.squares[-1],
        moments.expectation,
        moments.covariance,
    )


def _grouping(labels: Sequence[Hashable], sign: int = 1) -> Grouping:
    numbers: dict[Hashable, int] = {}
    codes = np.array([numbers.setdefault(label, len(numbers)) for label in labels], dtype=np.int64)
    return Grouping(codes, np.bincount(codes), sign)


def _coarsest(given: Sequence[Grouping]) -> list[Grouping]:
    """The factors that refine no other factor; of equal ones, the first."""
    kept: list[Grouping] = []
    for number, factor in enumerate(given):
        cells = [len(_cells([factor, other]).sizes) for other in given]
        refines = [
            cells[i] == len(factor.sizes) and (len(other.sizes) < len(factor.sizes) or i < number)
            for i, other in enumerate(given)
            if i != number
        ]
        if not any(refines):
            kept.append(factor)
    return kept


def _cells(factors: Sequence[Grouping]) -> Grouping:
    sign = 1 if len(factors) % 2 else -1
    return _grouping(list(zip(*(factor.codes.tolist() for factor in factors), strict=True)), sign)


def _splits(factors: Sequence[Grouping]) -> list[Grouping]:
    return [
        _cells(chosen)
        for count in range(1, len(factors) + 1)
        for chosen in combinations(factors, count)
    ]  # fmt: skip


class _Moments:
    """Traces of products of three kinds of matrices of clips by clips, without building these.

    P subtracts the mean. K_i is 1 where two clips share the group of factor i; the last one, of the clip itself,
    is the identity. W is 1 where two clips share the group of any factor, by inclusion-exclusion over `splits`.
    """

    def __init__(self, clips: int, effects: Sequence[Grouping], splits: Sequence[Grouping]) -> None:
        self._clips = clips
        self._splits = splits
        members = [_members(factor) for factor in effects]
        centred = [member - member.mean(axis=0) for member in members]
        self.squares = self._expected_squares(effects, members, centred)
        images = [self._image(part) for part in centred]  # P W P Z for each factor
        count = len(effects)
        self.expectation = np.empty(count + 1)
        self.covariance = np.empty((count + 1, count + 1))
        for i in range(count):
            self.expectation[i] = np.sum(members[i] * images[i])
            self.covariance[i, count] = self.covariance[count, i] = np.sum(images[i] ** 2)
            for j in range(count):
                self.covariance[i, j] = np.sum((members[i].T @ images[j]) ** 2)
        self.expectation[count], self.covariance[count, count] = self._of_clips()

    def _expected_squares(
        self, effects: Sequence[Grouping], members: Sequence[Floats], centred: Sequence[Floats]
    ) -> Floats:
        """Expected sums of squares of group sums (rows; the last row: of clips) for each component (columns)."""
        count = len(effects)
        table = np.empty((count + 1, count + 1))
        for i in range(count):
            for j in range(count):
                table[i, j] = np.sum((members[i].T @ centred[j]) ** 2)
            table[i, count] = table[count, i] = np.sum(centred[i] ** 2)
        table[count, count] = self._clips - 1
        return table

    def _image(self, matrix: Floats) -> Floats:
        """P W x for each column x."""
        image = np.zeros_like(matrix)
        for split in self._splits:
            image += split.sign * split.sums(matrix.T).T[split.codes]
        centred: Floats = image - image.mean(axis=0)
        return centred

    def _of_clips(self) -> tuple[float, float]:
        """tr(P W P) and tr(P W P W P)."""
        shared = np.zeros(self._clips)
        squares = trace = 0.0
        for one in self._splits:
            shared += one.sign * one.sizes[one.codes]
            trace += one.sign * self._clips
            for other in self._splits:
                counts = _cells([one, other]).sizes
                squares += one.sign * other.sign * float(np.sum(counts**2))
        total = float(shared.sum())
        centred = squares - 2 * float(np.sum(shared**2)) / self._clips + (total / self._clips) ** 2
        return trace - total / self._clips, centred


def _members(factor: Grouping) -> Floats:
    table = np.zeros((len(factor.codes), len(factor.sizes)))
    table[np.arange(len(factor.codes)), factor.codes] = 1.0
    return table
