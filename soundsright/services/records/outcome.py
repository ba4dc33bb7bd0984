"""Build the documents of a round that has ended: results.json and scores.jsonl."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

from soundsright.core.competition import Competition
from soundsright.core.entry_rules import remedy_of
from soundsright.core.errors import printable
from soundsright.core.groups import ClipGroups
from soundsright.core.results import Estimate, Evaluation, Failure, Leaderboard, Refusal
from soundsright.data import BALANCE_VERSION
from soundsright.metrics import metric
from soundsright.ranking import RankSet, mean_estimate
from soundsright.services.records.corpus_words import WITHHELD
from soundsright.services.records.ranks import MAX_RANKED, rank_sets
from soundsright.services.records.results import (
    MAX_UNREAD,
    ApartDoc,
    CompetitionDoc,
    CorpusDoc,
    CostDoc,
    DecisionDoc,
    EstimateDoc,
    FailureDoc,
    FlagDoc,
    MetricDoc,
    RecipeDoc,
    RefusalDoc,
    Results,
    RoundDoc,
    RowDoc,
    ScoreLine,
    TimingDoc,
    UnreadDoc,
)
from soundsright.services.records.stopping import deciding, stopping_field
from soundsright.services.records.versions import scoring_versions
from soundsright.services.rounds import ClipSet, RoundOutcome, steps, write_text


def results_of(outcome: RoundOutcome) -> Results:
    """The round as results.json has it. Competitions are in the plan's order."""
    plan = outcome.plan
    return Results(
        round=RoundDoc(
            id=plan.round.id,
            entries_close_block=plan.round.entries_close_block,
            seed_block=plan.round.seed_block,
            seed_block_hash=outcome.block_hash,
            ruleset=plan.rules.ruleset.name,
            ruleset_digest=plan.rules.ruleset.digest,
            clips=plan.measures.clips,
            **({} if outcome.corpus is None else {"corpus": _corpus(outcome, outcome.corpus)}),
        ),
        metrics={name: _metric(name) for name in plan.measures.metrics},
        competitions=tuple(_competition(outcome, board) for board in outcome.leaderboards),
        weights={str(uid): weight for uid, weight in outcome.weights.by_uid.items()},
        weights_block=outcome.weights_block,
        cost=CostDoc(busy_s=dict(outcome.busy_s)),
        versions=scoring_versions(),
    )


def scores_of(outcome: RoundOutcome) -> Iterator[ScoreLine]:
    """The lines of scores.jsonl: one per entry and clip. The unprocessed input comes first."""
    for competition in outcome.plan.rules.competitions:
        own = (outcome.unprocessed[competition.id], *outcome.evaluations[competition.id])
        yield from _score_lines(own, outcome.sets[competition.id])


def scores_of_copies(outcome: RoundOutcome) -> Iterator[ScoreLine]:
    """The lines of near copies that were refused. Only the bundle has them: a replay needs all results."""
    for competition_id, evaluations in outcome.copied.items():
        yield from _score_lines(evaluations, outcome.sets[competition_id])


def _score_lines(evaluations: Iterable[Evaluation], clips: ClipSet) -> Iterator[ScoreLine]:
    groups = _group_numbers(clips.groups)
    for evaluation in evaluations:
        for clip in evaluation.clips:
            failure = clip.failure
            yield ScoreLine(
                competition=clips.competition.id,
                entry=evaluation.submission.hotkey,
                model=str(evaluation.submission.source),
                id=clip.clip_id,
                scores=None if clip.scores is None else dict(clip.scores),
                failure=None if failure is None else _failure(failure, clips),
                recipe=_recipe(clips, clip.clip_id),
                **({"groups": groups[clip.clip_id]} if groups else {}),
            )


def scores_text(lines: Iterable[ScoreLine]) -> str:
    """The text of scores.jsonl."""
    rows = (line.model_dump(mode="json", exclude_unset=True) for line in lines)
    return "\n".join(json.dumps(row, sort_keys=True, allow_nan=False) for row in rows) + "\n"


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write the whole file or nothing."""
    write_text(path, json.dumps(document, indent=1, sort_keys=False, allow_nan=False) + "\n")


def _group_numbers(groups: ClipGroups | None) -> dict[str, dict[str, int]]:
    """The number of each clip's group by clip and factor; empty without groups."""
    if groups is None:
        return {}
    return {
        clip_id: {factor: int(labels[row]) for factor, labels in groups.factors.items()}
        for row, clip_id in enumerate(groups.clip_ids)
    }


