"""One competition's contest in one round: the entries' scores, and each entry's comparisons under a metric.

Scores are in the metric's unit, higher is better. In every table, rows are in the order of the evaluations, and
the unprocessed input, if there is one, has the last row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from soundsright.core.competition import Competition
from soundsright.core.groups import ClipGroups
from soundsright.core.results import Evaluation
from soundsright.core.rulesets import Ruleset
from soundsright.ranking.awards import Award, Contender, Loss, Title, is_able
from soundsright.ranking.challengers import (
    Counted,
    adjusted_p_values,
    counted_challengers,
    joining_level,
    needed_levels,
)
from soundsright.ranking.champions import Champion
from soundsright.ranking.examined import Examined
from soundsright.ranking.failures import unseen_failures
from soundsright.ranking.leads import (
    LeadTest,
    Scarce,
    labels_by_factor,
    lead_test,
    scarce_factor,
    without_groups,
)
from soundsright.ranking.needed import needed_means
from soundsright.ranking.safeguards import losses, required_gain
from soundsright.ranking.scores import Scores, ScoreTable


@dataclass(frozen=True)
class Contest:
    """Everything that decides one competition in one round.

    `baseline` is the unprocessed input's evaluation. `groups` says what the clips share; None if it is unknown.
    `stopped_p_values` has, by metric, the p-values of the challengers that stopped early, over the clips that they
    ran. They count in the correction as if they had run on.
    """

    competition: Competition
    entries: tuple[Evaluation, ...]
    baseline: Evaluation | None
    table: ScoreTable
    ruleset: Ruleset
    floors: Mapping[str, float]
    at_block: int
    copies: Mapping[str, int]
    examined: Examined
    groups: ClipGroups | None = None
    stopped_p_values: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @cached_property
    def labels(self) -> Mapping[str, tuple[str, ...]]:
        """The labels of the clips by factor; none if it is unknown what they share."""
        return labels_by_factor(self.groups, self.table.clip_ids)

    @cached_property
    def lead_test(self) -> LeadTest:
        """The test of a lead over the champion."""
        return lead_test(self.ruleset, self.labels)

    @cached_property
    def scarce(self) -> Scarce | None:
        """The groups of which the set has too few to test a lead over the champion; None if it can be tested."""
        return None if self.ruleset.alpha is None else scarce_factor(self.lead_test, self.ruleset.alpha)

    @cached_property
    def gain_test(self) -> LeadTest:
        """The test of a gain over the unprocessed input.

        On a set that has too few groups it is made over the clips alone. Otherwise nobody could be paid there.
        """
        return self.lead_test if self.scarce is None else without_groups(self.lead_test)


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
    champion_row = _champion_row(contest, metric, champion)
    return MetricContest(
        metric,
        contest.table.by_metric[metric],
        means,
        _contenders(contest, metric, means[: len(contest.entries)], champion_row),
        _title(contest, metric, champion, champion_row, means),
        champion_row,
    )


def _champion_row(contest: Contest, metric: str, champion: Champion | None) -> int | None:
    """The row of the entry that defends the title, or None if no entry does.

    That is the champion's own entry, with the same model. If titles follow the model, it is otherwise the earliest
    entry of another hotkey with that model.
    """
    if champion is None:
        return None
    ruleset = contest.ruleset
    same_model = contest.examined.title_model(metric).hotkeys if ruleset.title_follows_model else frozenset()
    defending: list[int] = []
    for row, evaluation in enumerate(contest.entries):
        entry = evaluation.submission
        if entry.hotkey == champion.submission.hotkey:
            same_source = entry.source == champion.submission.source
            if same_source or entry.hotkey in same_model or ruleset.champion_keeps_title_with_new_model:
                return row
        elif entry.hotkey in same_model:
            defending.append(row)

    def precedence(row: int) -> tuple[int, int]:
        return contest.entries[row].submission.block, contest.entries[row].submission.uid

    return min(defending, key=precedence, default=None)


def _title(
    contest: Contest, metric: str, champion: Champion | None, champion_row: int | None, means: Sequence[float]
) -> Title | None:
    if champion is None:
        return None
    hotkey = champion.submission.hotkey
    model = contest.examined.title_model(metric)
    is_own = True
    if champion_row is not None:
        defender = contest.entries[champion_row].submission
        is_own = defender.hotkey in model.exact or (defender.hotkey, defender.source) == (
            hotkey,
            champion.submission.source,
        )
        hotkey = defender.hotkey
    return Title(
        hotkey=hotkey,
        mean=champion.mean if champion_row is None else means[champion_row],
        block=champion.submission.block,
        since_block=champion.since_block,
        took_part=champion_row is not None,
        copies=contest.copies.get(hotkey, 0),
        same_model=model.hotkeys,
        apart=model.apart,
        is_own=is_own,
        reigns=model.reigns,
        floor=contest.floors[metric],
    )


@dataclass(frozen=True)
class _OverUnprocessed:
    """One entry's comparison with the unprocessed input; `p_value` is None without a test."""

    gain: float
    beats: bool = True
    p_value: float | None = None


