"""The recorded results of all models, in place of running them, and the checks that they are complete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from soundsright.core.audio import digest_of_digests
from soundsright.core.competition import Competition
from soundsright.core.groups import ClipGroups
from soundsright.core.results import ClipResult, Evaluation
from soundsright.core.schedule import seed_of_round
from soundsright.core.stopping import Stopping, Stops
from soundsright.core.submission import FetchedModel, Submission
from soundsright.core.text_files import shortened
from soundsright.services.rounds import steps
from soundsright.services.rounds.clipset import ClipSet
from soundsright.services.rounds.context import RoundContext
from soundsright.services.rounds.hiding import HiddenClip
from soundsright.services.rounds.recorded_round import RecordedRound, RecordedSet, ShownSet
from soundsright.services.rounds.run_models import (
    EvaluatedEntries,
    StagedEntries,
    evaluated_of,
    set_aside_before,
    unprocessed_of,
)
from soundsright.services.rounds.stages import Stages

LONGEST_CLIP_S = 60.0
"""Stands for the length of a recorded clip, from which the time limits of workers follow."""
_HIDDEN = HiddenClip("", "", "", ())
"""Stands for a clip that was withheld. A replay needs to know that, and nothing else of it."""
ABSENT = "nothing"
"""The value of a field that one side does not have."""


@dataclass(frozen=True)
class Difference:
    """The first place where a replay and the record differ: both values, as JSON has them.

    `competition` is empty for what belongs to the whole round. `field` is the path in the step, such as
    `shares.HOTKEY`.
    """

    competition: str
    step: str
    field: str
    recorded: Any
    replayed: Any

    @property
    def sentence(self) -> str:
        """The difference in a sentence."""
        where = f"{self.competition}: " if self.competition else ""
        place = f"{self.step}, {self.field}" if self.field else self.step
        recorded, again = shortened(self.recorded), shortened(self.replayed)
        return f"{where}{place}: the bundle has {recorded}, and the replay {again}."


class RecordDiffers(Exception):
    """The record contradicts itself, so the round cannot be decided again."""

    def __init__(self, difference: Difference) -> None:
        super().__init__(difference.sentence)
        self.difference = difference


class RecordedResults:
    """Gives the evaluations of a recorded round, as `evaluate_all` gives those of a round that runs.

    The looks at a part of the set are done again, with the same code.
    """

    def __init__(self, record: RecordedRound) -> None:
        self._record = record

    def __call__(
        self,
        context: RoundContext,
        models: Sequence[FetchedModel],
        block_hash: str,
        *,
        whole: Mapping[str, str] | None = None,
    ) -> EvaluatedEntries:
        refused = set_aside_before(context, models)
        sets: dict[str, ClipSet] = {}
        evaluations: dict[str, Evaluation] = {}
        unprocessed: dict[str, Evaluation] = {}
        stops: dict[str, Stops] = {}
        for c in context.plan.rules.competitions:
            recorded = self._recorded_set(c)
            own = [m.submission for m in models if m.submission.competition.id == c.id]
            running = [entry for entry in own if entry.entry_id not in refused]
            clips = self._clip_set(context, c, recorded, block_hash)
            sets[c.id] = clips
            unprocessed[c.id] = unprocessed_of(context, c, _in_order(c, recorded.unprocessed, clips))
            if c.stopping is Stopping.SEQUENTIAL and clips.named_groups is None and recorded.stops is not None:
                ran = {entry.entry_id: tuple(recorded.results.get(entry.hotkey, {})) for entry in running}
                stops[c.id] = recorded.stops
            else:
                stages = Stages(context, clips, running, entered=len(own), whole=(whole or {}).get(c.id, ""))
                ran = _through_all_looks(context, stages, recorded, unprocessed[c.id])
                if stages.stops is not None:
                    stops[c.id] = stages.stops
            for entry in running:
                evaluations[entry.entry_id] = _evaluation(context, entry, recorded, ran[entry.entry_id])
            _check_no_other_result(c, recorded, {entry.hotkey: ran[entry.entry_id] for entry in running})
        return evaluated_of(context, models, StagedEntries(sets, evaluations, unprocessed, refused, stops))

    def _recorded_set(self, competition: Competition) -> RecordedSet:
        recorded = self._record.sets.get(competition.id)
        if recorded is None:
            raise RecordDiffers(Difference(competition.id, "set", "", ABSENT, "a set with scores"))
        return recorded

    def _clip_set(
        self, context: RoundContext, competition: Competition, recorded: RecordedSet, block_hash: str
    ) -> ShownSet:
        """The set: its seed must follow from the block, its digest from its clips, its groups from the recipes."""
        step = steps.RoundSteps(self._record.round_id, self._record.steps).get(steps.set_of(competition.id))
        seed, digest = seed_of_round(block_hash, competition.id), digest_of_digests(dict(recorded.digests))
        if step is None:
            raise RecordDiffers(Difference(competition.id, "set", "", ABSENT, f"the set of seed {seed}"))
        for name, before, now in (("seed", step.seed, seed), ("digest", step.digest, digest)):
            if before != now:
                raise RecordDiffers(Difference(competition.id, "set", name, before, now))
        recipes = {clip_id: dict(recorded.recipes.get(clip_id, {})) for clip_id in sorted(recorded.digests)}
        clips = ShownSet(
            competition,
            seed,
            context.audio_folder / "sets" / competition.id,
            dict(recorded.digests),
            recipes,
            dict.fromkeys(recipes, LONGEST_CLIP_S),
            dict.fromkeys(sorted(recorded.hidden), _HIDDEN),
            numbers=recorded.groups,
            read=context.read,
        )
        named = clips.named_groups
        if named is not None and (recorded.groups is None or not _same(named.numbered(), recorded.groups)):
            sides = ("as scores.jsonl has them", "as the recipes have them")
            raise RecordDiffers(Difference(competition.id, "set", "groups", *sides))
        return clips


def _same(groups: ClipGroups, others: ClipGroups) -> bool:
    """Whether each clip has the same group by factor, in any order of clips and factors."""

    def by_clip(each: ClipGroups) -> dict[str, dict[str, str]]:
        rows = enumerate(each.clip_ids)
        return {clip_id: {factor: labels[row] for factor, labels in each.factors.items()} for row, clip_id in rows}

    return by_clip(groups) == by_clip(others)


def _through_all_looks(
    context: RoundContext, stages: Stages, recorded: RecordedSet, unprocessed: Evaluation
) -> dict[str, tuple[str, ...]]:
    """The clips that each entry ran, by entry id."""
    ran: dict[str, tuple[str, ...]] = {}
    evaluations: dict[str, Evaluation] = {}
    going = True
    while going:
        clips = tuple(clip_id for part in stages.parts for clip_id in part)
        for entry in stages.running:
            ran[entry.entry_id] = clips
            evaluations[entry.entry_id] = _evaluation(context, entry, recorded, clips)
        going = stages.advance({}, evaluations, unprocessed)
    return ran


def _evaluation(
    context: RoundContext, entry: Submission, recorded: RecordedSet, clip_ids: Sequence[str]
) -> Evaluation:
    """The recorded results of an entry on these clips."""
    own = recorded.results.get(entry.hotkey, {})
    in_order = sorted(clip_ids)
    missing = next((clip_id for clip_id in in_order if clip_id not in own), None)
    if missing is not None:
        raise RecordDiffers(
            Difference(entry.competition.id, "scores", f"{entry.hotkey}.{missing}", ABSENT, "a result")
        )
    return Evaluation(entry, context.round_id, tuple(own[clip_id] for clip_id in in_order))


def _in_order(
    competition: Competition, results: Mapping[str, ClipResult], clips: ClipSet
) -> tuple[ClipResult, ...]:
    """One result of the unprocessed input for each clip of the set, in the order of their ids."""
    wrong = sorted(set(results).symmetric_difference(clips.clip_ids))
    if wrong:
        sides = ("a result", ABSENT) if wrong[0] in results else (ABSENT, "a result")
        raise RecordDiffers(Difference(competition.id, "scores", f"unprocessed.{wrong[0]}", *sides))
    return tuple(results[clip_id] for clip_id in clips.clip_ids)


def _check_no_other_result(
    competition: Competition, recorded: RecordedSet, ran: Mapping[str, Sequence[str]]
) -> None:
    """Check that the record has no result that the round did not use."""
    for hotkey in sorted(recorded.results):
        extra = sorted(set(recorded.results[hotkey]) - set(ran.get(hotkey, ())))
        if extra:
            raise RecordDiffers(Difference(competition.id, "scores", f"{hotkey}.{extra[0]}", "a result", ABSENT))