def _corpus(outcome: RoundOutcome, corpus: steps.CorpusStep) -> CorpusDoc:
    return CorpusDoc(
        digest=corpus.digest,
        public=corpus.public,
        round=outcome.plan.measures.material.round_number,
        committed_block=corpus.committed_block,
        unpaid=corpus.unpaid,
        reason=corpus.reason,
        private_clips=sum(len(clips.hidden) for clips in outcome.sets.values()),
    )


def _recipe(clips: ClipSet, clip_id: str) -> RecipeDoc:
    """The recipe of a clip as it may be shown."""
    hidden = clips.hidden.get(clip_id)
    return RecipeDoc.model_validate(clips.recipes[clip_id] if hidden is None else hidden.shown)


def _failure(failure: Failure, clips: ClipSet) -> FailureDoc:
    return FailureDoc(code=failure.code, detail=shown_detail(failure, clips))


def shown_detail(failure: Failure, clips: ClipSet) -> str:
    """The detail of a failure. The model wrote parts of it, so it is withheld if the model heard private clips."""
    return WITHHELD if clips.hidden else failure.detail


def _competition(outcome: RoundOutcome, board: Leaderboard) -> CompetitionDoc:
    competition = board.competition
    clips = outcome.sets[competition.id]
    by_entry = {e.submission.entry_id: e for e in outcome.evaluations[competition.id]}
    ranked = [e for e in dict.fromkeys(s.submission.entry_id for s in board.standings) if e in by_entry]
    ranks = _rank_sets(outcome, board, deciding(board, [by_entry[entry] for entry in ranked]))
    needed = {d.metric: float(mean) for d in board.decisions if (mean := d.evidence.get("mean_to_win")) is not None}
    speech = outcome.plan.measures.material.speech_for(competition.sample_rate_hz)
    spoken: dict[str, Any] = {} if speech is None else {"speech": dict(speech.facts)}
    refusals = sorted(board.refusals, key=lambda r: (r.competition_id is None, r.uid or 0))
    return CompetitionDoc(
        id=competition.id,
        title=competition.title,
        metric_weights=dict(competition.metric_weights),
        max_score=competition.max_score,
        remainder=competition.remainder,
        seed=clips.seed,
        set_digest=clips.digest,
        noise=outcome.plan.measures.material.noise,
        balance=BALANCE_VERSION,
        values=outcome.plan.values,
        entries=tuple(
            _entry_row(
                outcome,
                board,
                by_entry[entry],
                rank,
                {m: sets[entry] for m, sets in ranks.items() if entry in sets},
            )
            for rank, entry in enumerate(ranked, 1)
        ),
        unprocessed=_row(outcome, board, outcome.unprocessed[competition.id]),
        decisions=_decisions(board),
        refused=tuple(_refusal(refusal, {"needed": needed}) for refusal in refusals),
        suspected=tuple(
            _refusal(copy.refusal(), {}) for copy in outcome.suspected if copy.duplicate.competition == competition
        ),
        **spoken,
        **_unread(outcome, competition),
        **_apart(outcome, board, by_entry),
        **stopping_field(board),
    )


def _decisions(board: Leaderboard) -> tuple[DecisionDoc, ...]:
    return tuple(
        DecisionDoc(
            metric=d.metric,
            winner=d.winner.hotkey if d.winner else None,
            sentence=d.sentence,
            evidence=dict(d.evidence),
        )
        for d in board.decisions
    )


def _unread(outcome: RoundOutcome, competition: Competition) -> dict[str, Any]:
    """The field `unread`, if a competition has entries with files that could not be compared."""
    unread = tuple(
        UnreadDoc(
            entry=entry.source.repository,
            hotkey=entry.hotkey,
            uid=entry.uid,
            files=_shortened([printable(reason) for reason in outcome.unread[entry.entry_id]]),
        )
        for entry in (model.submission for model in outcome.fetched)
        if entry.competition == competition and outcome.unread.get(entry.entry_id)
    )
    return {"unread": unread} if unread else {}


def _shortened(reasons: Sequence[str]) -> tuple[str, ...]:
    """The reasons, of which all after the first are counted if there are too many."""
    if len(reasons) <= MAX_UNREAD:
        return tuple(reasons)
    return (*reasons[: MAX_UNREAD - 1], f"and {len(reasons) - MAX_UNREAD + 1} other files")


