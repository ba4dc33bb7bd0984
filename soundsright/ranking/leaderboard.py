"""One competition's leaderboard: the winner of each metric's prize, every entry's share, and the evidence.

Scores are in the metric's unit, higher is better. Shares are percent of a round's emission; ages are in blocks.
Nothing here uses chance or a clock: the same evaluations give the same leaderboard on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from soundsright.core.competition import Competition
from soundsright.core.groups import ClipGroups
from soundsright.core.results import Decision, Estimate, Evaluation, Leaderboard, Refusal, Standing
from soundsright.core.rulesets import Ruleset
from soundsright.core.stopping import Stops
from soundsright.ranking.awards import Award, Contender, award
from soundsright.ranking.champions import Champion
from soundsright.ranking.contest import Contest, MetricContest, means_to_win, metric_contest
from soundsright.ranking.decision_evidence import decision_evidence
from soundsright.ranking.examined import Examined
from soundsright.ranking.leads import estimate
from soundsright.ranking.scores import ScoreTable, score_table
from soundsright.ranking.sentences import prize_sentence, share_sentence, too_few
from soundsright.ranking.stopped import (
    StoppedEntry,
    evidence_of_stops,
    field_of,
    final_ruleset,
    stopped_contenders,
    stopped_entries,
    stopped_p_values,
    stopped_standings,
)


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
    examined: Examined | None = None,
    groups: ClipGroups | None = None,
    stops: Stops | None = None,
) -> Leaderboard:
    """Apply a ruleset to a round's evaluations.

    `champions` are by metric. Give only those whose hotkey is still registered. A champion defends with its
    evaluation of today, which must be among `evaluations`. `baseline` is the evaluation of the unprocessed input on
    the same clips. Without it, no entry has to beat the unprocessed input, and gains are counted from the metric's
    floor. `floors` are the scores of a failed clip, by metric. `at_block` is the round's block. `copies` gives, by
    hotkey, the number of entries that copy its entry. `examined` has the findings beside the scores. An entry that
    it sets apart is not ranked, and changes nothing for the others. `groups` says what the clips share, such as a
    noise recording; it must have every clip. `stops` are the entries that stopped early: they cannot win, and the
    others are compared on the clips that all of them ran.

    Raises:
        ValueError: if the evaluations have different clips, a hotkey appears twice, a floor is missing, or
            `groups` lacks a clip.
    """
    examined = examined or Examined()
    not_ranked = [each.submission for each in (*examined.apart, baseline) if each is not None]
    entries = [e for e in evaluations if e.submission not in not_ranked]
    hotkeys = [evaluation.submission.hotkey for evaluation in entries]
    if len(set(hotkeys)) != len(hotkeys):
        raise ValueError(f"{competition.id}: a hotkey has more than one evaluation")
    own = field_of(entries, baseline, stops)
    looked = stops is not None and not stops.whole
    applied = final_ruleset(ruleset) if looked else ruleset

    contest_over = partial(
        contest_of,
        competition,
        ruleset=applied,
        floors=floors,
        at_block=at_block,
        copies=copies,
        examined=examined,
        groups=groups,
    )
    contest = contest_over(own.deciding, own.baseline)
    stopped = stopped_entries(own, baseline, contest_over)
    if stopped:
        p_values = stopped_p_values(stopped, competition.metric_weights, champions)
        contest = replace(contest, stopped_p_values=p_values)
    results = [
        _metric_result(contest, metric, champions.get(metric), ruleset, stopped, own.stops)
        for metric in competition.metric_weights
    ]
    return Leaderboard(
        competition=competition,
        round_id=round_id,
        standings=_sorted_standings(competition, results),
        decisions=tuple(result.decision for result in results),
        refusals=tuple(refusals),
        unprocessed=tuple(r.unprocessed for r in results if r.unprocessed is not None),
        apart=examined.apart,
        unmeasured=examined.unmeasured,
        stops=own.stops,
    )


def contest_of(
    competition: Competition,
    entries: Sequence[Evaluation],
    baseline: Evaluation | None,
    *,
    ruleset: Ruleset,
    floors: Mapping[str, float],
    at_block: int,
    copies: Mapping[str, int] | None = None,
    examined: Examined | None = None,
    groups: ClipGroups | None = None,
) -> Contest:
    """The contest of these entries. The parameters are those of `decide`.

    Raises:
        ValueError: the evaluations have different clips, a floor is missing, or `groups` lacks a clip.
    """
    table = _compared_scores(competition, entries, baseline, ruleset, floors)
    if groups is not None and (unknown := set(table.clip_ids).difference(groups.clip_ids)):
        raise ValueError(f"{competition.id}: the groups lack the clip {min(unknown)}")
    found = examined or Examined()
    return Contest(
        competition, tuple(entries), baseline, table, ruleset, floors, at_block, copies or {}, found, groups
    )


def _compared_scores(
    competition: Competition,
    entries: Sequence[Evaluation],
    baseline: Evaluation | None,
    ruleset: Ruleset,
    floors: Mapping[str, float],
) -> ScoreTable:
    """The scores in the metrics that pay, and in those on which the ruleset looks beside them."""
    metrics = tuple(competition.metric_weights)
    stand_ins = {
        stand_in.by
        for stand_in in ruleset.gates
        if stand_in.metric in metrics and stand_in.by in floors and _is_measured(baseline, stand_in.by)
    }
    protected = {name for each in ruleset.no_loss if each.metric in metrics for name in each.on}
    others = sorted((stand_ins | protected).difference(metrics))
    rows = [*entries, baseline] if baseline is not None else entries
    # On a metric that was not measured, all scores are equal, so nobody can show a gain.
    return score_table(rows, (*metrics, *others), {**dict.fromkeys(others, 0.0), **floors})


def _is_measured(evaluation: Evaluation | None, metric: str) -> bool:
    return evaluation is not None and any(metric in (clip.scores or {}) for clip in evaluation.clips)


@dataclass(frozen=True)
class _MetricResult:
    decision: Decision
    standings: tuple[Standing, ...]
    unprocessed: Standing | None


def _metric_result(
    contest: Contest,
    metric: str,
    champion: Champion | None,
    published: Ruleset,
    stopped: Sequence[StoppedEntry],
    stops: Stops | None,
) -> _MetricResult:
    competition, ruleset = contest.competition, contest.ruleset
    estimates = [estimate(row.tolist(), contest.labels) for row in contest.table.by_metric[metric]]
    subcontest = metric_contest(contest, metric, champion, [estimate.mean for estimate in estimates])
    weight = competition.metric_weights[metric]
    early = stopped_contenders(
        stopped,
        metric,
        champion,
        unprocessed_mean=estimates[-1].mean if contest.baseline is not None else None,
    )
    result = award(
        ruleset,
        metric,
        [*subcontest.contenders, *early],
        subcontest.title,
        prize=competition.max_score * weight,
        remainder=competition.remainder * weight,
        at_block=contest.at_block,
    )
    clips = contest.table.by_metric[metric].shape[1]
    sentence = prize_sentence(ruleset, metric, result, clips=clips, scarce=contest.scarce)
    if stops is not None and stops.ended_early and not stops.without:
        sentence += f" It was decided after {stops.clips} of {stops.set_clips} clips."
    ranked = _rows_by_mean([*subcontest.contenders, *early])
    ranks = {row: rank for rank, row in enumerate(ranked, start=1)}
    standings = _standings(contest, subcontest, result, estimates, ranks)
    standings += stopped_standings(
        ruleset, metric, stopped, early, result, [ranks[len(contest.entries) + row] for row in range(len(early))]
    )
    winner = next((e.submission for e in contest.entries if e.submission.hotkey == result.winner), None)
    if winner is None and result.winner is not None and champion is not None:
        winner = champion.submission  # The published rules pay a champion without an entry.
        recorded = Estimate(champion.mean, champion.mean, champion.mean, 0)
        standings = (Standing(winner, metric, recorded, result.shares[winner.hotkey], 1, None, sentence),)
    evidence = {
        **decision_evidence(contest, subcontest, result),
        "ruleset_digest": published.digest,
        **evidence_of_stops(stops, metric),
    }
    took_part = subcontest.champion_row is not None
    decision = Decision(metric, winner, result.reason, took_part, sentence, evidence, result.since_block)
    unprocessed = None
    if contest.baseline is not None:
        unprocessed = Standing(contest.baseline.submission, metric, estimates[-1], 0.0)
    return _MetricResult(decision, standings, unprocessed)


def _standings(
    contest: Contest,
    subcontest: MetricContest,
    result: Award,
    estimates: Sequence[Estimate],
    ranks: Mapping[int, int],
) -> tuple[Standing, ...]:
    """Every entry of a contest under the metric, in the order of the evaluations, with its rank among all."""
    ruleset, metric, contenders = contest.ruleset, subcontest.metric, subcontest.contenders
    needed = means_to_win(contest, subcontest, result)
    return tuple(
        Standing(
            evaluation.submission,
            metric,
            estimates[row],
            result.shares.get(evaluation.submission.hotkey, 0.0),
            rank=ranks[row],
            needed=needed[row],
            reason=share_sentence(
                ruleset,
                metric,
                contenders[row],
                result,
                needed[row],
                failed=evaluation.failed,
                without_mean=too_few(contest.lead_test, contest.scarce),
            ),
        )
        for row, evaluation in enumerate(contest.entries)
    )


def _rows_by_mean(contenders: Sequence[Contender]) -> list[int]:
    """The rows, best mean first."""

    def key(row: int) -> tuple[float, int, int]:
        contender = contenders[row]
        return -(contender.mean if contender.mean is not None else -math.inf), contender.block, contender.uid

    return sorted(range(len(contenders)), key=key)


def _sorted_standings(competition: Competition, results: Sequence[_MetricResult]) -> tuple[Standing, ...]:
    """The standings by entry: the largest total share first, then the better weighted rank, then the older."""
    by_hotkey: dict[str, list[Standing]] = {}
    for result in results:
        for standing in result.standings:
            by_hotkey.setdefault(standing.submission.hotkey, []).append(standing)

    def key(hotkey: str) -> tuple[float, float, int, int]:
        standings = by_hotkey[hotkey]
        weighted_rank = sum(competition.metric_weights[s.metric] * s.rank for s in standings)
        return (
            -sum(s.share for s in standings),
            weighted_rank,
            standings[0].submission.block,
            standings[0].submission.uid,
        )

    return tuple(standing for hotkey in sorted(by_hotkey, key=key) for standing in by_hotkey[hotkey])
