"""The entrants of a federation against the incumbent, and against the unprocessed input, metric by metric.

Leads and gains are weighted means of differences over tasks (see `paired_tasks`), in the metric's unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from soundsright.core.rulesets import Age, Ruleset
from soundsright.ranking.challengers import adjusted_p_values
from soundsright.ranking.failures import failure_lead, unseen_failures
from soundsright.ranking.outvoting import counting_tasks, means_over
from soundsright.ranking.paired_tasks import lead_p_values
from soundsright.ranking.verdict_table import Entrant, VerdictTable


@dataclass(frozen=True)
class AspectTest:
    """A challenger's lead over the incumbent in one metric, over the `tasks` that count.

    These are the tasks in which both were judged, without those of the validators that are left out: with three
    validators or more, the ones with which the lead is the highest and the lowest.

    `needed` is the lead that the ruleset asks for. `p_value` is that of the paired test, `adjusted_p_value` the
    same after the correction for all metrics and challengers; both are None if the ruleset has no test. `certain`
    says that the lead is large enough and no chance.
    """

    challenger: Entrant
    metric: str
    lead: float
    needed: float
    p_value: float | None
    adjusted_p_value: float | None
    tasks: int
    certain: bool


@dataclass(frozen=True)
class _Lead:
    challenger: Entrant
    metric: str
    lead: Fraction
    incumbent_mean: float
    p_value: float
    tasks: int


def compared_metrics(ruleset: Ruleset, metrics: Sequence[str]) -> tuple[str, ...]:
    """The metrics in which an answer is compared with its input: each one, or the one that stands in for it."""
    stand_ins = [ruleset.stand_in_of(metric) for metric in metrics]
    return tuple(
        metric if stand_in is None or stand_in.by not in metrics else stand_in.by
        for metric, stand_in in zip(metrics, stand_ins, strict=True)
    )


def gains_by_metric(ruleset: Ruleset, table: VerdictTable) -> list[tuple[Fraction, ...]]:
    """Each entrant's gains over the unprocessed input, in the tasks in which it was judged and that count.

    A metric that can rise without enhancement is replaced by the one that stands in for it, if the table has it.
    """
    numbers = [table.metrics.index(metric) for metric in compared_metrics(ruleset, table.metrics)]
    count = len(table.entrants)
    judged = np.tile(table.judged, (len(table.metrics), 1))
    differences = (table.scores - table.unprocessed[:, np.newaxis]).reshape(judged.shape)
    gains = means_over(table, differences, counting_tasks(table, differences, judged))
    return [tuple(gains[number * count + row] for number in numbers) for row in range(count)]


def tests_against(
    incumbent: Entrant,
    challengers: Sequence[Entrant],
    table: VerdictTable,
    ruleset: Ruleset,
    *,
    epoch_block: int,
    floors: Mapping[str, float],
    clips: int,
) -> tuple[AspectTest, ...]:
    """The tests of the challengers' leads, in the order of `challengers`.

    The correction is over all of them and all metrics; those that could not win do not count in it. The age of a
    margin counts from the incumbent's commitment, because every verdict has it. `clips` are those of a task.
    """
    leads = _leads(incumbent, challengers, table, ruleset)
    if ruleset.alpha is None:
        adjusted: Sequence[float | None] = [None] * len(leads)
    else:
        adjusted = adjusted_p_values(ruleset, [lead.p_value for lead in leads])
    tests = []
    for lead, p_value in zip(leads, adjusted, strict=True):
        until = epoch_block if ruleset.age is Age.TITLE else lead.challenger.block
        margin = ruleset.margin_over(lead.metric, lead.incumbent_mean, until - incumbent.block)
        unseen = unseen_failures(ruleset.failures_unseen, clips * lead.tasks)
        needed = max(margin, failure_lead(floors.get(lead.metric), lead.incumbent_mean, unseen))
        sure = ruleset.alpha is None or (p_value is not None and p_value <= ruleset.alpha)
        tests.append(
            AspectTest(
                challenger=lead.challenger,
                metric=lead.metric,
                lead=float(lead.lead),
                needed=needed,
                p_value=None if ruleset.alpha is None else lead.p_value,
                adjusted_p_value=p_value,
                tasks=lead.tasks,
                certain=lead.tasks > 0 and float(lead.lead) >= needed and sure,
            )
        )
    return tuple(tests)


def _leads(
    incumbent: Entrant, challengers: Sequence[Entrant], table: VerdictTable, ruleset: Ruleset
) -> list[_Lead]:
    """Every challenger's lead in every metric, with its unadjusted p-value."""
    number_of = {entrant: number for number, entrant in enumerate(table.entrants)}
    numbers = np.array([number_of[entrant] for entrant in challengers], dtype=np.intp)
    holder = number_of[incumbent]
    common = table.judged[numbers] & table.judged[holder]
    judged = np.tile(common, (len(table.metrics), 1))
    differences = (table.scores[:, numbers] - table.scores[:, holder, np.newaxis]).reshape(judged.shape)
    counted = counting_tasks(table, differences, judged)
    means = means_over(table, differences, counted)
    held = means_over(table, np.repeat(table.scores[:, holder], len(challengers), axis=0), counted)
    p_values = lead_p_values(ruleset, differences, counted, table.by).tolist()
    tasks = counted.sum(axis=1).tolist()
    return [
        _Lead(challenger, metric, means[row], float(held[row]), p_values[row], tasks[row])
        for place, challenger in enumerate(challengers)
        for number, metric in enumerate(table.metrics)
        for row in (number * len(challengers) + place,)
    ]
