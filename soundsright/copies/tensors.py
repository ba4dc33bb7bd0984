"""Finds models with the same tensors, even if files, names, order, shapes and number formats differ.

A tensor is summarised by its size and the quantiles of its values. Rounding to another number format keeps the
order of values, so the quantile of the rounded tensor is the rounded quantile. Copies therefore agree except for
rounding. Tensors that were trained apart differ by the sampling error of their quantiles, which is far larger.

The files come from strangers. So every step is bounded, and files that exceed the bounds are named. The caller
bounds the time: it runs `tensor_fingerprint` in a worker with `fingerprint_deadline_s`.
"""

from __future__ import annotations

import base64
import codecs
import mmap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from soundsright.copies.containers import Tensor, tensors_of
from soundsright.copies.duplicates import DuplicateRule, Likeness
from soundsright.copies.excerpts import NO_EXCERPTS, Excerpts, excerpts_of, shared_excerpts
from soundsright.copies.excerpts import merged as merged_excerpts
from soundsright.copies.limits import DAMAGE, TooMuchToRead

MIN_ELEMENTS = 64
"""Smaller tensors (biases, scales) are ignored, because they are often equal by construction."""

MIN_TENSORS = 4
SAME_FRACTION = 0.9
"""If the larger model has this part of the smaller one's tensors, one of them is a copy."""

LEAST_OF_LARGER = 0.25
"""The shared tensors must be this part of the larger model too, in number and in elements.

Otherwise an entry with only windows and DFT kernels would make every model that has them a copy.
"""

QUANTILES = 33

MIN_FILE_BYTES = 512
MIN_OPAQUE_BYTES = 65_536
"""A file of this size that is not text, and in which no tensors are found, counts as unread."""

MAX_SUMMARIES = 20_000
MAX_OF_ONE_SIZE = 512
"""At most this many tensors of one size are compared. The cost of a comparison grows with the square of this."""

MAX_COMPARED = 2_048
"""At most this many tensors of a model are compared, the largest ones. It bounds the cost of a hostile pair."""

_UNMERGED = 65_536  # excerpts that are kept before those with high keys are dropped

_RELATIVE = 2.0**-8  # The rounding of bfloat16, the coarsest format.
_ABSOLUTE = 2.0**-24  # The smallest step of float16.

_SKETCHED = (
    2,
    9,
    16,
    23,
    30,
)  # The quantiles in a sketch; enough to recognise a hotkey's own tensors.
_SKETCH = np.dtype([("elements", "<u8"), ("quantiles", "<f4", (len(_SKETCHED),))])
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, eq=False)
class TensorSummary:
    """A tensor's size and its quantiles, ascending, float64 `(33,)`."""

    elements: int
    quantiles: NDArray[np.float64]


def tensor_summaries(tensors: Iterable[Tensor]) -> Iterator[TensorSummary]:
    """The summaries of tensors that tell models apart: those that are finite, not small and not constant."""
    return (summary for tensor in tensors if (summary := _summary(tensor)) is not None)


def _summary(tensor: Tensor) -> TensorSummary | None:
    if tensor.dtype.kind != "f" or tensor.size < MIN_ELEMENTS or not np.isfinite(tensor).all():
        return None
    ranks = np.linspace(0, tensor.size - 1, QUANTILES).astype(np.int64)
    quantiles = np.partition(tensor, ranks)[ranks].astype(np.float64)
    return TensorSummary(tensor.size, quantiles) if quantiles[0] < quantiles[-1] else None


@dataclass(frozen=True, eq=False)
class TensorFingerprint:
    """The tensors in a model's files. `unread` lists files that were not read completely, as `path: reason`.

    The numbers of tensors in `excerpts` are those of the summaries, or -1 for a tensor without a summary.
    """

    summaries: tuple[TensorSummary, ...]
    unread: tuple[str, ...] = ()
    excerpts: Excerpts = NO_EXCERPTS


def tensor_fingerprint(paths: Sequence[Path]) -> TensorFingerprint:
    """The tensors of a model's files, in the order of the paths. It can run as a job in a worker.

    Files are mapped, not loaded. One tensor or one member of an archive is in memory at a time, at most 2 GB. A
    file that cannot be read completely is listed as unread, and the other files are still read. The same goes for a
    long file that is not text and has no tensors: its weights can be hidden.
    """
    found = _Found()
    unread: list[str] = []
    for path in paths:
        try:
            if path.stat().st_size < MIN_FILE_BYTES:
                continue
            with path.open("rb") as file:
                content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            is_empty = True
            for tensor in tensors_of(content):
                found.add(tensor)
                is_empty = False
            if is_empty and _is_opaque(content):
                unread.append(f"{path}: no tensors were found in it")
        except (OSError, TooMuchToRead) as error:
            unread.append(f"{path}: {error}")
        except DAMAGE as error:
            unread.append(f"{path}: it cannot be read ({type(error).__name__})")
    return TensorFingerprint(tuple(found.summaries), tuple(unread), found.all_excerpts())


