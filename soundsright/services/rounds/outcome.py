"""The outcome of a round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from soundsright.copies import Duplicate
from soundsright.core.errors import EntryRefused
from soundsright.core.results import Evaluation, Leaderboard, Refusal, Weights
from soundsright.core.submission import FetchedModel, Submission
from soundsright.ranking import Flag
from soundsright.services.rounds.clipset import ClipSet
from soundsright.services.rounds.plan import RoundPlan
from soundsright.services.rounds.step_records import CorpusStep


@dataclass(frozen=True)
class RoundOutcome:
    """Everything that a round produced.

    `sets`, `evaluations` and `unprocessed` are by competition id, `flags` by entry id, `busy_s` by stage.
    `weights_block` is the block in which the weights were set, or None. `corpus` says whether prizes are paid.
    `copied` are the evaluations of the near copies that were refused, by competition id.
    `unread` has the files that could not be compared with those of other entries, by entry id.
    """

    plan: RoundPlan
    block_hash: str
    sets: Mapping[str, ClipSet]
    evaluations: Mapping[str, tuple[Evaluation, ...]]
    unprocessed: Mapping[str, Evaluation]
    leaderboards: tuple[Leaderboard, ...]
    refusals: tuple[Refusal, ...]
    fetched: tuple[FetchedModel, ...]
    suspected: tuple[Duplicate, ...]
    flags: Mapping[str, tuple[Flag, ...]]
    weights: Weights
    weights_block: int | None
    busy_s: Mapping[str, float]
    corpus: CorpusStep | None = None
    unread: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    copied: Mapping[str, tuple[Evaluation, ...]] = field(default_factory=dict)


def scores_of(evaluation: Evaluation, clip_ids: Sequence[str]) -> dict[str, list[float]]:
    """The scores of these clips by metric, in their order. Every clip must have scores."""
    by_id = {clip.clip_id: clip.scores or {} for clip in evaluation.clips}
    return {name: [by_id[i][name] for i in clip_ids] for name in by_id[clip_ids[0]]}


def refusal_of(submission: Submission, refused: EntryRefused) -> Refusal:
    """The refusal of a submission, for the leaderboard and the miner."""
    return Refusal(
        hotkey=submission.hotkey,
        uid=submission.uid,
        label=submission.source.repository,
        competition_id=submission.competition.id,
        code=refused.code,
        sentence=refused.sentence,
        evidence=refused.evidence,
    )