def _contenders(contest: Contest, metric: str, means: Sequence[float], champion_row: int | None) -> list[Contender]:
    """Every entry as the rules see it, with its gain and its tests; one per row."""
    over_unprocessed = _over_unprocessed(contest, metric, means, champion_row)
    beats = [comparison.beats for comparison in over_unprocessed]
    p_values = _p_values_over_champion(contest, metric, champion_row, beats)
    lost = _losses(contest, metric, champion_row)
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
            loss=lost[row],
            copy_of=tuple(contest.examined.suspected.get(evaluation.submission.hotkey, ())),
            unseen_failures=unseen_failures(contest.ruleset.failures_unseen, len(evaluation.clips)),
        )
        for row, evaluation in enumerate(contest.entries)
    ]


def _over_unprocessed(
    contest: Contest, metric: str, means: Sequence[float], champion_row: int | None
) -> list[_OverUnprocessed]:
    """Each entry's comparison with the unprocessed input, on the metric that stands in, if any."""
    ruleset, count = contest.ruleset, len(contest.entries)
    if contest.baseline is None or not count:
        return [_OverUnprocessed(mean - contest.floors[metric]) for mean in means]
    stand_in = ruleset.stand_in_of(metric)
    by = stand_in.by if stand_in is not None and stand_in.by in contest.table.by_metric else metric
    scores = contest.table.by_metric[by]
    differences = scores[:count] - scores[-1]
    gains = [math.fsum(row) / len(row) for row in differences.tolist()]
    beats = [gain > 0 for gain in gains]
    p_values: list[float | None] = [None] * count
    if ruleset.alpha is not None:
        # Do not adjust for the number of entries: whether one is paid must not depend on how many others enter.
        p_values = [float(p) for p in contest.gain_test.p_values(differences)]
        beats = [beat and p <= ruleset.alpha for beat, p in zip(beats, p_values, strict=True) if p is not None]
    if stand_in is not None and by != metric:
        honest = [beat and not suspected for beat, suspected in zip(beats, _suspected(contest), strict=True)]
        champion_row = champion_row if champion_row is not None and beats[champion_row] else None
        least = required_gain(ruleset, stand_in.fraction, gains, honest=honest, champion_row=champion_row)
        beats = [beat and gain >= least for beat, gain in zip(beats, gains, strict=True)]
    return [_OverUnprocessed(*row) for row in zip(gains, beats, p_values, strict=True)]


def _suspected(contest: Contest) -> list[bool]:
    """Whether each entry is suspected to be a copy of another one."""
    return [bool(contest.examined.suspected.get(e.submission.hotkey)) for e in contest.entries]


def _losses(contest: Contest, metric: str, champion_row: int | None) -> list[Loss | None]:
    """Each entry's loss on the metrics that the rules protect, by row."""
    ruleset = contest.ruleset
    no_loss = ruleset.no_loss_of(metric)
    if no_loss is None or contest.baseline is None or not contest.entries:
        return [None] * len(contest.entries)
    return losses(
        no_loss,
        contest.table.by_metric,
        alpha=ruleset.alpha if ruleset.alpha is not None else 0.5,
        suspected=_suspected(contest),
        champion_row=champion_row,
        gain_test=contest.gain_test,
    )


def _p_values_over_champion(
    contest: Contest, metric: str, champion_row: int | None, beats: Sequence[bool]
) -> list[float | None]:
    """The adjusted p-value of each entry's lead over the champion; None for the champion, or without a test.

    If the rules say so, only entries that beat the unprocessed input are tested and counted. Otherwise junk entries
    would raise the lead that a better one needs.
    """
    ruleset, count = contest.ruleset, len(contest.entries)
    p_values: list[float | None] = [None] * count
    if champion_row is not None and ruleset.alpha is not None and contest.scarce is None:
        rivals = [row for row in range(count) if row != champion_row]
        if ruleset.tests_count_able_only:
            rivals = [row for row in rivals if beats[row]]
        for tested, decided in _families(contest, rivals):
            family = _family(contest, metric, tested, champion_row)
            adjusted = dict(zip(tested, adjusted_p_values(ruleset, family), strict=False))
            for row in decided:
                p_values[row] = adjusted[row]
    return p_values


