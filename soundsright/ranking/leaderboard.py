"""One competition's leaderboard: who takes each metric, what everybody is paid, and the evidence.

Scores are in the metric's unit, higher is better; shares are percent of a round's emission; ages in blocks. Nothing
here draws a random number or reads a clock: the same evaluations give the same leaderboard on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from soundsright.core.competition import Competition
from soundsright.core.results import Decision, Estimate, Evaluation, Leaderboard, Refusal, Standing
from soundsright.core.rulesets import Ruleset
from soundsright.core.sources import source_of
from soundsright.core.submission import Submission
from soundsright.ranking.awards import Award, Contender, Title, award
from soundsright.ranking.needed import holm_levels, least_mean_difference, mean_to_win, needed_means
from soundsright.ranking.reasons import reason_of
from soundsright.ranking.scores import (
    Scores,
    ScoreTable,
    score_table,
    superiority_p_values,
    superiority_test,
)
from soundsright.ranking.statistics import holm, mean_estimate


@dataclass(frozen=True)
class Champion:
    """Who holds a metric's title: the entry, its mean when last ranked, and the block of the round that gave it."""

    submission: Submission
    mean: float
    since_block: int

    def facts(self) -> dict[str, Any]:
        """As plain values, for a row of the state."""
        entry = self.submission
        return {
            "uid": entry.uid,
            "hotkey": entry.hotkey,
            "block": entry.block,
            "model": entry.source.facts(),
            "mean": self.mean,
            "since_block": self.since_block,
        }

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any], competition: Competition) -> Champion:
        """What `facts` left."""
        source = source_of(facts["model"])
        entry = Submission(facts["uid"], facts["hotkey"], competition, source, facts["block"])
        return cls(entry, facts["mean"], facts["since_block"])


def decide(
    competition: Competition,
    round_id: str,
    evaluations: Sequence[Evaluation],
    champions: Mapping[str, Champion],
    ruleset: Ruleset,
    baseline: Evaluation | None,
    *,
    floors: Mapping[str, float],
    at_block: int,
    copies: Mapping[str, int] | None = None,
    refusals: Sequence[Refusal] = (),
) -> Leaderboard:
    """Apply a ruleset to a round's evaluations.

    `champions` are by metric, and only those whose hotkey is still registered; a champion defends with today's
    evaluation, which must be among `evaluations`. `baseline` is the evaluation of the unprocessed input over the
    same clips; without it nothing must beat the unprocessed input, and gains are counted from the metric's floor.
    `floors` are what a failed clip scores. `at_block` is the round's block, `copies` the number of entries by
    hotkey that were found to copy it.

    Raises:
        ValueError: if the evaluations differ in their clips, a hotkey appears twice, or a floor is missing.
    """
    entries = [e for e in evaluations if baseline is None or e.submission != baseline.submission]
    hotkeys = [evaluation.submission.hotkey for evaluation in entries]
    if len(set(hotkeys)) != len(hotkeys):
        raise ValueError(f"{competition.id}: a hotkey has more than one evaluation")
    metrics = tuple(competition.metric_weights)
    stand_ins = {
        gate.by
        for gate in ruleset.gates
        if gate.metric in metrics and gate.by in floors and _measured(baseline, gate.by)
    }
    rows = [*entries, baseline] if baseline is not None else entries
    table = score_table(rows, (*metrics, *sorted(stand_ins.difference(metrics))), floors)
    context = _Context(competition, tuple(entries), baseline, table, ruleset, floors, at_block, copies or {})
    results = [_metric_result(context, metric, champions.get(metric)) for metric in metrics]
    return Leaderboard(
        competition=competition,
        round_id=round_id,
        standings=_sorted_standings(competition, results),
        decisions=tuple(result.decision for result in results),
        refusals=tuple(refusals),
        unprocessed=tuple(r.unprocessed for r in results if r.unprocessed is not None),
    )


def champions_after(
    leaderboard: Leaderboard, champions: Mapping[str, Champion], *, at_block: int
) -> dict[str, Champion]:
    """Who holds each title after the round. A champion that could not take part keeps a title that nobody took.

    A title keeps its age as long as it stays with one hotkey, whatever models that enters: none of them is compared
    with the one before, so that none has shown a clear improvement.
    """
    means = {(s.submission.hotkey, s.metric): s.estimate.mean for s in leaderboard.standings}
    after: dict[str, Champion] = {}
    for decision in leaderboard.decisions:
        before = champions.get(decision.metric)
        if decision.winner is None:
            if before is not None and not decision.evidence["champion_took_part"]:
                after[decision.metric] = before
            continue
        hotkey = decision.winner.hotkey
        held = before is not None and before.submission.hotkey == hotkey
        since_block = before.since_block if before is not None and held else at_block
        after[decision.metric] = Champion(decision.winner, means[hotkey, decision.metric], since_block)
    return after


@dataclass(frozen=True)
class _Context:
    competition: Competition
    entries: tuple[Evaluation, ...]
    baseline: Evaluation | None
    table: ScoreTable
    ruleset: Ruleset
    floors: Mapping[str, float]
    at_block: int
    copies: Mapping[str, int]


