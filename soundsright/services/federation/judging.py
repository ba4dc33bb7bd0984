"""Judges one task: admits the entries, runs every model on the task's sets, and makes the rows of the verdict.

The code of rounds does the work, with a seed and a state of the task's own. Everything is recorded, so a process
that is killed anywhere comes to the same rows. Means are in the unit of their metric and rounded as they are
published. A row passes on the rounded means, so a reader of the verdict finds the same.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from soundsright.core.errors import EntryRefused, HistoryGone, InfrastructureFault
from soundsright.core.federation import (
    MAX_VALIDATORS,
    JudgedRow,
    StatedMaterial,
    has_passed,
    rounded_means,
    row_order,
)
from soundsright.core.profiles import Profile
from soundsright.core.results import Evaluation, Refusal
from soundsright.core.submission import CommitmentKind, Reveal
from soundsright.services.federation import federation_steps
from soundsright.services.federation.context import SamplerContext
from soundsright.services.federation.doc_rules import with_doc_rules
from soundsright.services.federation.earlier_models import EarlierModels
from soundsright.services.federation.federation_steps import MaterialStep, SaltsStep
from soundsright.services.federation.task import TaskSettings, set_hash
from soundsright.services.records import answer_leaf, root_of
from soundsright.services.rounds import (
    ClipSet,
    RoundContext,
    begun,
    committed_block,
    judged_entries,
    material_digest,
    public_competitions,
    roots_of,
    seed_hash,
    steps,
)
from soundsright.services.validator import PinnedChain, as_digests

AnswerLine = Mapping[str, Any]
"""An answer as metadata has it: `clip`, and `sha256` of its WAV file or the code of its `failure`."""


@dataclass(frozen=True)
class JudgedTask:
    """A judged task: what the verdict says of it, and the files that belong to it.

    `sets` and `unprocessed` are by competition id. `answers` and `folders` are by the hotkey of a row: its answers
    in the order of the clips, and the folder with their audio.
    """

    settings: TaskSettings
    block_hash: str
    material: StatedMaterial
    sets: Mapping[str, ClipSet]
    unprocessed: Mapping[str, Mapping[str, float]]
    rows: tuple[JudgedRow, ...]
    answers: Mapping[str, tuple[AnswerLine, ...]]
    folders: Mapping[str, Path]
    refusals: tuple[Refusal, ...]


def begun_task(context: SamplerContext, task: int, settings: TaskSettings) -> RoundContext:
    """Begin the task in the state, or continue it.

    Raises:
        UsageError: it began under other settings.
        StateUnavailable: the state does not answer.
    """
    return begun(
        RoundContext(
            settings.plan(task),
            context.chain,
            context.hub,
            context.sandbox,
            context.state,
            context.pool,
            context.clock,
            context.task_folder(task),
            context.account.address,
            context.slots,
            context.workers,
            cancelled=context.attempt(),
        )
    )


def judged_task(context: SamplerContext, task: int) -> JudgedTask:
    """Judge the task, or the part of it that is not recorded yet.

    Raises:
        InfrastructureFault: something around the models failed. Call it again to continue.
        UsageError: the task began under other settings, or the recordings cannot be read.
        Cancelled: the sampler stops.
    """
    settings = context.settings(task)
    round_context = begun_task(context, task, settings)
    block_hash = seed_hash(round_context)
    stated = round_context.step(federation_steps.MATERIAL, lambda: _material(round_context)).stated
    reveals, round_context = _with_reveals(context, round_context)
    round_context = _with_earlier_models(context, round_context, task)
    judged = judged_entries(round_context, reveals, set_hash(block_hash, task))
    recorded = steps.read(context.state, round_context.round_id, federation_steps.SALTS)
    salts = {} if recorded is None else recorded.salts
    floors = settings.floors()
    unprocessed = {c: means_of(e, settings.metrics, floors) for c, e in judged.evaluated.unprocessed.items()}
    rows: list[JudgedRow] = []
    answers: dict[str, tuple[AnswerLine, ...]] = {}
    folders: dict[str, Path] = {}
    for competition_id, evaluations in judged.evaluated.evaluations.items():
        for evaluation in evaluations:
            hotkey, folder = evaluation.submission.hotkey, round_context.enhanced / evaluation.submission.entry_id
            answers[hotkey], folders[hotkey] = answer_lines(evaluation, folder), folder
            row = judged_row(evaluation, unprocessed[competition_id], floors, answers[hotkey])
            rows.append(replace(row, salt=salts.get(hotkey, "")))
    return JudgedTask(
        settings,
        block_hash,
        stated,
        judged.evaluated.sets,
        unprocessed,
        tuple(sorted(rows, key=row_order)),
        answers,
        folders,
        judged.refusals,
    )


def _with_reveals(
    context: SamplerContext, round_context: RoundContext
) -> tuple[Mapping[str, Reveal | EntryRefused], RoundContext]:
    """The reveals of the commitments when entries closed. Nobody is asked once the entries are recorded.

    Entries whose text is on the chain become digests in the context, because screening compares digests.
    """
    if steps.read(context.state, round_context.round_id, steps.ENTRIES) is not None:
        return {}, round_context
    closed = context.chain.snapshot(round_context.plan.round.entries_close_block)
    reveals = context.reveals(closed)
    if context.organiser.commitment is not CommitmentKind.DIGEST:
        pinned = PinnedChain(context.chain, closed)
        pinned.replace_entries(as_digests(closed.commitments, reveals))
        round_context = replace(round_context, chain=pinned)
    if context.rules.profile is not Profile.SOUNDSRIGHT:
        reveals = with_doc_rules(reveals, closed.commitments)
    salts = {hotkey: each.salt for hotkey, each in reveals.items() if isinstance(each, Reveal) and each.is_salted}
    steps.write(context.state, round_context.round_id, federation_steps.SALTS, SaltsStep(salts))
    return reveals, round_context


def _with_earlier_models(context: SamplerContext, round_context: RoundContext, task: int) -> RoundContext:
    """The context with the earlier models of hotkeys that other validators have judged."""
    allowlist = context.allowlist(round_context.plan.round.seed_block)
    earlier = EarlierModels(
        round_context,
        context.chain,
        context.organiser.commitment,
        lambda: context.verdicts_before(task),
        len(allowlist.validators) if allowlist is not None else MAX_VALIDATORS,
    )
    return replace(round_context, held_before=earlier.of)


def _material(context: RoundContext) -> MaterialStep:
    """The material of the sets, and the block in which the validator committed to it."""
    plan = context.plan
    material = plan.measures.material
    committed = None
    if material.is_private:
        try:
            committed = committed_block(context.chain, context.validator, roots_of(material), plan.round.seed_block)
        except HistoryGone:
            committed = None  # It counts as not committed, because nobody could check it.
    public = public_competitions(material, plan.rules.competitions)
    speech = {} if material.speech is None else dict(material.speech.facts)
    return MaterialStep(StatedMaterial(material_digest(material), public, committed, speech))


def means_of(evaluation: Evaluation, metrics: Sequence[str], floors: Mapping[str, float]) -> dict[str, float]:
    """The means over all clips as they are published. A failed clip counts at the floor of each metric."""
    scores = [{} if clip.scores is None else clip.scores for clip in evaluation.clips]
    return rounded_means({m: math.fsum(clip.get(m, floors[m]) for clip in scores) / len(scores) for m in metrics})


def judged_row(
    evaluation: Evaluation,
    unprocessed: Mapping[str, float],
    floors: Mapping[str, float],
    answers: Sequence[AnswerLine],
) -> JudgedRow:
    """The row of an entry. `unprocessed` are the means of the input itself."""
    means = means_of(evaluation, tuple(unprocessed), floors)
    entry = evaluation.submission
    return JudgedRow(
        entry.competition.id,
        entry.hotkey,
        entry.uid,
        entry.source,
        entry.block,
        has_passed(means, unprocessed, evaluation.failed),
        evaluation.failed,
        means,
        answers_root(answers),
    )


def answers_root(answers: Sequence[AnswerLine]) -> str:
    """The Merkle root of an entry's answers, as in the document of a round."""
    return root_of(map(answer_leaf, answers))


def answer_lines(evaluation: Evaluation, folder: Path) -> tuple[AnswerLine, ...]:
    """The answers of an entry whose audio is in the folder, in the order of the clips.

    Raises:
        InfrastructureFault: a file is missing.
    """
    return tuple(
        {"clip": clip.clip_id, "sha256": sha256_of_wav(folder / f"{clip.clip_id}.wav")}
        if clip.failure is None
        else {"clip": clip.clip_id, "failure": clip.failure.code}
        for clip in sorted(evaluation.clips, key=lambda clip: clip.clip_id)
    )


def sha256_of_wav(path: Path) -> str:
    """Hex SHA-256 of a WAV file of the task.

    Raises:
        InfrastructureFault: it cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InfrastructureFault(f"{path} cannot be read ({error.strerror})", "Put the file back.") from error
