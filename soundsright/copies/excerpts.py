"""Finds runs of values that two models share, even if their tensors were scaled, split, joined or quantised.

An excerpt is the 32 values around one that has the largest magnitude of its surroundings, in units of that value.
It does not depend on the scale, the sign, the shape or the name of its tensor, nor on what comes before it. Its key
consists of the signs of its inner values. A model keeps the excerpts with the lowest keys, so two models keep the
same ones of what they share.

Values that follow from their neighbours, as in windows, DFT kernels and filterbanks, are no evidence. So an excerpt
is left out if linear prediction explains half of its energy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_EXCERPTS = 4_096
"""The excerpts that a model keeps."""

MIN_SHARED = 16
TENSOR_FRACTION = 0.2
"""A tensor is shared if both models have this part of its excerpts. Noise and rounding change the others."""

SHARED_FRACTION = 0.6
"""Models whose shared tensors have this part of the excerpts of the one that has fewer are copies."""

LEAST_OF_LARGER = 0.25
"""They must have this part of the other model's excerpts too."""

TOLERANCE = 0.03
"""Two excerpts are the same if they differ by this part of their level: by noise of 1 %, or by rounding to int8."""

_REACH = 16
_SURROUNDINGS = 32
_KEY_REACH = 12
_MAX_OF_ONE_KEY = 8
_CHUNK = 1 << 20
_MIN_UNPREDICTED = 0.5
_MIN_NONZERO = 0.5
_SPREAD = (
    2_654_435_761  # an odd number near 2^32 / 1.618, so that the lowest keys are spread over all sign patterns
)


@dataclass(frozen=True, eq=False)
class Excerpts:
    """The excerpts of a model with the lowest keys.

    `keys` `(n,)` are sorted. `values` `(n, 32)` are those around the middle one. `tensors` `(n,)` are the numbers
    of their tensors. `complete` is False if excerpts with higher keys were left out.
    """

    keys: NDArray[np.uint32]
    values: NDArray[np.float16]
    tensors: NDArray[np.int32]
    complete: bool = True

    def up_to(self, key: int) -> int:
        """The number of excerpts with this key or a lower one."""
        return int(np.searchsorted(self.keys, key, side="right"))

    @property
    def last_key(self) -> int:
        """Up to this key, no excerpt was left out."""
        return 0xFFFF_FFFF if self.complete else int(self.keys[-1]) - 1


NO_EXCERPTS = Excerpts(np.zeros(0, np.uint32), np.zeros((0, 2 * _REACH), np.float16), np.zeros(0, np.int32))


def excerpts_of(tensor: NDArray[np.float32], number: int) -> Excerpts:
    """The excerpts of one flat tensor. Values that are not finite count as zero."""
    return merged(_of_chunk(chunk, number) for chunk in _chunks(tensor))


def merged(parts: Iterable[Excerpts]) -> Excerpts:
    """The excerpts of several parts of a model together, those with the lowest keys."""
    whole = NO_EXCERPTS
    for part in parts:
        both = (whole, part)
        keys = np.concatenate([each.keys for each in both])
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        is_kept = np.arange(len(keys)) - np.searchsorted(keys, keys) < _MAX_OF_ONE_KEY
        order = order[is_kept]
        complete = len(order) <= MAX_EXCERPTS and whole.complete and part.complete
        order = order[:MAX_EXCERPTS]
        whole = Excerpts(
            np.concatenate([each.keys for each in both])[order],
            np.concatenate([each.values for each in both])[order],
            np.concatenate([each.tensors for each in both])[order],
            complete,
        )
    return whole


@dataclass(frozen=True)
class SharedExcerpts:
    """How many excerpts the shared tensors of two models have, of how many, and the numbers of these tensors."""

    count: int
    counts: tuple[int, int]
    tensors_of_first: Sequence[int]
    tensors_of_second: Sequence[int]

    @property
    def fraction(self) -> float:
        """The part of the excerpts of the model that has fewer."""
        return self.count / max(1, min(self.counts))


def shared_excerpts(first: Excerpts, second: Excerpts) -> SharedExcerpts | None:
    """What two models share, or None if it does not make one of them a copy.

    >>> rng = np.random.default_rng(0)
    >>> weights, others = rng.standard_normal((2, 4_000)).astype(np.float32)
    >>> original, halved = excerpts_of(weights, 0), excerpts_of(-0.5 * weights[1_000:], 0)
    >>> shared_excerpts(original, halved).fraction > 0.9, shared_excerpts(original, excerpts_of(others, 0))
    (True, None)
    """
    shared = _shared(first, second)
    smaller, larger = sorted(shared.counts)
    least = max(MIN_SHARED, SHARED_FRACTION * smaller, LEAST_OF_LARGER * larger)
    return shared if shared.count >= least else None