def _apart(outcome: RoundOutcome, board: Leaderboard, by_entry: Mapping[str, Evaluation]) -> dict[str, Any]:
    """The fields `apart` and `unmeasured`, if a competition has them."""
    apart = []
    for each in board.apart:
        row = _row(outcome, board, by_entry[each.submission.entry_id])
        row = row.model_copy(update={"reasons": dict.fromkeys(board.competition.metric_weights, each.sentence)})
        apart.append(
            ApartDoc(row=row, code=each.reason.value, sentence=each.sentence, evidence=dict(each.evidence))
        )
    unmeasured = {reason.value: why for reason, why in board.unmeasured.items()}
    return {**({"apart": tuple(apart)} if apart else {}), **({"unmeasured": unmeasured} if unmeasured else {})}


def _values(evaluation: Evaluation, name: str, floor: float) -> list[float]:
    """One value per clip of the set. A failed clip gets the floor, so that failures cannot raise the mean."""
    return [floor if clip.scores is None else clip.scores[name] for clip in evaluation.clips]


def _labels(clips: ClipSet, evaluation: Evaluation) -> tuple[tuple[str, ...], ...] | None:
    """The groups of the evaluation's clips, one sequence for each factor; None if they are not known."""
    groups = clips.groups
    return None if groups is None else groups.labels([clip.clip_id for clip in evaluation.clips])


def _rank_sets(
    outcome: RoundOutcome, board: Leaderboard, evaluations: Sequence[Evaluation]
) -> dict[str, dict[str, RankSet]]:
    """The possible ranks, by metric that pays and by entry id."""
    if not 1 <= len(evaluations) <= MAX_RANKED:
        return {}
    floors = outcome.plan.measures.floors
    labels = _labels(outcome.sets[board.competition.id], evaluations[0])
    return {
        name: rank_sets(
            {e.submission.entry_id: _values(e, name, floors[name]) for e in evaluations},
            labels=labels,
            higher_is_better=metric(name).direction.value == "higher",
        )
        for name in board.competition.metric_weights
    }


def _row(
    outcome: RoundOutcome,
    board: Leaderboard,
    evaluation: Evaluation,
    rank: int | None = None,
    ranks: Mapping[str, RankSet] = MappingProxyType({}),
) -> RowDoc:
    """A row without reasons. `rank` is None for the unprocessed input, which has no miner, and without a rank."""
    submission, timing, floors = evaluation.submission, evaluation.timing, outcome.plan.measures.floors
    labels = _labels(outcome.sets[board.competition.id], evaluation)
    estimates = {m: mean_estimate(_values(evaluation, m, floors[m]), labels) for m in outcome.plan.measures.metrics}
    is_entry = evaluation is not outcome.unprocessed[board.competition.id]
    return RowDoc(
        rank=rank,
        entry=submission.source.repository if is_entry else "unprocessed input",
        hotkey=submission.hotkey if is_entry else None,
        uid=submission.uid if is_entry else None,
        model=str(submission.source) if is_entry else None,
        block=submission.block if is_entry else None,
        ranks={name: (r.best, r.worst) for name, r in ranks.items()},
        share=board.share_of(submission),
        metrics={m: _estimate(e) for m, e in estimates.items()},
        clips=len(evaluation.clips),
        failures=dict(Counter(clip.failure.code for clip in evaluation.clips if clip.failure is not None)),
        flags=tuple(FlagDoc(**asdict(flag)) for flag in outcome.flags.get(submission.entry_id, ())),
        timing=TimingDoc(**asdict(timing), real_time_factor=timing.real_time_factor),
    )


def _estimate(e: Estimate) -> EstimateDoc:
    effective = {} if e.effective_n is None else {"effective_n": e.effective_n}
    return EstimateDoc(mean=e.mean, low=e.low, high=e.high, n=e.n, **effective)


def _entry_row(
    outcome: RoundOutcome, board: Leaderboard, evaluation: Evaluation, rank: int, ranks: Mapping[str, RankSet]
) -> RowDoc:
    standings = [s for s in board.standings if s.submission == evaluation.submission]
    why = {
        "reasons": {s.metric: s.reason for s in standings},
        "needed": {s.metric: s.needed for s in standings if s.needed is not None},
    }
    return _row(outcome, board, evaluation, rank, ranks).model_copy(update=why)


def _refusal(refusal: Refusal, other_fields: Mapping[str, Any]) -> RefusalDoc:
    return RefusalDoc(
        entry=refusal.label,
        hotkey=refusal.hotkey,
        uid=refusal.uid,
        code=refusal.code,
        sentence=refusal.sentence,
        remedy=remedy_of(refusal.code),
        evidence=dict(refusal.evidence),
        **other_fields,
    )


def _metric(name: str) -> MetricDoc:
    facts = metric(name)
    return MetricDoc(
        title=facts.title,
        unit=facts.unit,
        direction=facts.direction.value,
        low=facts.low,
        high=facts.high,
        floor=facts.floor,
    )
