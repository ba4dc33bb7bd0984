"""Whether two models hold the same tensors, whatever their files, names, order, shapes and number formats.

A tensor is summed up by its size and by the quantiles of its values. Rounding to another number format keeps the
order of values, so a quantile of the rounded tensor is the rounded quantile: copies agree to a rounding error,
while tensors that were trained apart differ by the sampling error of their quantiles, which is larger by far.

Files are strangers': each step is bounded, and what the bounds leave out is named. Time is bounded from outside, by
running `tensor_fingerprint` in a worker with `fingerprint_deadline_s`.
"""

from __future__ import annotations

import mmap
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from soundsright.ranking.containers import Tensor, TooMuchToRead, tensors_of
from soundsright.ranking.duplicates import DuplicateRule, Likeness

MIN_ELEMENTS = 64
"""Smaller tensors (biases, scales) are often equal by construction, and say nothing."""

MIN_TENSORS = 4
SAME_FRACTION = 0.9
"""The part of the smaller model's tensors that the larger one holds too, for one to be a copy."""

LEAST_OF_LARGER = 0.25
"""The part of the larger model that these must be, in number and in elements.

Else who enters nothing but windows and DFT kernels would make a copy of every model that has them.
"""

QUANTILES = 33

MIN_FILE_BYTES = 512
MAX_SUMMARIES = 20_000
MAX_OF_ONE_SIZE = 512
"""How many tensors of one size are compared: the cost of a comparison grows with its square."""

_RELATIVE = 2.0**-8  # The rounding of bfloat16, the coarsest of the formats that are read.
_ABSOLUTE = 2.0**-24  # The smallest step of float16.


@dataclass(frozen=True, eq=False)
class TensorSummary:
    """A tensor's size and its quantiles, ascending, float64 `(33,)`."""

    elements: int
    quantiles: NDArray[np.float64]


def tensor_summaries(tensors: Iterable[Tensor]) -> Iterator[TensorSummary]:
    """The summaries of the tensors that can tell models apart: finite, not small, not constant."""
    for tensor in tensors:
        if tensor.size < MIN_ELEMENTS or not np.isfinite(tensor).all():
            continue
        ranks = np.linspace(0, tensor.size - 1, QUANTILES).astype(np.int64)
        quantiles = np.partition(tensor, ranks)[ranks].astype(np.float64)
        if quantiles[0] < quantiles[-1]:
            yield TensorSummary(tensor.size, quantiles)


@dataclass(frozen=True, eq=False)
class TensorFingerprint:
    """What a model's files hold, and why some of them were not read to their end, as `path: reason`."""

    summaries: tuple[TensorSummary, ...]
    unread: tuple[str, ...] = ()


def tensor_fingerprint(paths: Sequence[Path]) -> TensorFingerprint:
    """The tensors of a model's files, in the order of the paths. A job for a worker: picklable, silent.

    Files are mapped, not loaded: of one at a time, a tensor or an archive's member is held, 2 GB at most. One that
    cannot be opened is named as unread.
    """
    found: list[TensorSummary] = []
    unread: list[str] = []
    for path in paths:
        try:
            if path.stat().st_size < MIN_FILE_BYTES:
                continue
            with path.open("rb") as file:
                content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            for summary in tensor_summaries(tensors_of(content)):
                if len(found) == MAX_SUMMARIES:
                    raise TooMuchToRead(f"over {MAX_SUMMARIES} tensors with those before it")
                found.append(summary)
        except (OSError, TooMuchToRead) as error:
            unread.append(f"{path}: {error}")
    return TensorFingerprint(tuple(found), tuple(unread))


def fingerprint_deadline_s(total_bytes: int) -> float:
    """Seconds of processor time after which a fingerprint of files of that size in sum has hung."""
    return 60.0 + 60e-9 * total_bytes


def shared_fraction(original: Sequence[TensorSummary], other: Sequence[TensorSummary]) -> float:
    """The part of the original's tensors that the other holds too, each counted once.

    >>> rng = np.random.default_rng(0)
    >>> tensors = lambda: [rng.standard_normal(500).astype(np.float32) for _ in range(4)]
    >>> a, b = (list(tensor_summaries(tensors())) for _ in "ab")
    >>> shared_fraction(a, a[::-1]), shared_fraction(a, b)
    (1.0, 0.0)
    """
    table = _by_size(original)
    return len(_shared_sizes(table, _by_size(other))) / max(1, _count(table))


def same_tensors(models: Mapping[str, Sequence[TensorSummary]]) -> list[Likeness]:
    """The pairs of entries, by their ids, of which one holds nearly all tensors of the other, and not much else."""
    tables = {name: _by_size(summaries) for name, summaries in models.items() if len(summaries) >= MIN_TENSORS}
    found = []
    for first, second in combinations(tables, 2):
        a, b = tables[first], tables[second]
        smaller, larger = sorted((_count(a), _count(b)))
        # What the sizes alone allow, before any quantiles are compared.
        sharable = sum(min(len(rows), len(b.get(size, ()))) for size, rows in a.items())
        least = max(SAME_FRACTION * smaller, LEAST_OF_LARGER * larger)
        if sharable < least:
            continue
        shared = _shared_sizes(a, b)
        if len(shared) >= least and sum(shared) >= LEAST_OF_LARGER * max(_elements(a), _elements(b)):
            evidence = {"shared_tensors": f"{len(shared) / smaller:.1%}"}
            found.append(Likeness(first, second, DuplicateRule.SAME_TENSORS, evidence))
    return found


_BySize = Mapping[int, NDArray[np.float64]]  # The quantiles of the tensors of each size, (count, 33).


def _by_size(summaries: Sequence[TensorSummary]) -> _BySize:
    rows: defaultdict[int, list[NDArray[np.float64]]] = defaultdict(list)
    for summary in summaries:
        rows[summary.elements].append(summary.quantiles)
    # Sorted, so that of too many tensors of one size a copy keeps the same ones in whatever order they come.
    return {size: np.array(sorted(found, key=tuple)[:MAX_OF_ONE_SIZE]) for size, found in rows.items()}


def _shared_sizes(original: _BySize, other: _BySize) -> list[int]:
    """The sizes of the original's tensors that the other holds too."""
    shared = []
    for size, rows in original.items():
        candidates = other.get(size, np.empty((0, QUANTILES)))
        for row in rows:
            agreeing = np.flatnonzero(_agree(row, candidates))
            if len(agreeing):
                candidates = np.delete(candidates, agreeing[0], axis=0)
                shared.append(size)
    return shared


def _count(tables: _BySize) -> int:
    return sum(map(len, tables.values()))


def _elements(tables: _BySize) -> int:
    return sum(size * len(rows) for size, rows in tables.items())


def _agree(row: NDArray[np.float64], candidates: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which candidates, `(count, 33)`, are the row but for rounding, `(count,)`."""
    tolerance = _RELATIVE * np.maximum(np.abs(row), np.abs(candidates)) + _ABSOLUTE
    return np.asarray((np.abs(row - candidates) <= tolerance).all(axis=1))
