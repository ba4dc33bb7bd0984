"""Whether two models hold the same tensors, whatever their files, names, order, shapes and number formats.

A tensor is summed up by its size and by the quantiles of its values. Rounding to another number format keeps the
order of values, so a quantile of the rounded tensor is the rounded quantile: copies agree to a rounding error,
while tensors that were trained apart differ by the sampling error of their quantiles, which is larger by far.

Files are strangers': each step is bounded, and what the bounds leave out is named. Time is bounded from outside, by
running `tensor_fingerprint` in a worker with `fingerprint_deadline_s`.
"""

from __future__ import annotations

import base64
import mmap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from soundsright.copies.containers import Tensor, TooMuchToRead, tensors_of
from soundsright.copies.duplicates import DuplicateRule, Likeness

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

MAX_COMPARED = 2_048
"""How many tensors of a model are compared, the largest ones: they bound the cost of a pair made to be slow."""

_RELATIVE = 2.0**-8  # The rounding of bfloat16, the coarsest of the formats that are read.
_ABSOLUTE = 2.0**-24  # The smallest step of float16.

_REMEMBERED = (2, 9, 16, 23, 30)  # Of a tensor's quantiles: enough for what a hotkey itself has held.
_SKETCH = np.dtype([("elements", "<u8"), ("quantiles", "<f4", (len(_REMEMBERED),))])
_LARGEST = float(np.finfo(np.float32).max)


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


def tensor_sketch(summaries: Sequence[TensorSummary]) -> str:
    """What is remembered of a model: size and five quantiles of each tensor that is compared, as base64."""
    table = _table(summaries)
    return table.sketch(range(len(table.sizes)))


def sketch_holds(sketch: str, shared: str) -> bool:
    """Whether the model of a sketch held nearly all of the shared tensors, given as a sketch, but for rounding.

    Each tensor counts, none is sampled: who could choose the sample could choose the answer.
    """
    (sizes, held), (wanted_sizes, wanted) = (_read_sketch(text) for text in (sketch, shared))
    free = np.ones(len(held), bool)
    count = 0
    for size, row in zip(wanted_sizes, wanted, strict=True):
        candidates = np.flatnonzero(free & (sizes == size))
        agreeing = candidates[_agree(row, held[candidates])]
        if len(agreeing):
            free[agreeing[0]] = False
            count += 1
    return len(wanted) > 0 and count >= SAME_FRACTION * len(wanted)


def _read_sketch(text: str) -> tuple[NDArray[np.uint64], NDArray[np.float64]]:
    rows = np.frombuffer(base64.b64decode(text), _SKETCH)
    return rows["elements"], rows["quantiles"].astype(np.float64)


def shared_fraction(original: Sequence[TensorSummary], other: Sequence[TensorSummary]) -> float:
    """The part of the original's tensors that the other holds too, each counted once.

    >>> rng = np.random.default_rng(0)
    >>> tensors = lambda: [rng.standard_normal(500).astype(np.float32) for _ in range(4)]
    >>> a, b = (list(tensor_summaries(tensors())) for _ in "ab")
    >>> shared_fraction(a, a[::-1]), shared_fraction(a, b)
    (1.0, 0.0)
    """
    table = _table(original)
    return len(_shared(table, _table(other))) / max(1, len(table.sizes))


def same_tensors(
    models: Mapping[str, Sequence[TensorSummary]],
    *,
    since: Callable[[str, str], int] | None = None,
    go_on: Callable[[], None] = lambda: None,
) -> list[Likeness]:
    """The pairs of entries, by their ids, of which one holds nearly all tensors of the other, and not much else.

    `since` tells the block since which an entry has held the tensors of a sketch. `go_on` is called before each
    comparison, and may raise to stop.
    """
    tables = {name: _table(summaries) for name, summaries in models.items() if len(summaries) >= MIN_TENSORS}
    found = []
    for first, second in combinations(tables, 2):
        go_on()
        a, b = tables[first], tables[second]
        smaller, larger = sorted((len(a.sizes), len(b.sizes)))
        least = max(SAME_FRACTION * smaller, LEAST_OF_LARGER * larger)
        shared = _shared(a, b, least)
        own = [row for row, _ in shared]
        elements = max(int(a.sizes.sum()), int(b.sizes.sum()))
        if len(shared) >= least and int(a.sizes[own].sum()) >= LEAST_OF_LARGER * elements:
            evidence = {"shared_tensors": f"{len(shared) / smaller:.1%}"}
            blocks = None
            if since is not None:
                blocks = since(first, a.sketch(own)), since(second, b.sketch([row for _, row in shared]))
            found.append(Likeness(first, second, DuplicateRule.SAME_TENSORS, evidence, blocks))
    return found


