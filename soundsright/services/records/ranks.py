"""Open ranks: which ranks an entry's scores leave open on each metric that pays, with 95 % confidence."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from soundsright.ranking import RankSet, rank_confidence_sets
from soundsright.services.records.runs import RunCompetition

RESAMPLES = 2_000
MAX_RANKED = 64
"""The most entries whose open ranks are computed: the cost grows with the square of their number."""


def rank_sets(
    values: Mapping[str, Sequence[float]], metric: str, *, seed: int, higher_is_better: bool = True
) -> dict[str, RankSet]:
    """The open ranks of each entry on one metric, by the keys of `values`.

    `values` has one score per clip for each entry, all in one order. The set's seed fixes the resampling, so the
    same run always gives the same ranks. Empty if there is no entry or more than `MAX_RANKED`.
    """
    if not 1 <= len(values) <= MAX_RANKED:
        return {}
    rng = np.random.default_rng([seed, zlib.crc32(metric.encode())])
    sign = 1.0 if higher_is_better else -1.0
    signed = {key: [sign * value for value in row] for key, row in values.items()}
    return rank_confidence_sets(signed, rng=rng, resamples=RESAMPLES)


def open_ranks(competition: RunCompetition) -> dict[str, dict[str, RankSet]]:
    """The open ranks of a run's entries, by metric that pays and by entry key.

    Empty if the run has no scores per clip, or more than `MAX_RANKED` entries.
    """
    if not competition.clip_ids or not 1 <= len(competition.entries) <= MAX_RANKED:
        return {}
    return {
        metric: rank_sets(
            {entry.key: competition.values(entry, metric) for entry in competition.entries},
            metric,
            seed=competition.doc.seed,
            higher_is_better=competition.metrics[metric].direction == "higher",
        )
        for metric in competition.paid_metrics
    }
