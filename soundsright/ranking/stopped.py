"""Entries that stopped before the end of a set: their place beside those that ran on.

Scores are in the metric's unit, higher is better. A stopped entry cannot win. Its gain over the unprocessed input,
and its tests, are those over the clips that it ran, paired with the other entries on the same clips. Its rank
follows from that gain added to the mean of the unprocessed input over the clips of the others, because the clips
that it did not run may be harder or easier.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from soundsright.core.results import Evaluation, Standing
from soundsright.core.rulesets import Ruleset
from soundsright.core.stopping import EARLY_PART, EarlyStop, Stops
from soundsright.ranking.awards import Award, Contender
from soundsright.ranking.champions import Champion
from soundsright.ranking.contest import Contest, MetricContest, metric_contest
from soundsright.ranking.cut import cut
from soundsright.ranking.leads import estimate
from soundsright.ranking.sentences import stopped_sentence


def final_ruleset(ruleset: Ruleset) -> Ruleset:
    """The rules of the last test of a round that may stop early: its `alpha` is what the looks have left.

    Raises:
        ValueError: the ruleset has no test.
    """
    if ruleset.alpha is None:
        raise ValueError(f"{ruleset.name} has no test")
    return replace(ruleset, alpha=round(ruleset.alpha * (1.0 - EARLY_PART), 12))


@dataclass(frozen=True)
class Field:
    """The entries of a contest: those that decide it, all on the same clips, and those that stopped before."""

    deciding: tuple[Evaluation, ...]
    stopped: tuple[Evaluation, ...]
    baseline: Evaluation | None
    stops: Stops | None


def field_of(entries: Sequence[Evaluation], baseline: Evaluation | None, stops: Stops | None) -> Field:
    """The entries by whether they stopped.

    A stop counts only while the entry that ruled the others out is ranked itself. If it is not, because it was
    refused or set apart after it ran, all entries decide, on the clips that all of them ran.
    """
    if stops is None:
        return Field(tuple(entries), (), baseline, None)
    hotkeys = {evaluation.submission.hotkey for evaluation in entries}
    present = tuple(stop for stop in stops.stopped if stop.hotkey in hotkeys)
    leaders = {each.by for stop in present for each in stop.ruled_out.values()}
    gone = min(leaders - hotkeys, default="")
    stopped = set() if gone else {stop.hotkey for stop in present}
    deciding = [evaluation for evaluation in entries if evaluation.submission.hotkey not in stopped]
    common = _common_clips([*deciding, *([] if baseline is None else [baseline])])
    if gone:
        fewest = min(stop.witnesses for stop in present)
        stops = replace(stops, stopped=(), without=gone, clips=len(common), witnesses=fewest)
    return Field(
        tuple(cut(evaluation, common) for evaluation in deciding),
        tuple(evaluation for evaluation in entries if evaluation.submission.hotkey in stopped),
        None if baseline is None else cut(baseline, common),
        stops,
    )


def _common_clips(evaluations: Sequence[Evaluation]) -> frozenset[str]:
    clips = [frozenset(clip.clip_id for clip in evaluation.clips) for evaluation in evaluations]
    return frozenset.intersection(*clips) if clips else frozenset()


@dataclass(frozen=True)
class StoppedEntry:
    """A stopped entry, and the contest over the clips that it ran, in which it has the row `row`."""

    evaluation: Evaluation
    stop: EarlyStop
    contest: Contest
    row: int


def stopped_entries(
    own: Field,
    full_baseline: Evaluation | None,
    contest_over: Callable[[Sequence[Evaluation], Evaluation | None], Contest],
) -> tuple[StoppedEntry, ...]:
    """The stopped entries of a field, each with the contest of all entries that ran at least as many clips.

    `full_baseline` is the unprocessed input on all clips, and `contest_over` makes a contest of some entries.
    """
    found: list[StoppedEntry] = []
    by_clips: dict[int, list[Evaluation]] = {}
    for evaluation in own.stopped:
        by_clips.setdefault(len(evaluation.clips), []).append(evaluation)
    for clips, group in by_clips.items():
        common = frozenset(clip.clip_id for clip in group[0].clips)
        longer = [each for each in (*own.deciding, *own.stopped) if len(each.clips) > clips]
        rows = [*group, *(cut(each, common) for each in longer)]
        contest = contest_over(rows, None if full_baseline is None else cut(full_baseline, common))
        for row, evaluation in enumerate(group):
            assert own.stops is not None
            stop = own.stops.of(evaluation.submission.hotkey)
            assert stop is not None
            found.append(StoppedEntry(evaluation, stop, contest, row))
    return tuple(found)


def stopped_p_values(
    entries: Sequence[StoppedEntry], metrics: Iterable[str], champions: Mapping[str, Champion]
) -> dict[str, tuple[float, ...]]:
    """By metric, the p-value of each stopped entry's lead over the champion, over the clips that it ran.

    They count in the correction of the others' p-values. Otherwise a stop would make a title cheaper for those that
    run on, and a winner could owe the title to the stops. Suspected copies, and under most rules entries that do
    not beat the unprocessed input, do not count there, stopped or not.
    """
    found: dict[str, tuple[float, ...]] = {}
    for metric in metrics:
        p_values = []
        for each, own in _contests(entries, metric, champions.get(metric)):
            contender = own.contenders[each.row]
            if own.champion_row is None or contender.p_value is None or contender.copy_of:
                continue
            differences = own.scores[[each.row]] - own.scores[own.champion_row]
            p_values.append(float(each.contest.lead_test.p_values(differences)[0]))
        found[metric] = tuple(p_values)
    return found


def stopped_contenders(
    entries: Sequence[StoppedEntry], metric: str, champion: Champion | None, *, unprocessed_mean: float | None
) -> list[Contender]:
    """The stopped entries under a metric. `unprocessed_mean` is over the clips of the entries that decide."""
    contenders = []
    for each, own in _contests(entries, metric, champion):
        mean = own.means[each.row]
        if unprocessed_mean is not None and each.contest.baseline is not None:
            mean += unprocessed_mean - own.means[-1]
        contenders.append(replace(own.contenders[each.row], mean=mean, p_value=None, stopped=True))
    return contenders


def _contests(
    entries: Sequence[StoppedEntry], metric: str, champion: Champion | None
) -> Iterator[tuple[StoppedEntry, MetricContest]]:
    """Each entry with its contest under the metric. Entries that stopped together share it."""
    found: dict[int, MetricContest] = {}
    for each in entries:
        key = id(each.contest)
        if key not in found:
            means = [_mean(row.tolist()) for row in each.contest.table.by_metric[metric]]
            found[key] = metric_contest(each.contest, metric, champion, means)
        yield each, found[key]


def stopped_standings(
    ruleset: Ruleset,
    metric: str,
    entries: Sequence[StoppedEntry],
    contenders: Sequence[Contender],
    result: Award,
    ranks: Sequence[int],
) -> tuple[Standing, ...]:
    """The stopped entries under a metric: their means over the clips that they ran, their ranks, and why."""
    return tuple(
        Standing(
            each.evaluation.submission,
            metric,
            estimate(each.contest.table.by_metric[metric][each.row].tolist(), each.contest.labels),
            result.shares.get(contender.hotkey, 0.0),
            rank=rank,
            reason=stopped_sentence(ruleset, metric, contender, result, each.stop, failed=each.evaluation.failed),
        )
        for each, contender, rank in zip(entries, contenders, ranks, strict=True)
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def evidence_of_stops(stops: Stops | None, metric: str) -> Mapping[str, float | str | bool]:
    """The numbers that a decision's evidence has because the round could stop early; none if it could not."""
    if stops is None or stops.whole:
        return {}
    early = stops.evidence.get(metric)
    return {
        "set_clips": float(stops.set_clips),
        "stopped_entries": float(len(stops.stopped)),
        **({} if early is None else {"early_evidence": early}),
        **({"stops_without": stops.without} if stops.without else {}),
    }
