"""Build the feedback of each miner from a round that has ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from soundsright.core.results import Evaluation
from soundsright.services.records.corpus_words import WITHHELD
from soundsright.services.records.feedback import (
    DOCUMENT_SCHEMA,
    ClipFailure,
    ClipScores,
    Feedback,
    FeedbackFlag,
    FeedbackRefusal,
    OtherEntry,
    feedback_text,
)
from soundsright.services.records.outcome import shown_detail
from soundsright.services.records.results import CompetitionDoc, Results, RowDoc
from soundsright.services.rounds import ClipSet, RoundOutcome


def feedback_of(outcome: RoundOutcome, results: Results) -> dict[str, Feedback]:
    """Each miner's feedback. The keys, `uid-hotkey`, are names for files."""
    feedback: dict[str, Feedback] = {}
    refused: set[str] = set()
    for competition in results.competitions:
        shared = _shared_feedback(results, competition)
        evaluations = {e.submission.hotkey: e for e in outcome.evaluations[competition.id]}
        for row in competition.entries:
            evaluation = evaluations[str(row.hotkey)]
            clips = outcome.sets[competition.id]
            feedback[evaluation.submission.entry_id] = _entry_feedback(shared, row, evaluation, clips)
        for apart in competition.apart:
            evaluation = evaluations[str(apart.row.hotkey)]
            clips = outcome.sets[competition.id]
            feedback[evaluation.submission.entry_id] = _entry_feedback(shared, apart.row, evaluation, clips)
        for refusal in competition.refused:
            if refusal.hotkey in refused:
                continue
            refused.add(refusal.hotkey)
            has_uid = refusal.uid is not None
            feedback[f"{refusal.uid}-{refusal.hotkey[:12]}" if has_uid else f"x-{refusal.hotkey}"] = Feedback(
                **shared,
                hotkey=refusal.hotkey,
                uid=refusal.uid,
                refusal=FeedbackRefusal(
                    entry=refusal.entry,
                    hotkey=refusal.hotkey,
                    uid=refusal.uid,
                    code=refusal.code,
                    sentence=feedback_text(refusal.sentence),
                    remedy=feedback_text(refusal.remedy),
                    evidence={name: feedback_text(value) for name, value in refusal.evidence.items()},
                ),
                needed=refusal.needed,
            )
    return feedback


def _shared_feedback(results: Results, competition: CompetitionDoc) -> dict[str, Any]:
    """The fields that the feedback of every entry of a competition has."""
    rows = {row.hotkey: row for row in competition.entries}
    winners = {d.metric: rows[d.winner] for d in competition.decisions if d.winner in rows}
    return {
        "document_schema": DOCUMENT_SCHEMA,
        "round": results.round.id,
        "competition": competition.id,
        "seed": competition.seed,
        "set_digest": competition.set_digest,
        "unprocessed": competition.unprocessed.metrics,
        "best": _other_entry(competition.best) if competition.best else None,
        "winners": {name: _other_entry(row) for name, row in winners.items()},
        **({} if results.round.corpus is None else {"remarks": list(results.round.corpus.remarks)}),
        "decisions": {d.metric: feedback_text(d.sentence) for d in competition.decisions},
    }


def _own_fields(row: RowDoc) -> dict[str, Any]:
    """The fields of a row that feedback repeats."""
    return {
        "rank": row.rank,
        "entry": row.entry,
        "hotkey": row.hotkey,
        "uid": row.uid,
        "model": row.model,
        "block": row.block,
        "ranks": row.ranks,
        "share": row.share,
        "metrics": row.metrics,
        "failures": row.failures,
        "flags": [
            FeedbackFlag(code=f.code, sentence=feedback_text(f.sentence), value=f.value, limit=f.limit)
            for f in row.flags
        ],
        "timing": row.timing,
    }


def _other_entry(row: RowDoc) -> OtherEntry:
    return OtherEntry(**_own_fields(row), clips=row.clips)


def _entry_feedback(shared: Mapping[str, Any], row: RowDoc, evaluation: Evaluation, clip_set: ClipSet) -> Feedback:
    clips = [
        ClipScores(
            id=clip.clip_id,
            scores=None if clip.scores is None else dict(clip.scores),
            failure=None
            if clip.failure is None
            else ClipFailure(code=clip.failure.code, detail=feedback_text(shown_detail(clip.failure, clip_set))),
        )
        for clip in evaluation.clips
    ]
    return Feedback(
        **shared,
        **_own_fields(row),
        refusal=None,
        clips=clips,
        needed=row.needed,
        reasons={name: feedback_text(reason) for name, reason in row.reasons.items()},
        log=WITHHELD if clip_set.hidden and evaluation.log else evaluation.log,
    )
