"""One competition's contest in one round: the entries' scores, and each entry's comparisons under a metric.

Scores are in the metric's unit, higher is better. In every table, rows are in the order of the evaluations, and
the unprocessed input, if there is one, has the last row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from soundsright.core.competition import Competition
from soundsright.core.results import Evaluation
from soundsright.core.rulesets import Ruleset
from soundsright.ranking.awards import Award, Contender, Title
from soundsright.ranking.champions import Champion
from soundsright.ranking.needed import holm_levels, least_mean_difference, needed_means
from soundsright.ranking.scores import Scores, ScoreTable, superiority_p_values
from soundsright.ranking.statistics import holm


@dataclass(frozen=True)
class Contest:
    """Everything that decides one competition in one round. `baseline` is the unprocessed input's evaluation."""

    competition: Competition
    entries: tuple[Evaluation, ...]
    baseline: Evaluation | None
    table: ScoreTable
    ruleset: Ruleset
    floors: Mapping[str, float]
    at_block: int
    copies: Mapping[str, int]


@dataclass(frozen=True)
class MetricContest:
    """A contest under one metric. `means` are by row; `champion_row` is None if no champion takes part."""

    metric: str
    scores: Scores
    means: Sequence[float]
    contenders: Sequence[Contender]
    title: Title | None
    champion_row: int | None


def metric_contest(
    contest: Contest, metric: str, champion: Champion | None, means: Sequence[float]
) -> MetricContest:
    """Compare the entries under one metric: with the unprocessed input, and with the champion."""
    champion_row = _champion_row(contest, champion)
    return MetricContest(
        metric,
        contest.table.by_metric[metric],
        means,
        _contenders(contest, metric, means[: len(contest.entries)], champion_row),
        _title(contest, champion, champion_row, means),
        champion_row,
    )


def _champion_row(contest: Contest, champion: Champion | None) -> int | None:
    """The row of the champion's entry, or None if it does not take part."""
    if champion is None:
        return None
    for row, evaluation in enumerate(contest.entries):
        entry = evaluation.submission
        if entry.hotkey == champion.submission.hotkey:
            same_model = entry.source == champion.submission.source
            return row if same_model or contest.ruleset.champion_keeps_title_with_new_model else None
    return None


def _title(
    contest: Contest, champion: Champion | None, champion_row: int | None, means: Sequence[float]
) -> Title | None:
    if champion is None:
        return None
    hotkey = champion.submission.hotkey
    return Title(
        hotkey=hotkey,
        mean=champion.mean if champion_row is None else means[champion_row],
        block=champion.submission.block,
        since_block=champion.since_block,
        took_part=champion_row is not None,
        copies=contest.copies.get(hotkey, 0),
    )


@dataclass(frozen=True)
class _OverUnprocessed:
    """One entry's comparison with the unprocessed input; `p_value` is None without a test."""

    gain: float
    beats: bool = True
    p_value: float | None = None


def _contenders(contest: Contest, metric: str, means: Sequence[float], champion_row: int | None) -> list[Contender]:
    """Every entry as the rules see it, with its gain and its tests; one per row."""
    over_unprocessed = _over_unprocessed(contest, metric, means)
    p_values = _p_values_over_champion(contest, metric, champion_row)
    return [
        Contender(
            hotkey=evaluation.submission.hotkey,
            uid=evaluation.submission.uid,
            block=evaluation.submission.block,
            mean=means[row],
            gain=over_unprocessed[row].gain,
            beats_unprocessed=over_unprocessed[row].beats,
            p_value=p_values[row],
            unprocessed_p_value=over_unprocessed[row].p_value,
        )
        for row, evaluation in enumerate(contest.entries)
    ]


