"""The effect of the groups of clips on the variance of a mean, whatever the values are.

Model: a value is the mean, plus one random effect for each group of each factor, plus an effect of the clip.
Then the variance of the mean is linear in the variance components, and each estimate of it is a quadratic form.
This module computes, once for a set of clips, the expectations of these forms for each component.

A factor that refines another one adds nothing: clips that share its group share the other's group too. So it is
left out.

Every expectation is a trace of products of matrices of clips by clips. With Z the membership of clips in groups, it
follows from the numbers N = Z_i' Z_j of clips that two groups have in common. These are whole numbers, few of them
are not zero, and Python adds them exactly. So results depend neither on the order of clips nor on the names of
groups, to the last bit.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any

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
    sign: int = 1

    def sums(self, rows: Floats) -> Floats:
        """The sums over each group, for each row of an array `(rows, clips)`."""
        order = np.argsort(self.codes, kind="stable")
        starts = np.concatenate([[0], np.cumsum(self.sizes)[:-1]])
        totals: Floats = np.add.reduceat(rows[:, order], starts, axis=1)
        return totals


@dataclass(frozen=True, eq=False)
class GroupDesign:
    """The groups of a set of clips, and the expectations that follow from them.

    `groups` is the number of groups of each given factor. `factors` has the factors that are not refinements of
    others, and `splits` these and the cells of all their combinations.

    Variance components come in the order of `factors`, then the clip. `mean_variance` has the variance of the mean
    for each component. `moments` solves for the components: it maps the sums of squares of each factor's group
    sums, and of the clips, to them. `expectation` and `covariance` belong to the signed sum of squares over all
    `splits`: its expectation is linear in the components, its variance twice a quadratic form.
    """

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
    given = [grouping(factor) for factor in labels]
    factors = _coarsest(given)
    splits = _splits(factors)
    effects = [factor for factor in factors if len(factor.sizes) < clips]
    counts = _Counts(clips)
    squares = expected_squares(effects, clips)
    kinds = [*effects, counts.clip]
    expected = [sum(split.sign * counts.squares(split, kind) for split in splits) for kind in kinds]
    return GroupDesign(
        tuple(len(factor.sizes) for factor in given),
        tuple(effects),
        tuple(splits),
        np.array([float(np.sum(factor.sizes**2)) for factor in effects] + [float(clips)]) / clips**2,
        np.asarray(np.linalg.pinv(squares), dtype=np.float64),
        squares[-1],
        np.array([total / clips**2 for total in expected]),
        _covariance(kinds, splits, counts),
    )


def expected_squares(factors: Sequence[Grouping], clips: int) -> Floats:
    """Expected sums of squares of centred group sums (rows) for each component (columns); the last is the clip's.

    With P, which subtracts the mean, it is the trace of (P K_i P)(P K_j P), or the squared norm of Z_i' P Z_j.
    """
    counts = _Counts(clips)
    kinds = [*factors, counts.clip]
    return np.array([[counts.squares(one, other) / clips**2 for other in kinds] for one in kinds])


def grouping(labels: Sequence[Hashable], sign: int = 1) -> Grouping:
    """The groups of clips with equal labels, numbered by their first clip."""
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
    return grouping(list(zip(*(factor.codes.tolist() for factor in factors), strict=True)), sign)


def _splits(factors: Sequence[Grouping]) -> list[Grouping]:
    return [
        _cells(chosen)
        for count in range(1, len(factors) + 1)
        for chosen in combinations(factors, count)
    ]  # fmt: skip


class _Counts:
    """Sums over the numbers of clips that groups have in common, as exact whole numbers."""

    def __init__(self, clips: int) -> None:
        self.clip = Grouping(np.arange(clips), np.ones(clips, dtype=np.int64))
        self._clips = clips
        self._common: dict[tuple[Grouping, ...], Any] = {}

    def squares(self, one: Grouping, other: Grouping) -> int:
        """The squared norm of Z' P Z, times the square of the clips."""
        common, n = self.common(one, other), self._clips
        means = _dot(one.sizes, common @ other.sizes)
        return n**2 * _dot(common.data, common.data) - 2 * n * means + _squared(one.sizes) * _squared(other.sizes)

    def common(self, *groupings: Grouping) -> Any:
        """N between two groupings; for three, the product of N from the first to the second and on to the third."""
        if groupings not in self._common:
            if len(groupings) == 3:
                first, middle, last = groupings
                product = self.common(first, middle) @ self.common(middle, last)
            else:
                product = (_members(groupings[0]).T @ _members(groupings[1])).tocsr()
            product.sort_indices()
            self._common[groupings] = product
        return self._common[groupings]

    def cycle(self, one: Grouping, two: Grouping, three: Grouping, four: Grouping) -> int:
        """The trace of the product of N around four groupings."""
        # Both ways give the same; take the smaller intermediate matrices.
        if len(one.sizes) * len(three.sizes) > len(two.sizes) * len(four.sizes):
            one, two, three, four = two, three, four, one
        first, second = self.common(one, two, three), self.common(one, four, three)
        if first is not second:
            first, second = first.multiply(second != 0).tocsr(), second.multiply(first != 0).tocsr()
            first.sort_indices()
            second.sort_indices()
        return _dot(first.data, second.data)