@dataclass(frozen=True)
class _MetricResult:
    decision: Decision
    standings: tuple[Standing, ...]
    unprocessed: Standing | None


def _metric_result(context: _Context, metric: str, champion: Champion | None) -> _MetricResult:
    competition, ruleset = context.competition, context.ruleset
    count = len(context.entries)
    scores = context.table.by_metric[metric]
    estimates = [mean_estimate(row.tolist()) for row in scores]
    means = [estimate.mean for estimate in estimates]
    champion_row = _champion_row(context, champion)
    contenders = _contenders(context, metric, means[:count], champion_row)
    title = _title(context, champion, champion_row, means)
    weight = competition.metric_weights[metric]
    result = award(
        ruleset,
        metric,
        contenders,
        title,
        prize=competition.max_score * weight,
        remainder=competition.remainder * weight,
        at_block=context.at_block,
    )
    needed = _needed(context, metric, contenders, title, result, champion_row)
    rank = {row: place for place, row in enumerate(_by_mean(contenders), start=1)}
    standings = tuple(
        Standing(
            evaluation.submission,
            metric,
            estimates[row],
            result.shares.get(evaluation.submission.hotkey, 0.0),
            rank=rank[row],
            needed=needed[row],
            reason=reason_of(ruleset, metric, contenders[row], result, needed[row], failed=evaluation.failed),
        )
        for row, evaluation in enumerate(context.entries)
    )
    winner = next((e.submission for e in context.entries if e.submission.hotkey == result.winner), None)
    if winner is None and result.winner is not None and champion is not None:
        winner = champion.submission  # Paid without an entry, as the published rules have it.
        estimate = Estimate(champion.mean, champion.mean, champion.mean, 0)
        standings = (Standing(winner, metric, estimate, result.shares[winner.hotkey], 1, None, result.sentence),)
    decision = Decision(
        metric, winner, result.sentence, _evidence(context, metric, result, contenders, title, champion_row, means)
    )
    unprocessed = None
    if context.baseline is not None:
        unprocessed = Standing(context.baseline.submission, metric, estimates[-1], 0.0)
    return _MetricResult(decision, standings, unprocessed)


def _measured(evaluation: Evaluation | None, metric: str) -> bool:
    return evaluation is not None and any(metric in (clip.scores or {}) for clip in evaluation.clips)


def _champion_row(context: _Context, champion: Champion | None) -> int | None:
    """The champion's row among today's entries, or None where it does not defend."""
    if champion is None:
        return None
    for row, evaluation in enumerate(context.entries):
        entry = evaluation.submission
        if entry.hotkey == champion.submission.hotkey:
            same = entry.source == champion.submission.source
            return row if same or context.ruleset.champion_keeps_title_with_new_model else None
    return None


def _contenders(
    context: _Context, metric: str, means: Sequence[float], champion_row: int | None
) -> list[Contender]:
    """Every entry as the rules see it, with its gain and its tests; one per row."""
    ruleset, count = context.ruleset, len(context.entries)
    gate = ruleset.gate_of(metric)
    gains = [mean - context.floors[metric] for mean in means]
    beats = [True] * count
    alone: list[float | None] = [None] * count
    if context.baseline is not None and count:
        by = gate.by if gate is not None and gate.by in context.table.by_metric else metric
        scores = context.table.by_metric[by]
        differences = scores[:count] - scores[-1]
        gains = [math.fsum(row) / len(row) for row in differences.tolist()]
        least = gate.fraction * max(gains) if gate is not None and by != metric else 0.0
        beats = [gain > 0 and gain >= least for gain in gains]
        if ruleset.alpha is not None:
            # Not adjusted over the entries: this is no contest, and how many enter must not decide who is paid.
            tested = superiority_p_values(differences).tolist()
            beats = [beat and p_value <= ruleset.alpha for beat, p_value in zip(beats, tested, strict=True)]
            alone = [float(p_value) for p_value in tested]
    p_values: list[float | None] = [None] * count
    if champion_row is not None and ruleset.alpha is not None:
        scores = context.table.by_metric[metric][:count]
        rivals = [row for row in range(count) if row != champion_row]
        for row, p_value in zip(rivals, _adjusted_p_values(scores[rivals] - scores[champion_row]), strict=True):
            p_values[row] = p_value
    return [
        Contender(
            hotkey=evaluation.submission.hotkey,
            uid=evaluation.submission.uid,
            block=evaluation.submission.block,
            mean=means[row],
            gain=gains[row],
            beats_unprocessed=beats[row],
            p_value=p_values[row],
            unprocessed_p_value=alone[row],
        )
        for row, evaluation in enumerate(context.entries)
    ]


