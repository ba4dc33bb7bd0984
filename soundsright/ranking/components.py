"""Variance components of paired differences: how much of them belongs to noise, room, prompt and speaker.

Model: the difference of two systems on a clip is a mean, plus one random effect for each group of each factor, plus
an effect of the clip. Effects are independent, and a component is the variance of one of them. Components are in
the square of the metric's unit. The order of clips matters only to rounding, and nothing is random.

Fitting equates quadratic forms to their expectations, as Henderson's methods do: y' P K_i P y for each factor,
where K_i is 1 for two clips that share a group and P subtracts the mean. These forms are those of MINQUE(0).

Sources: Henderson, "Estimation of Variance and Covariance Components", Biometrics 9(2), 1953; Rao, "Estimation of
Variance and Covariance Components: MINQUE Theory", J. Multivariate Analysis 1(3), 1971; Searle, Casella, McCulloch,
"Variance Components", 1992, section 11.3.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import combinations
from typing import Any

import numpy as np

from soundsright.ranking.group_design import Floats, Grouping, expected_squares, grouping

FEWEST_FOR_COMPONENT = 5
"""With fewer groups of a factor, its component says next to nothing."""
CAUTIOUS_QUANTILE = 0.9
_LEAST_CLIPS = 10


@dataclass(frozen=True)
class VarianceComponents:
    """Variances by factor, and of the clip itself, in the square of the metric's unit.

    A factor that could not be measured is missing in `factors`; its variance is then within `clip`.

    Raises:
        ValueError: a variance is negative or not finite, or all are zero.
    """

    factors: Mapping[str, float]
    clip: float

    def __post_init__(self) -> None:
        values = (*self.factors.values(), self.clip)
        if not all(0 <= value < float("inf") for value in values) or not sum(values) > 0:
            raise ValueError("variance components are not negative, finite, and not all zero")

    @property
    def total(self) -> float:
        """The variance of one clip's difference."""
        return sum(self.factors.values()) + self.clip

    def share(self, factor: str) -> float:
        """The correlation of two clips that share only this factor's group (intraclass correlation).

        >>> VarianceComponents({"noise": 1.0, "prompt": 0.5}, 0.5).share("noise")
        0.5
        """
        return self.factors.get(factor, 0.0) / self.total


@dataclass(frozen=True)
class MeasuredComponents:
    """Components over the pairs of several systems.

    `typical` has the median of each component over the pairs, `cautious` its quantile `CAUTIOUS_QUANTILE`. `groups`
    is the number of groups of every factor in the clips, and `source` says in a few words where they come from.
    """

    typical: VarianceComponents
    cautious: VarianceComponents
    pairs: int
    clips: int
    groups: Mapping[str, int]
    source: str


def fitted_components(
    differences: Sequence[float] | Floats, factors: Mapping[str, Sequence[Hashable]]
) -> VarianceComponents:
    """The components of one pair's differences `(clips,)`; `factors` has one label per clip for each factor.

    A factor with fewer than `FEWEST_FOR_COMPONENT` groups, with as many groups as clips, or with the groups of an
    earlier factor is left out. An estimate below zero becomes zero, and the others are then fitted without it.

    Raises:
        ValueError: there are fewer than ten clips, a factor has another number of labels, a difference is not
            finite, or all differences are equal.
    """
    names, table = _fitted_rows(np.asarray(differences, dtype=np.float64)[np.newaxis], factors)
    return _components_of(names, table[0])


def separable_factors(factors: Mapping[str, Sequence[Hashable]], clips: int) -> tuple[str, ...]:
    """The factors whose component these clips can show, in their order.

    >>> separable_factors({"noise": [1, 2, 3, 4, 5] * 2, "prompt": range(10), "speaker": [1, 2] * 5}, 10)
    ('noise',)
    """
    kept: list[str] = []
    for name, labels in factors.items():
        if len(labels) != clips:
            raise ValueError(f"{name}: {len(labels)} labels for {clips} clips")
        groups = len(set(labels))
        same = any(
            groups == len(set(factors[other])) == len(set(zip(labels, factors[other], strict=True)))
            for other in kept
        )
        if FEWEST_FOR_COMPONENT <= groups < clips and not same:
            kept.append(name)
    return tuple(kept)


