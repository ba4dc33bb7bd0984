"""A round that a test ran, as its bundle records it."""

from __future__ import annotations

import json
from typing import Any

from soundsright.core.groups import ClipGroups
from soundsright.core.results import ClipResult, Evaluation
from soundsright.services.rounds import RecordedRound, RecordedSet, RoundOutcome, plan_document


def recorded_round(outcome: RoundOutcome, state: Any) -> RecordedRound:
    """The record of a round that ended, from its outcome and its state. Everything passes through JSON."""
    round_id = outcome.plan.round.id
    document = json.loads(json.dumps(plan_document(state, round_id, state.round_facts(round_id))))
    return RecordedRound(
        round_id,
        document["plan"],
        state.steps(round_id),
        {competition: recorded_set(outcome, competition) for competition in outcome.sets},
        document["titles"],
        document["history"],
    )


def recorded_set(outcome: RoundOutcome, competition: str) -> RecordedSet:
    clips = outcome.sets[competition]
    return RecordedSet(
        dict(clips.digests),
        json.loads(json.dumps(clips.recipes)),
        None if clips.groups is None else ClipGroups(clips.groups.clip_ids, dict(clips.groups.factors)),
        _results(outcome.unprocessed[competition]),
        {
            each.submission.hotkey: _results(each)
            for each in (*outcome.evaluations[competition], *outcome.copied[competition])
        },
    )


def _results(evaluation: Evaluation) -> dict[str, ClipResult]:
    return {clip.clip_id: ClipResult(clip.clip_id, clip.scores, clip.failure) for clip in evaluation.clips}