def _needed(
    context: _Context,
    metric: str,
    contenders: Sequence[Contender],
    title: Title | None,
    result: Award,
    champion_row: int | None,
) -> list[float | None]:
    """What each entry's mean would have had to be."""
    ruleset, count = context.ruleset, len(contenders)
    scores = context.table.by_metric[metric]
    over_champion: list[float] | None = None
    defends = champion_row is not None and (
        contenders[champion_row].beats_unprocessed or not ruleset.must_beat_unprocessed
    )
    if ruleset.alpha is not None and champion_row is not None and defends and count > 1:
        rivals = [row for row in range(count) if row != champion_row]
        levels = holm_levels([contenders[row].p_value for row in rivals], ruleset.alpha)
        leads = least_mean_difference(scores[rivals] - scores[champion_row], levels)
        over_champion = [contenders[champion_row].mean or 0.0] * count
        for row, lead in zip(rivals, leads.tolist(), strict=True):
            over_champion[row] += lead
    over_unprocessed: list[float] | None = None
    if ruleset.must_beat_unprocessed and context.baseline is not None and ruleset.gate_of(metric) is None and count:
        differences = scores[:count] - scores[-1]
        leads = (
            least_mean_difference(differences, [ruleset.alpha] * count)
            if ruleset.alpha is not None
            else np.zeros(count)
        )
        mean = math.fsum(scores[-1]) / scores.shape[1]
        over_unprocessed = [mean + lead for lead in leads.tolist()]
    return needed_means(
        ruleset,
        metric,
        contenders,
        title,
        result,
        over_champion=over_champion,
        over_unprocessed=over_unprocessed,
        at_block=context.at_block,
    )


def _adjusted_p_values(differences: Scores) -> list[float]:
    """One-sided p-values of each row, adjusted over the rows."""
    named = {str(row): float(p) for row, p in enumerate(superiority_p_values(differences))}
    return list(holm(named).values())


def _title(
    context: _Context, champion: Champion | None, champion_row: int | None, means: Sequence[float]
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
        copies=context.copies.get(hotkey, 0),
    )


def _by_mean(contenders: Sequence[Contender]) -> list[int]:
    def key(row: int) -> tuple[float, int, int]:
        contender = contenders[row]
        return -(contender.mean if contender.mean is not None else -math.inf), contender.block, contender.uid

    return sorted(range(len(contenders)), key=key)


def _evidence(
    context: _Context,
    metric: str,
    result: Award,
    contenders: Sequence[Contender],
    title: Title | None,
    champion_row: int | None,
    means: Sequence[float],
) -> dict[str, float | str | bool]:
    """What the decision rests on, by name."""
    evidence: dict[str, float | str | bool] = {
        "ruleset": context.ruleset.name,
        "ruleset_digest": context.ruleset.digest,
        "clips": float(len(context.table.clip_ids)),
        "entries": float(len(contenders)),
        "dethroned": result.dethroned,
        "emission_fraction": result.emission_fraction,
        "champion_took_part": champion_row is not None,
    }
    noisy = means[-1] if context.baseline is not None else None
    if noisy is not None:
        evidence["unprocessed_mean"] = noisy
    at_block = context.at_block
    to_win = mean_to_win(
        context.ruleset, metric, contenders, title, result, unprocessed_mean=noisy, at_block=at_block
    )
    if to_win is not None:
        evidence["mean_to_win"] = to_win
    if title is not None:
        evidence |= {
            "champion": title.hotkey,
            "champion_mean": title.mean,
            "champion_block": float(title.block),
            "champion_since_block": float(title.since_block),
            "champion_copies": float(title.copies),
        }
    rows = {contender.hotkey: row for row, contender in enumerate(contenders)}
    if context.ruleset.alpha is not None and context.table.clip_ids:
        evidence["test"] = superiority_test(len(context.table.clip_ids))
    # The winner's, or where nobody wins the surest of all.
    compared = [contenders[rows[result.winner]]] if result.winner in rows else contenders
    if p_values := [c.unprocessed_p_value for c in compared if c.unprocessed_p_value is not None]:
        evidence["p_value_unprocessed"] = min(p_values)
    rival = result.winner if result.dethroned else result.challenger
    if rival is None:
        return evidence
    row = rows[rival]
    evidence |= {"challenger": rival, "challenger_mean": means[row]}
    if rival in result.needed:
        evidence["needed"] = result.needed[rival]
    if champion_row is not None:
        scores = context.table.by_metric[metric]
        difference = mean_estimate((scores[row] - scores[champion_row]).tolist())
        evidence |= {
            "difference": difference.mean,
            "difference_low": difference.low,
            "difference_high": difference.high,
        }
        p_value = contenders[row].p_value
        if p_value is not None:
            evidence["p_value_holm"] = p_value
    return evidence


def _sorted_standings(competition: Competition, results: Sequence[_MetricResult]) -> tuple[Standing, ...]:
    """Entry by entry: the largest total share first, then the better weighted rank, then the older entry."""
    by_hotkey: dict[str, list[Standing]] = {}
    for result in results:
        for standing in result.standings:
            by_hotkey.setdefault(standing.submission.hotkey, []).append(standing)

    def key(hotkey: str) -> tuple[float, float, int, int]:
        own = by_hotkey[hotkey]
        weighted_rank = sum(competition.metric_weights[s.metric] * s.rank for s in own)
        return -sum(s.share for s in own), weighted_rank, own[0].submission.block, own[0].submission.uid

    return tuple(standing for hotkey in sorted(by_hotkey, key=key) for standing in by_hotkey[hotkey])