def measured_components(
    systems: Mapping[str, Sequence[float] | Floats], factors: Mapping[str, Sequence[Hashable]], *, source: str
) -> MeasuredComponents:
    """The components over all pairs of systems; `systems` has one score per clip for each.

    Pairs of systems with equal scores are left out.

    Raises:
        ValueError: no pair is left, or as `fitted_components`.
    """
    scores = {name: np.asarray(values, dtype=np.float64) for name, values in systems.items()}
    pairs = [scores[a] - scores[b] for a, b in combinations(sorted(scores), 2)]
    differing = [row for row in pairs if np.ptp(row) > 0]
    if not differing:
        raise ValueError("no two systems have different scores")
    names, table = _fitted_rows(np.stack(differing), factors)
    typical, cautious = (_components_of(names, row) for row in np.quantile(table, [0.5, CAUTIOUS_QUANTILE], axis=0))
    groups = {name: len(set(labels)) for name, labels in factors.items()}
    return MeasuredComponents(typical, cautious, len(differing), len(differing[0]), groups, source)


def components_to_json(by_metric: Mapping[str, Mapping[str, MeasuredComponents]]) -> str:
    """The text of the shipped file: components by competition and metric, rounded to six digits."""
    fields = {
        competition: {metric: _fields(each) for metric, each in metrics.items()}
        for competition, metrics in by_metric.items()
    }
    return json.dumps(fields, indent=1) + "\n"


@cache
def shipped_components() -> Mapping[str, Mapping[str, MeasuredComponents]]:
    """The shipped components by competition and metric, which `benchmarks/variance_components.py` fitted.

    They are those of the honest systems of this project on its shipped recordings.
    """
    text = (files(__package__) / "variance_components.json").read_text(encoding="utf-8")
    return {
        competition: {metric: _from_fields(fields) for metric, fields in metrics.items()}
        for competition, metrics in json.loads(text).items()
    }


def _fields(each: MeasuredComponents) -> dict[str, Any]:
    def rounded(parts: VarianceComponents) -> dict[str, float]:
        return {name: float(f"{value:.6g}") for name, value in (*parts.factors.items(), ("clip", parts.clip))}

    return {
        "source": each.source,
        "pairs": each.pairs,
        "clips": each.clips,
        "groups": dict(each.groups),
        "typical": rounded(each.typical),
        "cautious": rounded(each.cautious),
    }


def _from_fields(fields: Mapping[str, Any]) -> MeasuredComponents:
    def components(parts: Mapping[str, float]) -> VarianceComponents:
        return VarianceComponents({name: value for name, value in parts.items() if name != "clip"}, parts["clip"])

    return MeasuredComponents(
        components(fields["typical"]),
        components(fields["cautious"]),
        fields["pairs"],
        fields["clips"],
        fields["groups"],
        fields["source"],
    )


def _fitted_rows(rows: Floats, factors: Mapping[str, Sequence[Hashable]]) -> tuple[list[str], Floats]:
    """The factors that the clips can show, and the components of each row of differences `(rows, clips)`.

    The last component is the clip's. If the median of a factor over the rows is below zero, the factor's components
    are zero and the others are fitted without it. A single estimate of a pair may be negative: cutting each at zero
    before taking the median would make the median too large.
    """
    clips = rows.shape[1]
    if clips < _LEAST_CLIPS or not np.isfinite(rows).all() or (np.ptp(rows, axis=1) == 0).any():
        raise ValueError(f"components need {_LEAST_CLIPS} finite differences that are not all equal")
    names = separable_factors(factors, clips)
    groupings = {name: grouping(factors[name]) for name in names}
    centred = rows - rows.mean(axis=1, keepdims=True)
    kept = list(names)
    while True:
        solved = _solved(centred, [groupings[name] for name in kept])
        medians = np.median(solved[:, :-1], axis=0)
        if not kept or medians.min() >= 0:
            break
        del kept[int(np.argmin(medians))]
    table = np.zeros((len(rows), len(names) + 1))
    table[:, -1] = solved[:, -1]
    for column, name in enumerate(kept):
        table[:, names.index(name)] = solved[:, column]
    return list(names), table


def _components_of(names: Sequence[str], row: Floats) -> VarianceComponents:
    return VarianceComponents(
        {name: max(float(value), 0.0) for name, value in zip(names, row, strict=False)}, max(float(row[-1]), 0.0)
    )


def _solved(centred: Floats, factors: Sequence[Grouping]) -> Floats:
    """For each row, the components that make every quadratic form equal to its expectation. The clip's is last."""
    squares = [np.sum(factor.sums(centred) ** 2, axis=1) for factor in factors] + [np.sum(centred**2, axis=1)]
    expected = expected_squares(factors, centred.shape[1])
    solved: Floats = np.asarray(np.linalg.lstsq(expected, np.stack(squares), rcond=None)[0].T, dtype=np.float64)
    return solved