def _is_opaque(content: mmap.mmap) -> bool:
    """Whether a file is long enough for weights, and not text."""
    if len(content) < MIN_OPAQUE_BYTES:
        return False
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(content[:MIN_OPAQUE_BYTES])
    except UnicodeDecodeError:
        return True
    return "\0" in text


class _Found:
    """The summaries and the excerpts of the tensors that were read so far."""

    def __init__(self) -> None:
        self.summaries: list[TensorSummary] = []
        self._excerpts = [NO_EXCERPTS]

    def add(self, tensor: Tensor) -> None:
        summary = _summary(tensor)
        if summary is not None and len(self.summaries) == MAX_SUMMARIES:
            raise TooMuchToRead(f"more than {MAX_SUMMARIES} tensors in all files")
        number = -1 if summary is None else len(self.summaries)
        self.summaries += [] if summary is None else [summary]
        self._excerpts.append(excerpts_of(_centred(tensor), number))
        if sum(len(part.keys) for part in self._excerpts) > _UNMERGED or len(self._excerpts) > _UNMERGED // 64:
            self._excerpts = [self.all_excerpts()]

    def all_excerpts(self) -> Excerpts:
        return merged_excerpts(self._excerpts)


def _centred(tensor: Tensor) -> NDArray[np.float32]:
    """The values as float32. Unsigned ones have an offset, which is removed."""
    values = np.asarray(tensor, np.float32)
    return values - np.median(values) if tensor.dtype.kind == "u" and tensor.size else values


def merged_fingerprint(parts: Sequence[TensorFingerprint]) -> TensorFingerprint:
    """The fingerprint of a model from those of its files."""
    summaries: list[TensorSummary] = []
    excerpts = []
    for part in parts:
        own = part.excerpts
        numbers = np.where(own.tensors < 0, -1, own.tensors + len(summaries)).astype(np.int32)
        excerpts.append(replace(own, tensors=numbers))
        summaries += part.summaries
    unread = tuple(reason for part in parts for reason in part.unread)
    return TensorFingerprint(tuple(summaries), unread, merged_excerpts(excerpts))


def fingerprint_deadline_s(total_bytes: int) -> float:
    """The deadline of a fingerprint in seconds of processor time, for files of that total size."""
    return 60.0 + 60e-9 * total_bytes


def tensor_sketch(summaries: Sequence[TensorSummary]) -> str:
    """A sketch of a model: the size and five quantiles of each compared tensor, as base64."""
    table = _table(summaries)
    return table.sketch(range(len(table.sizes)))


def sketch_holds(sketch: str, shared: str) -> bool:
    """Whether a sketched model has at least 90 % of the shared tensors, given as a sketch, except for rounding.

    Every tensor counts, because a sample could be chosen to give the wanted answer.
    """
    (sizes, quantiles), (shared_sizes, shared_quantiles) = (_read_sketch(text) for text in (sketch, shared))
    free = np.ones(len(quantiles), bool)
    count = 0
    for size, row in zip(shared_sizes, shared_quantiles, strict=True):
        candidates = np.flatnonzero(free & (sizes == size))
        agreeing = candidates[_agree(row, quantiles[candidates])]
        if len(agreeing):
            free[agreeing[0]] = False
            count += 1
    total = len(shared_quantiles)
    return total > 0 and count >= SAME_FRACTION * total


def _read_sketch(text: str) -> tuple[NDArray[np.uint64], NDArray[np.float64]]:
    rows = np.frombuffer(base64.b64decode(text), _SKETCH)
    return rows["elements"], rows["quantiles"].astype(np.float64)