def shared_part(first: Excerpts, second: Excerpts) -> float:
    """The part of the excerpts of the smaller model in shared tensors, also if it makes neither of them a copy."""
    return _shared(first, second).fraction


def _shared(first: Excerpts, second: Excerpts) -> SharedExcerpts:
    last_key = min(first.last_key, second.last_key)
    counts = first.up_to(last_key), second.up_to(last_key)
    covered, tensors = [], []
    for one, other, sizes in ((first, second, counts), (second, first, counts[::-1])):
        numbers = one.tensors[: sizes[0]] + 1  # the first is that of tensors without a number
        equal = np.bincount(numbers[_equal(one, other, *sizes)], minlength=numbers.max(initial=0) + 1)
        total = np.bincount(numbers, minlength=len(equal))
        is_shared = equal >= np.maximum(1, TENSOR_FRACTION * total)
        covered.append(int(total[is_shared].sum()))
        tensors.append((np.flatnonzero(is_shared) - 1).tolist())
    return SharedExcerpts(min(covered), counts, *tensors)


def _equal(first: Excerpts, second: Excerpts, first_count: int, second_count: int) -> NDArray[np.intp]:
    """The rows of the first model's excerpts that the second one has too."""
    keys, others = first.keys[:first_count], second.keys[:second_count]
    low, high = (np.searchsorted(others, keys, side=side) for side in ("left", "right"))
    is_equal = np.zeros(first_count, bool)
    for step in range(_MAX_OF_ONE_KEY):
        rows = np.flatnonzero(low + step < high)
        a, b = first.values[rows].astype(np.float32), second.values[low[rows] + step].astype(np.float32)
        is_equal[rows] |= ((a - b) ** 2).sum(axis=1) <= TOLERANCE**2 * (a**2).sum(axis=1)
    return np.flatnonzero(is_equal)


def _chunks(tensor: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(tensor), _CHUNK):
        chunk = tensor[max(0, start - _SURROUNDINGS) : start + _CHUNK + _SURROUNDINGS]
        if len(chunk) > 2 * _SURROUNDINGS:
            yield np.nan_to_num(chunk, nan=0.0, posinf=0.0, neginf=0.0)


def _of_chunk(values: NDArray[np.float32], number: int) -> Excerpts:
    from scipy.ndimage import maximum_filter1d

    if not values.any():
        return NO_EXCERPTS
    level = np.abs(values)
    highest = maximum_filter1d(level, 2 * _SURROUNDINGS + 1, mode="constant")
    middles = np.flatnonzero((level == highest) & (level > 0))
    middles = middles[(middles >= _SURROUNDINGS) & (middles < len(values) - _SURROUNDINGS)]
    # Of equal values the first counts, so that a table of few values gives few excerpts.
    middles = middles[np.diff(middles, prepend=-_SURROUNDINGS - 1) > _SURROUNDINGS]
    runs = values[middles[:, None] + np.arange(-_REACH, _REACH + 1)] / values[middles][:, None]
    runs = runs[_is_evidence(runs)]
    around = np.delete(runs, _REACH, axis=1)
    signs = around[:, _REACH - _KEY_REACH : _REACH + _KEY_REACH] < 0
    keys = (signs @ (1 << np.arange(2 * _KEY_REACH, dtype=np.uint64))) * np.uint64(_SPREAD)
    part = Excerpts(
        (keys & np.uint64(0xFFFF_FFFF)).astype(np.uint32),
        around.astype(np.float16),
        np.full(len(runs), number, np.int32),
    )
    return merged([part])


def _is_evidence(runs: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether each run `(n, values)` is not sparse, and not explained by linear prediction of second order."""
    energy, one, two = (
        np.maximum((runs[:, lag:] * runs[:, : runs.shape[1] - lag]).sum(axis=1), 1e-30 if lag == 0 else -np.inf)
        for lag in range(3)
    )
    reflection = one / energy
    unpredicted = np.maximum(1 - reflection**2, 1e-6)
    second = (two / energy - reflection**2) / unpredicted
    is_dense = (runs != 0).mean(axis=1) >= _MIN_NONZERO
    return np.asarray(is_dense & (unpredicted * (1 - second**2) >= _MIN_UNPREDICTED))