def _over_unprocessed(contest: Contest, metric: str, means: Sequence[float]) -> list[_OverUnprocessed]:
    """Each entry's comparison with the unprocessed input, on the metric that stands in, if any."""
    ruleset, count = contest.ruleset, len(contest.entries)
    if contest.baseline is None or not count:
        return [_OverUnprocessed(mean - contest.floors[metric]) for mean in means]
    stand_in = ruleset.stand_in_of(metric)
    by = stand_in.by if stand_in is not None and stand_in.by in contest.table.by_metric else metric
    scores = contest.table.by_metric[by]
    differences = scores[:count] - scores[-1]
    gains = [math.fsum(row) / len(row) for row in differences.tolist()]
    least = stand_in.fraction * max(gains) if stand_in is not None and by != metric else 0.0
    beats = [gain > 0 and gain >= least for gain in gains]
    if ruleset.alpha is None:
        return [_OverUnprocessed(gain, beat) for gain, beat in zip(gains, beats, strict=True)]
    # Do not adjust for the number of entries: whether an entry is paid must not depend on how many others enter.
    p_values = superiority_p_values(differences).tolist()
    return [
        _OverUnprocessed(gain, beat and p_value <= ruleset.alpha, float(p_value))
        for gain, beat, p_value in zip(gains, beats, p_values, strict=True)
    ]


def _p_values_over_champion(contest: Contest, metric: str, champion_row: int | None) -> list[float | None]:
    """The adjusted p-value of each entry's lead over the champion; None for the champion, or without a test."""
    count = len(contest.entries)
    p_values: list[float | None] = [None] * count
    if champion_row is not None and contest.ruleset.alpha is not None:
        scores = contest.table.by_metric[metric][:count]
        rivals = [row for row in range(count) if row != champion_row]
        for row, p_value in zip(rivals, _adjusted_p_values(scores[rivals] - scores[champion_row]), strict=True):
            p_values[row] = p_value
    return p_values


def _adjusted_p_values(differences: Scores) -> list[float]:
    """One-sided p-values of each row, adjusted for the number of rows."""
    by_row = {str(row): float(p) for row, p in enumerate(superiority_p_values(differences))}
    return list(holm(by_row).values())


def means_to_win(contest: Contest, subcontest: MetricContest, award: Award) -> list[float | None]:
    """The mean with which each entry would have taken the prize, by row; None if no mean would."""
    return needed_means(
        contest.ruleset,
        subcontest.metric,
        subcontest.contenders,
        subcontest.title,
        award,
        over_champion=_sure_over_champion(contest, subcontest),
        over_unprocessed=_sure_over_unprocessed(contest, subcontest),
        at_block=contest.at_block,
    )


def _sure_over_champion(contest: Contest, subcontest: MetricContest) -> list[float] | None:
    """The mean with which each entry would pass the test against the champion; None without such a test."""
    ruleset, count, champion_row = contest.ruleset, len(subcontest.contenders), subcontest.champion_row
    if ruleset.alpha is None or champion_row is None or count < 2:
        return None
    champion = subcontest.contenders[champion_row]
    if ruleset.must_beat_unprocessed and not champion.beats_unprocessed:
        return None
    rivals = [row for row in range(count) if row != champion_row]
    levels = holm_levels([subcontest.contenders[row].p_value for row in rivals], ruleset.alpha)
    leads = least_mean_difference(subcontest.scores[rivals] - subcontest.scores[champion_row], levels)
    means = [champion.mean or 0.0] * count
    for row, lead in zip(rivals, leads.tolist(), strict=True):
        means[row] += lead
    return means


def _sure_over_unprocessed(contest: Contest, subcontest: MetricContest) -> list[float] | None:
    """The mean with which each entry would beat the unprocessed input here; None if the rules do not require it."""
    ruleset, count = contest.ruleset, len(subcontest.contenders)
    has_stand_in = ruleset.stand_in_of(subcontest.metric) is not None
    if not ruleset.must_beat_unprocessed or contest.baseline is None or has_stand_in or not count:
        return None
    leads = np.zeros(count)
    if ruleset.alpha is not None:
        leads = least_mean_difference(subcontest.scores[:count] - subcontest.scores[-1], [ruleset.alpha] * count)
    mean = math.fsum(subcontest.scores[-1]) / subcontest.scores.shape[1]
    return [mean + lead for lead in leads.tolist()]
