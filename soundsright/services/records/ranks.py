"""The possible ranks of entries: on each metric that pays, the ranks that the scores allow with 95 % confidence."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from soundsright.ranking import RankSet, rank_confidence_sets
from soundsright.services.records.runs import RunCompetition

MAX_RANKED = 64
"""Possible ranks are computed for at most this many entries, because the cost grows with the square."""

PossibleRanks = dict[str, dict[str, RankSet]]
"""By metric and entry key, the ranks that an entry may have."""


def rank_sets(
    values: Mapping[str, Sequence[float]],
    *,
    labels: Sequence[Sequence[Hashable]] | None = None,
    higher_is_better: bool = True,
) -> dict[str, RankSet]:
    """The possible ranks of each entry on one metric, by the keys of `values`.

    `values` has one score per clip for each entry, all in one order. With `labels` (one sequence for each factor,
    one label per clip), ranks hold for new groups. Empty if there is no entry or more than `MAX_RANKED`.
    """
    if not 1 <= len(values) <= MAX_RANKED:
        return {}
    sign = 1.0 if higher_is_better else -1.0
    return rank_confidence_sets({key: [sign * value for value in row] for key, row in values.items()}, labels)


def possible_ranks(competition: RunCompetition) -> PossibleRanks:
    """The possible ranks of a run's entries, for each metric that pays.

    Empty if no clip has scores of all these entries, or if there are more than `MAX_RANKED`.
    """
    if not competition.clip_ids or not 1 <= len(competition.entries) <= MAX_RANKED:
        return {}
    competition = competition.among(competition.deciding)
    if not competition.clip_ids:
        return {}
    return {
        metric: rank_sets(
            {entry.key: competition.values(entry, metric) for entry in competition.deciding},
            labels=competition.labels,
            higher_is_better=competition.metrics[metric].direction == "higher",
        )
        for metric in competition.paid_metrics
    }