def _families(contest: Contest, rivals: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """The rows that are tested together, and those of them that are decided by it.

    Suspected copies would raise the lead that an independent entry needs, so they do not count for it. They count
    for each other and with the others, because many copies would have many chances.
    """
    if not contest.ruleset.tests_count_able_only:
        return [([*rivals], [*rivals])]
    suspected = _suspected(contest)
    independent = [row for row in rivals if not suspected[row]]
    return [(independent, independent), ([*rivals], [row for row in rivals if suspected[row]])]


def _unadjusted(contest: Contest, metric: str, rows: Sequence[int], champion_row: int) -> list[float]:
    """The one-sided p-value of each row's lead over the champion, by its own test."""
    if not rows:
        return []
    scores = contest.table.by_metric[metric]
    return [float(p) for p in contest.lead_test.p_values(scores[list(rows)] - scores[champion_row])]


def _family(contest: Contest, metric: str, rows: Sequence[int], champion_row: int) -> list[float]:
    """The unadjusted p-values that are corrected together: those of the rows, then those of stopped challengers."""
    return [*_unadjusted(contest, metric, rows, champion_row), *contest.stopped_p_values.get(metric, ())]


def counted_with(contest: Contest, subcontest: MetricContest, rival: Contender | None) -> Counted:
    """The challengers that count in the correction of the rival's p-value."""
    if subcontest.champion_row is None or contest.scarce is not None:
        return Counted((), 1.0)
    tested = [row for row, contender in enumerate(subcontest.contenders) if contender.p_value is not None]
    if rival is None or not rival.copy_of:
        tested = [row for row in tested if not subcontest.contenders[row].copy_of]
    p_values = _family(contest, subcontest.metric, tested, subcontest.champion_row)
    return counted_challengers(contest.ruleset, p_values)


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
    if not is_able(ruleset, champion):
        return None
    rivals = [row for row in range(count) if row != champion_row]
    levels = _levels(contest, subcontest, rivals, champion_row, ruleset.alpha)
    leads = contest.lead_test.least_leads(subcontest.scores[rivals] - subcontest.scores[champion_row], levels)
    means = [champion.mean or 0.0] * count
    for row, lead in zip(rivals, leads.tolist(), strict=True):
        means[row] += lead
    return means


def _levels(
    contest: Contest, subcontest: MetricContest, rivals: Sequence[int], champion_row: int, alpha: float
) -> list[float]:
    """The unadjusted p-value that each rival needs against the champion."""
    if contest.scarce is not None:
        return [0.0] * len(rivals)
    levels: dict[int, float] = {}
    able = [row for row in rivals if subcontest.contenders[row].p_value is not None]
    for (tested, _), (_, decided) in zip(_families(contest, able), _families(contest, rivals), strict=True):
        p_values = _family(contest, subcontest.metric, tested, champion_row)
        own = dict(zip(tested, needed_levels(contest.ruleset, p_values, alpha), strict=False))
        # With the needed mean, an entry that is not tested now would be tested too, as one more.
        joining = joining_level(contest.ruleset, p_values, alpha)
        levels |= {row: own.get(row, joining) for row in decided}
    return [levels[row] for row in rivals]


def _sure_over_unprocessed(contest: Contest, subcontest: MetricContest) -> list[float] | None:
    """The mean with which each entry would beat the unprocessed input here; None if the rules do not require it."""
    ruleset, count = contest.ruleset, len(subcontest.contenders)
    has_stand_in = ruleset.stand_in_of(subcontest.metric) is not None
    if not ruleset.must_beat_unprocessed or contest.baseline is None or has_stand_in or not count:
        return None
    leads = np.zeros(count)
    if ruleset.alpha is not None:
        differences = subcontest.scores[:count] - subcontest.scores[-1]
        leads = contest.gain_test.least_leads(differences, [ruleset.alpha] * count)
    mean = math.fsum(subcontest.scores[-1]) / subcontest.scores.shape[1]
    return [mean + lead for lead in leads.tolist()]