@dataclass(frozen=True, eq=False)
class _Table:
    """A model's compared tensors, in the order of their sizes and then of their quantiles.

    `sizes` `(n,)`, `rows` `(n, 33)`. `by_median` `(n,)` puts them in the order of `rows_by_median` and of `keys`
    `(n,)`, each of them a size and a median in one complex number: NumPy sorts these by the first, then the second.
    """

    sizes: NDArray[np.int64]
    rows: NDArray[np.float64]
    by_median: NDArray[np.intp]
    rows_by_median: NDArray[np.float64]
    keys: NDArray[np.complex128]

    def sketch(self, rows: Sequence[int]) -> str:
        found = np.empty(len(rows), _SKETCH)
        found["elements"] = self.sizes[rows]
        found["quantiles"] = self.rows[rows][:, _REMEMBERED].clip(-_LARGEST, _LARGEST)
        return base64.b64encode(found.tobytes()).decode()


def _table(summaries: Sequence[TensorSummary]) -> _Table:
    sizes = np.array([summary.elements for summary in summaries], np.int64)
    rows = np.array([summary.quantiles for summary in summaries], np.float64).reshape(-1, QUANTILES)
    # Sorted, so that of too many tensors a copy keeps the same ones in whatever order they come.
    order = np.lexsort((*rows.T[::-1], sizes))
    sizes = sizes[order]
    place = np.arange(len(sizes)) - np.searchsorted(sizes, sizes)
    order = order[place < MAX_OF_ONE_SIZE][-MAX_COMPARED:]
    sizes, rows = sizes[place < MAX_OF_ONE_SIZE][-MAX_COMPARED:], rows[order]
    medians = rows[:, QUANTILES // 2]
    by_median = np.lexsort((medians, sizes))
    return _Table(sizes, rows, by_median, rows[by_median], _keys(sizes, medians)[by_median])


def _keys(sizes: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.complex128]:
    keys = np.empty(len(sizes), np.complex128)
    keys.real, keys.imag = sizes, values
    return keys


def _shared(original: _Table, other: _Table, least: float = 0.0) -> list[tuple[int, int]]:
    """The rows of the original's tensors that the other holds too, each with the other's; or fewer than `least`.

    Of several that agree, a tensor takes the first that none has taken before it.
    """
    medians = original.rows[:, QUANTILES // 2]
    # What rounds to the other: |a - b| <= r max(|a|, |b|) + c is no more than (r |a| + c) / (1 - r), and a bit.
    reach = 1.001 * (_RELATIVE * np.abs(medians) + _ABSOLUTE) / (1 - _RELATIVE)
    low = np.searchsorted(other.keys, _keys(original.sizes, medians - reach), side="left")
    counts = np.searchsorted(other.keys, _keys(original.sizes, medians + reach), side="right") - low
    alike = np.flatnonzero(counts).tolist()
    shared: list[tuple[int, int]] = []
    free = np.ones(len(other.sizes), bool)
    for number, row in enumerate(alike):
        if len(shared) + len(alike) - number < least:
            break
        span = slice(low[row], low[row] + counts[row])
        candidates = other.by_median[span][_agree(original.rows[row], other.rows_by_median[span])]
        candidates = candidates[free[candidates]]
        if len(candidates):
            found = int(candidates.min())
            free[found] = False
            shared.append((row, found))
    return shared


def _agree(row: NDArray[np.float64], candidates: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which candidates, `(count, quantiles)`, are the row but for rounding, `(count,)`."""
    tolerance = _RELATIVE * np.maximum(np.abs(row), np.abs(candidates)) + _ABSOLUTE
    return np.asarray((np.abs(row - candidates) <= tolerance).all(axis=1))