def _covariance(kinds: Sequence[Grouping], splits: Sequence[Grouping], counts: _Counts) -> Floats:
    """The squared norm of Z_i' P W P Z_j for each pair of kinds; W is the signed sum of K over the splits.

    P W P = W - (1 w' + w 1') / n + (1' w) 1 1' / n², where w = W 1. So the norm is that of Z_i' W Z_j and terms of
    vectors only.
    """
    n = len(counts.clip.codes)
    shared = _signed_sum(splits, [split.sizes for split in splits])
    total = int(np.sum(shared))
    sizes = [kind.sizes[kind.codes] for kind in kinds]  # K 1
    of_shared = [_group_sums(kind, shared) for kind in kinds]  # Z' w
    images = [_signed_sum(splits, [_group_sums(split, own) for split in splits]) for own in sizes]  # W K 1
    u = [_squared(kind.sizes) for kind in kinds]
    c = [_dot(kind.sizes, own) for kind, own in zip(kinds, of_shared, strict=True)]
    v = [_squared(own) for own in of_shared]
    table = np.empty((len(kinds), len(kinds)))
    for i, one in enumerate(kinds):
        for j, other in enumerate(kinds[: i + 1]):
            norm = sum(s.sign * t.sign * counts.cycle(one, s, other, t) for s in splits for t in splits)
            cross = _dot(images[i], of_shared[j][other.codes]) + _dot(images[j], of_shared[i][one.codes])
            middle = n * (u[i] * v[j] + 2 * c[i] * c[j] + v[i] * u[j]) - 2 * total * (u[i] * c[j] + c[i] * u[j])
            scaled = n**4 * norm - 2 * n**3 * cross + 2 * n**2 * total * _dot(images[i], sizes[j])
            table[i, j] = table[j, i] = (scaled + n * middle + total**2 * u[i] * u[j]) / n**4
    return table


def _signed_sum(splits: Sequence[Grouping], of_groups: Sequence[Integers]) -> Integers:
    """For each clip, the signed sum of the numbers of its groups."""
    parts = [split.sign * own[split.codes] for split, own in zip(splits, of_groups, strict=True)]
    total: Integers = np.sum(parts, axis=0)
    return total


def _members(factor: Grouping) -> Any:
    """The sparse matrix Z: 1 where a clip (row) is in a group (column)."""
    from scipy.sparse import csr_array

    clips = len(factor.codes)
    ones = np.ones(clips, dtype=np.int64)
    return csr_array((ones, factor.codes, np.arange(clips + 1)), shape=(clips, len(factor.sizes)))


def _group_sums(factor: Grouping, values: Integers) -> Integers:
    sums: Integers = np.zeros(len(factor.sizes), dtype=np.int64)
    np.add.at(sums, factor.codes, values)
    return sums


def _squared(values: Integers) -> int:
    return _dot(values, values)


def _dot(one: Integers, other: Integers) -> int:
    """The sum of products of numbers that are not negative, without overflow."""
    if not len(one):
        return 0
    if int(one.max()) * int(other.max()) * len(one) < 2**62:
        return int(one @ other)
    return int(one.astype(object) @ other.astype(object))
