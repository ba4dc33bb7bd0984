"""Finds entries that do better on recordings of earlier rounds than on new ones: they memorised recordings.

An entry's gain is its score minus the unprocessed input's, clip by clip. Clips differ in difficulty, so each gain
is compared with the median gain of the other entries on the same clip. For an entry that enhances what it hears,
this difference does not depend on whether the recording is new. The test asks whether it is larger on used
recordings (difference in differences). Clips that share a recording count as one value, their mean.

Two one-sided tests of the two means are made, and the larger p-value counts: Student's with a pooled variance, and
Welch's with separate ones. Each is wrong for one kind of long tail, and the other one protects there.

A difference between entries does not say which of them is special: an attacker that knows the used recordings could
do worse there on purpose, and an honest entry would stand out. So the entry's own gain must be larger on used
recordings too, without a look at any other entry. Clips differ, so what the unprocessed input's scores explain of
the gain is removed first, by least squares.
`benchmarks/gates.py` measures how often honest entries are found, and memorising ones are missed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from soundsright.ranking.scores import Scores
from soundsright.ranking.statistics import holm

LEAST_RECORDINGS = 5
"""Fewer recordings of one kind give no test."""

_RECORDINGS_PER_TERM = 10
"""A term of the adjustment for the input needs this many recordings."""

_LEAST_SQUARES = 1e-120

_ROUNDING = 1e-20
"""A part of the squares of the gains. Less is left only by rounding."""


@dataclass(frozen=True)
class Memorised:
    """The evidence against one entry: the metric that shows it best, the gains, and the p-value after Holm.

    `excess` is how much more the entry gains on used recordings than on new ones, beyond the other entries.
    """

    metric: str
    used_gain: float
    new_gain: float
    excess: float
    p_value: float
    used_recordings: int
    new_recordings: int


def why_unmeasurable(fresh: Sequence[bool | None], recordings: Sequence[str]) -> str:
    """Why a set does not allow the test, in a sentence; empty if it does. One value per clip.

    >>> why_unmeasurable([None, None], ["a", "b"])
    'The corpus does not say which recordings are new.'
    """
    if any(mark is None for mark in fresh):
        return "The corpus does not say which recordings are new."
    new = len({recording for mark, recording in zip(fresh, recordings, strict=True) if mark})
    used = len({recording for mark, recording in zip(fresh, recordings, strict=True) if not mark})
    if not used or not new:
        return f"All recordings are {'new' if new else 'used'}, so there is nothing to compare."
    if min(new, used) < LEAST_RECORDINGS:
        return f"The set has {new} new and {used} used recordings; the test needs {LEAST_RECORDINGS} of each."
    return ""


def memorised(
    gains: Mapping[str, Scores],
    fresh: NDArray[np.bool_],
    recordings: Sequence[str],
    *,
    alpha: float,
    groups: Sequence[int],
    unreliable: Collection[int] = (),
    inputs: Sequence[NDArray[np.float64]] = (),
) -> dict[int, Memorised]:
    """The entries that memorised recordings, by row, with the evidence.

    `gains` are by metric, each `(entries, clips)`; `fresh` and `recordings` have one value per clip. Rows with one
    number in `groups` are suspected copies of each other: they count once among the others, and never beside their
    own group. `unreliable` rows are not among the others. `inputs` are up to two scores of the unprocessed input,
    `(clips,)` each, which tell how hard a clip is. A row can be found only if it gains on used recordings, and only
    such rows count in Holm's correction. Its own gains must differ too, with a p-value of at most `alpha`.
    """
    labels = list(dict.fromkeys(recordings))
    member = np.array([[name == label for name in recordings] for label in labels], dtype=np.float64)
    by_recording = member / member.sum(axis=1, keepdims=True)
    is_new = (by_recording @ fresh.astype(np.float64)) > 0.5
    terms = _terms([by_recording @ scores for scores in inputs], len(labels))
    found: dict[str, tuple[int, Memorised]] = {}
    for metric, table in gains.items():
        for row in range(len(table)):
            others = _others(table, row, groups, unreliable)
            if not others or not float(table[row][~fresh].mean()) > 0:
                continue
            values = by_recording @ (table[row] - np.median(table[others], axis=0))
            found[f"{row} {metric}"] = row, _evidence(metric, table[row], fresh, values, is_new)
    adjusted = holm({key: evidence.p_value for key, (_, evidence) in found.items()})
    result: dict[int, Memorised] = {}
    for key in sorted(found, key=lambda key: (adjusted[key], key)):
        row, evidence = found[key]
        if adjusted[key] > alpha or row in result:
            continue
        if _own_p_value(by_recording @ gains[evidence.metric][row], ~is_new, terms) <= alpha:
            result[row] = Memorised(**{**vars(evidence), "p_value": adjusted[key]})
    return result


def _evidence(
    metric: str, gains: Scores, fresh: NDArray[np.bool_], values: Scores, is_new: NDArray[np.bool_]
) -> Memorised:
    """One entry's evidence. Its `gains` are by clip, `values` are its gains beyond the others by recording."""
    excess, p_value = _excess(values[~is_new], values[is_new])
    return Memorised(
        metric,
        float(gains[~fresh].mean()),
        float(gains[fresh].mean()),
        excess,
        p_value,
        int(np.count_nonzero(~is_new)),
        int(np.count_nonzero(is_new)),
    )


