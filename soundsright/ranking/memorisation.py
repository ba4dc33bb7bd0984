"""Finds entries that do better on recordings of earlier rounds than on new ones: they memorised recordings.

An entry's gain is its score minus the unprocessed input's, clip by clip. Clips differ in difficulty, so each gain
is compared with the median gain of the other entries on the same clip. For an entry that enhances what it hears,
this difference does not depend on whether the recording is new. The test asks whether it is larger on used
recordings (difference in differences). Clips that share a recording count as one value, their mean.

Two one-sided tests of the two means are made, and the larger p-value counts: Student's with a pooled variance, and
Welch's with separate ones. Each is wrong for one kind of long tail, and the other one protects there.
`benchmarks/gates.py` measures how often honest entries are found, and memorising ones are missed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soundsright.ranking.scores import Scores
from soundsright.ranking.statistics import holm

LEAST_RECORDINGS = 5
"""Fewer recordings of one kind give no test."""


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
) -> dict[int, Memorised]:
    """The entries that memorised recordings, by row, with the evidence.

    `gains` are by metric, each `(entries, clips)`; `fresh` and `recordings` have one value per clip. Rows with one
    number in `groups` are suspected copies of each other: they count once among the others, and never beside their
    own group. `unreliable` rows are not among the others. A row can be found only if it gains on used recordings,
    and only such rows count in Holm's correction.
    """
    labels = list(dict.fromkeys(recordings))
    member = np.array([[name == label for name in recordings] for label in labels], dtype=np.float64)
    by_recording = member / member.sum(axis=1, keepdims=True)
    is_new = (by_recording @ fresh.astype(np.float64)) > 0.5
    found: dict[str, tuple[int, Memorised]] = {}
    for metric, table in gains.items():
        for row in range(len(table)):
            others = _others(table, row, groups, unreliable)
            if not others or not float(table[row][~fresh].mean()) > 0:
                continue
            values = by_recording @ (table[row] - np.median(table[others], axis=0))
            excess, p_value = _excess(values[~is_new], values[is_new])
            found[f"{row} {metric}"] = (
                row,
                Memorised(
                    metric,
                    float(table[row][~fresh].mean()),
                    float(table[row][fresh].mean()),
                    excess,
                    p_value,
                    int(np.count_nonzero(~is_new)),
                    int(np.count_nonzero(is_new)),
                ),
            )
    adjusted = holm({key: evidence.p_value for key, (_, evidence) in found.items()})
    result: dict[int, Memorised] = {}
    for key in sorted(found, key=lambda key: (adjusted[key], key)):
        row, evidence = found[key]
        if adjusted[key] <= alpha and row not in result:
            result[row] = Memorised(**{**vars(evidence), "p_value": adjusted[key]})
    return result


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
    pooled = (squares_used + squares_new) / (n + m - 2)
    p_pooled = float(stdtr(n + m - 2, -excess / math.sqrt(pooled * (1 / n + 1 / m))))
    a, b = squares_used / (n - 1) / n, squares_new / (m - 1) / m
    degrees = (a + b) ** 2 / (a**2 / (n - 1) + b**2 / (m - 1))
    return excess, max(p_pooled, float(stdtr(degrees, -excess / math.sqrt(a + b))))