def shared_fraction(original: Sequence[TensorSummary], other: Sequence[TensorSummary]) -> float:
    """The part of the original's tensors that the other model also has. Each tensor counts once.

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
    check_stop: Callable[[], None] = lambda: None,
) -> list[Likeness]:
    """The pairs of entries, by their ids, in which one has nearly all tensors of the other and few others.

    `since` gives the block from which an entry's hotkey has held the tensors of a sketch. `check_stop` is called
    before each comparison; it can raise an error to stop.
    """
    tables = {name: _table(summaries) for name, summaries in models.items() if len(summaries) >= MIN_TENSORS}
    likenesses = []
    for first, second in combinations(tables, 2):
        check_stop()
        a, b = tables[first], tables[second]
        smaller, larger = sorted((len(a.sizes), len(b.sizes)))
        least = max(SAME_FRACTION * smaller, LEAST_OF_LARGER * larger)
        shared = _shared(a, b, least)
        rows_of_a = [row for row, _ in shared]
        elements = max(int(a.sizes.sum()), int(b.sizes.sum()))
        if len(shared) >= least and int(a.sizes[rows_of_a].sum()) >= LEAST_OF_LARGER * elements:
            evidence = {"shared_tensors": f"{len(shared) / smaller:.1%}"}
            blocks = None
            if since is not None:
                blocks = since(first, a.sketch(rows_of_a)), since(second, b.sketch([row for _, row in shared]))
            likenesses.append(Likeness(first, second, DuplicateRule.SAME_TENSORS, evidence, blocks))
    return likenesses


def same_weights(
    models: Mapping[str, TensorFingerprint],
    *,
    since: Callable[[str, str], int] | None = None,
    check_stop: Callable[[], None] = lambda: None,
) -> list[Likeness]:
    """The pairs of entries that have the same tensors, or share excerpts of them. See `same_tensors`."""
    summaries = {name: model.summaries for name, model in models.items()}
    pairs = {
        (pair.first, pair.second): pair for pair in same_tensors(summaries, since=since, check_stop=check_stop)
    }
    likenesses = []
    for first, second in combinations(models, 2):
        pair = pairs.get((first, second))
        if pair is None:
            check_stop()
            shared = shared_excerpts(models[first].excerpts, models[second].excerpts)
            if shared is None:
                continue
            evidence = {"shared_excerpts": f"{shared.fraction:.1%}"}
            blocks = None
            if since is not None:
                numbers = {first: shared.tensors_of_first, second: shared.tensors_of_second}
                sketches = (
                    tensor_sketch([summaries[name][number] for number in own if number >= 0])
                    for name, own in numbers.items()
                )
                blocks = since(first, next(sketches)), since(second, next(sketches))
            pair = Likeness(first, second, DuplicateRule.SAME_TENSORS, evidence, blocks)
        likenesses.append(pair)
    return likenesses


@dataclass(frozen=True, eq=False)
class _Table:
    """A model's compared tensors, sorted by size and then by quantiles.

    `sizes` is `(n,)` and `rows` `(n, 33)`. `by_median` `(n,)` are the indices that sort the rows by size and
    median, `rows_by_median` the rows in that order. `keys` `(n,)` are their sizes and medians as complex numbers,
    which NumPy sorts by the real and then by the imaginary part.
    """

    sizes: NDArray[np.int64]
    rows: NDArray[np.float64]
    by_median: NDArray[np.intp]
    rows_by_median: NDArray[np.float64]
    keys: NDArray[np.complex128]

    def sketch(self, rows: Sequence[int]) -> str:
        sketched = np.empty(len(rows), _SKETCH)
        sketched["elements"] = self.sizes[rows]
        sketched["quantiles"] = self.rows[rows][:, _SKETCHED].clip(-_LARGEST, _LARGEST)
        return base64.b64encode(sketched.tobytes()).decode()


def _table(summaries: Sequence[TensorSummary]) -> _Table:
    sizes = np.array([summary.elements for summary in summaries], np.int64)
    rows = np.array([summary.quantiles for summary in summaries], np.float64).reshape(-1, QUANTILES)
    # Sort, so that a copy with too many tensors keeps the same ones, even if their order differs.
    order = np.lexsort((*rows.T[::-1], sizes))
    sizes = sizes[order]
    number_of_size = np.arange(len(sizes)) - np.searchsorted(sizes, sizes)
    order = order[number_of_size < MAX_OF_ONE_SIZE][-MAX_COMPARED:]
    sizes, rows = sizes[number_of_size < MAX_OF_ONE_SIZE][-MAX_COMPARED:], rows[order]
    medians = rows[:, QUANTILES // 2]
    by_median = np.lexsort((medians, sizes))
    return _Table(sizes, rows, by_median, rows[by_median], _keys(sizes, medians)[by_median])


def _keys(sizes: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.complex128]:
    keys = np.empty(len(sizes), np.complex128)
    keys.real, keys.imag = sizes, values
    return keys


def _shared(original: _Table, other: _Table, least: float = 0.0) -> list[tuple[int, int]]:
    """The pairs of rows of equal tensors in the original and the other. It stops early if `least` is out of reach.

    If several rows agree with a tensor, it takes the first that is still free.
    """
    medians = original.rows[:, QUANTILES // 2]
    # Rounding moves a median by |a - b| <= r max(|a|, |b|) + c, at most (r |a| + c) / (1 - r). Add a little.
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
            first = int(candidates.min())
            free[first] = False
            shared.append((row, first))
    return shared


def _agree(row: NDArray[np.float64], candidates: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each candidate `(count, quantiles)` equals the row except for rounding: `(count,)`."""
    tolerance = _RELATIVE * np.maximum(np.abs(row), np.abs(candidates)) + _ABSOLUTE
    return np.asarray((np.abs(row - candidates) <= tolerance).all(axis=1))
