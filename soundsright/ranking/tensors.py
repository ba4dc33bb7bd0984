"""Whether two models hold the same tensors, whatever their files, names, order, shapes and number formats.

A tensor is summed up by its size and by the quantiles of its values. Rounding to another number format keeps the
order of values, so a quantile of the rounded tensor is the rounded quantile: copies agree to a rounding error,
while tensors that were trained apart differ by the sampling error of their quantiles, which is larger by far.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soundsright.ranking.containers import Tensor
from soundsright.ranking.duplicates import DuplicateRule, Likeness

MIN_ELEMENTS = 64
"""Smaller tensors (biases, scales) are often equal by construction, and say nothing."""

MIN_TENSORS = 4
SAME_FRACTION = 0.9
QUANTILES = 33

_RELATIVE = 2.0**-8  # The rounding of bfloat16, the coarsest of the formats that are read.
_ABSOLUTE = 2.0**-24  # The smallest step of float16.


@dataclass(frozen=True, eq=False)
class TensorSummary:
    """A tensor's size and its quantiles, ascending, float64 `(33,)`."""

    elements: int
    quantiles: NDArray[np.float64]


def tensor_summaries(tensors: Iterable[Tensor]) -> tuple[TensorSummary, ...]:
    """The summaries of the tensors that can tell models apart: finite, not small, not constant."""
    found = []
    for tensor in tensors:
        if tensor.size < MIN_ELEMENTS or not np.isfinite(tensor).all():
            continue
        ranks = np.linspace(0, tensor.size - 1, QUANTILES).astype(np.int64)
        quantiles = np.partition(tensor, ranks)[ranks].astype(np.float64)
        if quantiles[0] < quantiles[-1]:
            found.append(TensorSummary(tensor.size, quantiles))
    return tuple(found)


def shared_fraction(original: Sequence[TensorSummary], other: Sequence[TensorSummary]) -> float:
    """The part of the original's tensors that the other holds too, each counted once.

    >>> rng = np.random.default_rng(0)
    >>> a, b = (tensor_summaries([rng.standard_normal(500).astype(np.float32) for _ in range(4)]) for _ in "ab")
    >>> shared_fraction(a, a[::-1]), shared_fraction(a, b)
    (1.0, 0.0)
    """
    if not original:
        return 0.0
    unused: defaultdict[int, list[TensorSummary]] = defaultdict(list)
    for summary in other:
        unused[summary.elements].append(summary)
    shared = 0
    for summary in original:
        candidates = unused[summary.elements]
        for position, candidate in enumerate(candidates):
            if _agree(summary, candidate):
                del candidates[position]
                shared += 1
                break
    return shared / len(original)


def same_tensors(models: Mapping[str, Sequence[TensorSummary]]) -> list[Likeness]:
    """The pairs of entries, by their ids, of which one holds nearly all tensors of the other."""
    names = [name for name, summaries in models.items() if len(summaries) >= MIN_TENSORS]
    found = []
    for position, first in enumerate(names):
        for second in names[position + 1 :]:
            fraction = max(
                shared_fraction(models[first], models[second]), shared_fraction(models[second], models[first])
            )
            if fraction >= SAME_FRACTION:
                found.append(
                    Likeness(first, second, DuplicateRule.SAME_TENSORS, {"shared_tensors": f"{fraction:.1%}"})
                )
    return found


def _agree(a: TensorSummary, b: TensorSummary) -> bool:
    tolerance = _RELATIVE * np.maximum(np.abs(a.quantiles), np.abs(b.quantiles)) + _ABSOLUTE
    return bool((np.abs(a.quantiles - b.quantiles) <= tolerance).all())