def _others(table: Scores, row: int, groups: Sequence[int], unreliable: Collection[int]) -> list[int]:
    """The rows that show what is normal: those that gain, without the row's own group, one per group."""
    by_group: dict[int, int] = {}
    for other in range(len(table)):
        if groups[other] != groups[row] and other not in unreliable and float(table[other].mean()) > 0:
            by_group.setdefault(groups[other], other)
    return list(by_group.values())


def _excess(used: NDArray[np.float64], new: NDArray[np.float64]) -> tuple[float, float]:
    """The mean of `used` minus that of `new`, and the one-sided p-value."""
    from scipy.special import stdtr

    n, m = len(used), len(new)
    excess = float(used.mean() - new.mean())
    squares_used, squares_new = (float(((part - part.mean()) ** 2).sum()) for part in (used, new))
    if squares_used + squares_new == 0:
        return excess, 0.0 if excess > 0 else 1.0
    if not _LEAST_SQUARES < squares_used + squares_new < math.inf:
        return excess, 1.0  # Their squares have no room in a number, so nothing can be shown.
    pooled = (squares_used + squares_new) / (n + m - 2)
    p_pooled = float(stdtr(n + m - 2, -excess / math.sqrt(pooled * (1 / n + 1 / m))))
    a, b = squares_used / (n - 1) / n, squares_new / (m - 1) / m
    degrees = (a + b) ** 2 / (a**2 / (n - 1) + b**2 / (m - 1))
    return excess, max(p_pooled, float(stdtr(degrees, -excess / math.sqrt(a + b))))


def _terms(inputs: Sequence[NDArray[np.float64]], recordings: int) -> list[NDArray[np.float64]]:
    """What can explain the gain on a recording: the input's scores, their squares and their product."""
    standard = [(scores - scores.mean()) / scores.std() for scores in inputs if float(np.ptp(scores)) > 0]
    squares = [one * other for one, other in combinations_with_replacement(standard, 2)]
    return [*standard, *squares][: recordings // _RECORDINGS_PER_TERM]


def _own_p_value(
    gains: NDArray[np.float64], used: NDArray[np.bool_], terms: Sequence[NDArray[np.float64]]
) -> float:
    """The one-sided p-value of "the entry gains more on used recordings", adjusted for the input.

    It is the larger of two: with one variance for all recordings, and with a variance of each recording's own (the
    robust errors HC3 of MacKinnon and White, J. Econometrics 29, 1985).
    """
    from scipy.special import stdtr

    known = np.column_stack((np.ones(len(gains)), *terms))
    basis, sizes, _ = np.linalg.svd(known, full_matrices=False)
    basis = basis[:, sizes > 1e-9 * sizes[0]]
    mark = used.astype(np.float64)
    mark -= basis @ (basis.T @ mark)
    rest = gains - basis @ (basis.T @ gains)
    weight = float(mark @ mark)
    degrees = len(gains) - basis.shape[1] - 1
    if degrees < 1 or weight <= _ROUNDING * len(gains):
        return 1.0  # The input explains the marks completely, so nothing is left to test.
    slope = float(mark @ rest) / weight
    rest = rest - slope * mark
    squares = float(rest @ rest)
    if squares <= _ROUNDING * float(gains @ gains):
        return 0.0 if slope > 0 else 1.0
    leverage = np.minimum((basis**2).sum(axis=1) + mark**2 / weight, 1 - 1e-9)
    robust = float((mark * rest / (1 - leverage)) @ (mark * rest / (1 - leverage))) / weight**2
    variance = max(squares / degrees / weight, robust)
    return float(stdtr(degrees, -slope / math.sqrt(variance)))
