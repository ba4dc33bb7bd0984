"""One round of the executor, from the seed to the published table.

Each step is recorded in the `StateStore` when it is done, and is not done again. A process that is killed anywhere
goes on from there, and repeats at most the run of an image that was not recorded. `executor_steps` lists the steps.
Drawing the set is done again after a restart, and must give what is recorded.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from soundsright.core.competition import Competition
from soundsright.core.errors import InfrastructureFault, UsageError
from soundsright.core.image_rounds import image_round_at
from soundsright.core.images import Challenge, ImageRow, MeasuredImage, challenge_of
from soundsright.core.material import Material
from soundsright.core.results import ClipResult, Failure
from soundsright.core.schedule import seed_of_round
from soundsright.services.executor import executor_steps
from soundsright.services.executor.context import ExecutorContext, Judge, JudgedSet
from soundsright.services.executor.entries import EntryRuns, RoundOfImages, measured_before
from soundsright.services.executor.executor_steps import (
    UNPROCESSED,
    CopiesStep,
    MaterialStep,
    ParticipantsStep,
    PublishedStep,
    SeedStep,
)
from soundsright.services.executor.judged_copies import with_copies_judged
from soundsright.services.executor.openness import material_step
from soundsright.services.executor.participants import MAX_PARTICIPANTS, participants
from soundsright.services.executor.publishing import table_of
from soundsright.services.executor.results import MeasuredEntry, RoundResults, signed_results
from soundsright.services.executor.suspects import suspects_of
from soundsright.services.rounds import (
    PRIVATE_FOLDER,
    ClipSet,
    SetRequest,
    finish_set,
    make_private,
    material_of_round,
    roots_of,
    start_set,
    start_unprocessed,
    steps,
)

_log = logging.getLogger(__name__)

MAX_SCORES = 80_000
"""The highest number of scores of all images of a round, so that validators can read its signed results."""


def round_facts(context: ExecutorContext, challenge: Challenge) -> dict[str, Any]:
    """The row of a round that begins: everything that its result depends on and that no step records."""
    return {
        "challenge": challenge.facts(),
        "rules": asdict(context.rules),
        "ruleset": context.organiser.ruleset.name,
        "ruleset_digest": context.organiser.ruleset.digest,
        "metric_weights": dict(competition_of(context, challenge).metric_weights),
    }


def competition_of(context: ExecutorContext, challenge: Challenge) -> Competition:
    """The organiser's competition of a challenge.

    Raises:
        InfrastructureFault: by the organiser's rules on this machine, the round has another block or competition.
    """
    block = challenge.seed_block
    due = image_round_at(block, context.rules.update_blocks)
    competitions = context.organiser.competitions
    if due is None or due.seed_block != block or due.competition(competitions).id != challenge.competition_id:
        raise InfrastructureFault(
            f"The coordinator's round of block {block} with {challenge.competition_id} is not the one that the"
            " rules of this executor have then",
            "Give the coordinator and the executor the same SOUNDSRIGHT_RULESET.",
        )
    return due.competition(competitions)


def chosen_for(context: ExecutorContext, seed: SeedStep, competition: Competition, clips: int) -> ParticipantsStep:
    """The images of a round with that seed, from what stands now."""
    last = context.store.published()
    scores = clips * len(competition.metric_weights)
    banned = context.organiser.entry_rules.banned_hotkeys
    return participants(
        tuple(context.store.standing().values()),
        None if last is None else last[1],
        until_s=seed.time_s,
        carry_over=context.rules.carry_over,
        banned=frozenset(hotkey for hotkey, until in banned.items() if seed.block < until),
        most=max(1, min(MAX_PARTICIPANTS, MAX_SCORES // scores)),
    )


def seed_of(context: ExecutorContext, challenge: Challenge) -> SeedStep:
    """The seed of a challenge, as this machine's chain has it.

    Raises:
        InfrastructureFault: the block is not final yet, or the chain has another hash for it.
    """
    chain, number = context.chain, challenge.seed_block
    if chain.finalized().number < number:
        raise InfrastructureFault(f"Block {number} is not final yet", "Wait until the chain has made it final.")
    own = chain.block_hash(number)
    if own.removeprefix("0x") != challenge.block_hash.removeprefix("0x"):
        raise InfrastructureFault(
            f"The coordinator says that block {number} has the hash {challenge.block_hash[:12]}, and the chain says"
            f" {own[:12]}",
            "Check that the coordinator and the executor use the same SUBTENSOR_CHAIN_ENDPOINT.",
        )
    return SeedStep(number, challenge.block_hash, chain.timestamp_s(number))


class RunningRound:
    """A round that has begun. `coming` receives each score when it is known, by entry id."""

    def __init__(
        self, context: ExecutorContext, recorded: Mapping[str, Any], coming: Callable[[str, float], None]
    ) -> None:
        self._context = context
        self._coming = coming
        self.challenge = challenge_of(recorded["challenge"])
        self._competition = competition_of(context, self.challenge)
        if dict(recorded) != round_facts(context, self.challenge):
            raise UsageError(
                f"Round {self.challenge.round_id} began under other rules",
                "Put the rules file back until the round is published, or give EXECUTOR_STATE another file.",
            )

    @property
    def round_id(self) -> str:
        return self.challenge.round_id

    def run(self) -> PublishedStep:
        """Run the round to its end, and publish it.

        Raises:
            InfrastructureFault: something around the images failed. Run again to continue.
            UsageError: the round began under other rules, or its records are newer than this program.
            Cancelled: the executor stops.
        """
        context = self._context
        seed = self._step(executor_steps.SEED, lambda: seed_of(context, self.challenge))
        clips_wanted = self.challenge.clips
        chosen = self._step(
            executor_steps.PARTICIPANTS, lambda: chosen_for(context, seed, self._competition, clips_wanted)
        )
        material = material_of_round(context.material, context.schedule, seed.time_s)
        check_corpus(material, self.challenge)
        stated = self._step(executor_steps.MATERIAL, lambda: self._stated(material))
        clips = self._set(material)
        judged = JudgedSet(
            context.rules,
            context.organiser.ruleset,
            self._competition.metric_weights,
            self._unprocessed(clips),
            clips.groups,
        )
        judge = context.judge_of(judged)
        meter = context.meter_of(self._competition)
        shared = RoundOfImages(self.round_id, self._competition, clips, judge, meter)
        rows = EntryRuns(context, shared, self._coming).run_all(chosen.entries)
        return self._publish(chosen, rows, judge, judged, clips, stated)

    def _step(self, key: steps.StepKey[steps.Record], compute: Callable[[], steps.Record]) -> steps.Record:
        self._context.raise_if_cancelled()
        recorded = steps.read(self._context.state, self.round_id, key)
        if recorded is None:
            recorded = compute()
            steps.write(self._context.state, self.round_id, key, recorded)
            _log.info("step done", extra={"action": "step_done", "round": self.round_id, "step": key.name})
        return recorded

    def _stated(self, material: Material) -> MaterialStep:
        context, challenge = self._context, self.challenge
        return material_step(
            material,
            self._competition,
            context.chain,
            context.account.address,
            challenge.corpus_digest,
            challenge.seed_block,
        )

    def _set(self, material: Material) -> ClipSet:
        """The one set of the round.

        Raises:
            InfrastructureFault: the set has changed.
        """
        context, challenge = self._context, self.challenge
        seed = seed_of_round(challenge.block_hash, challenge.competition_id)
        folder = context.round_folder(self.round_id)
        if material.is_private:
            make_private(context.folder / PRIVATE_FOLDER)
            make_private(folder)
        request = SetRequest(self._competition, seed, challenge.clips, material, folder / "set")
        clips = finish_set(request, start_set(request, context.pool, jobs=context.workers))
        recorded = self._step(executor_steps.SET, lambda: steps.SetStep(seed, clips.digest))
        if recorded.digest != clips.digest:
            raise InfrastructureFault(
                f"The set of round {self.round_id} has digest {clips.digest[:12]} now, and had"
                f" {recorded.digest[:12]} before",
                "The corpus or the program has changed since. Put back what the round began with.",
            )
        return clips

    def _unprocessed(self, clips: ClipSet) -> tuple[ClipResult, ...]:
        """The scores of the degraded input, which every image must beat."""
        context, metrics = self._context, tuple(self._competition.metric_weights)
        recorded = context.state.clip_results(self.round_id, UNPROCESSED)
        if len(recorded) < len(clips.clip_ids):
            jobs = start_unprocessed(clips, metrics, context.pool)
            results = [
                ClipResult(clip_id, scores=job.result().scores)
                for clip_id, job in zip(clips.clip_ids, jobs, strict=True)
            ]
            context.state.add_clip_results(self.round_id, UNPROCESSED, results)
            recorded = context.state.clip_results(self.round_id, UNPROCESSED)
        return recorded

    def _publish(
        self,
        chosen: ParticipantsStep,
        rows: Mapping[str, ImageRow],
        judge: Judge,
        judged: JudgedSet,
        clips: ClipSet,
        stated: MaterialStep,
    ) -> PublishedStep:
        context = self._context
        context.raise_if_cancelled()
        last = context.store.published()
        if last is not None and last[0] == self.round_id:
            return last[1]
        standing = frozenset(context.store.standing().values())
        measured = [self._measured_entry(row) for row in rows.values()]
        copies = self._step(executor_steps.COPIES, lambda: self._copies(measured, clips))
        checked = [_with_failure(entry, copies, judge) for entry in measured]
        results = RoundResults(
            challenge=self.challenge,
            judged=judged,
            machine=context.machine,
            set_digest=clips.digest,
            holder=chosen.holder,
            entries=tuple(entry for entry in checked if entry.row.submission in standing),
            dropped=tuple(entry.entry_id for entry in chosen.entries if entry not in standing),
            material=stated,
            suspects=copies.suspects,
        )
        results = with_copies_judged(results, judge)
        ranked = results.ranked(judge)
        table = table_of(ranked, chosen, None if last is None else last[1], standing)
        record = PublishedStep(
            table.rows,
            table.participants,
            signed_results(results, table, context.account),
            table.dropped,
            context.clock.now(),
        )
        _log.info(
            "round %s is published: %d images",
            self.round_id,
            len(table.participants),
            extra={"action": "published", "round": self.round_id},
        )
        return context.store.publish(self.round_id, record)

    def _copies(self, entries: Sequence[MeasuredEntry], clips: ClipSet) -> CopiesStep:
        """The copies among the images that have run. All layers that can be known are known now."""
        context, images = self._context, self._context.store.images
        failures: dict[str, Failure] = {}
        ran: dict[str, MeasuredImage] = {}
        in_order = sorted((e for e in entries if e.measured), key=lambda e: images.claim_of(e.row.submission))
        for entry in in_order:
            submission, measured = entry.row.submission, entry.measured
            if measured is None or measured.failure is not None:
                continue
            if (copy := images.original_of(submission)) is not None:
                failures[submission.entry_id] = copy
            else:
                ran[submission.entry_id] = measured
        pairs = context.alike(clips, context.round_folder(self.round_id) / "enhanced", ran)
        left = [entry.row.submission for entry in in_order if entry.row.submission.entry_id in ran]
        return CopiesStep(failures, suspects_of(left, pairs, images.claim_of))

    def _measured_entry(self, row: ImageRow) -> MeasuredEntry:
        entry_id = row.submission.entry_id
        record = steps.read(self._context.state, self.round_id, executor_steps.measured(entry_id))
        if record is None:
            return MeasuredEntry(row, None)
        return MeasuredEntry(row, measured_before(self._context.state, self.round_id, entry_id, record))


def _with_failure(entry: MeasuredEntry, copies: CopiesStep, judge: Judge) -> MeasuredEntry:
    """The entry; with a failure if it copies an earlier submission by its layers."""
    failure = copies.failures.get(entry.row.submission.entry_id)
    if failure is None or entry.measured is None:
        return entry
    measured = replace(entry.measured, failure=failure)
    metrics = replace(judge.metrics(measured), updated_s=entry.row.metrics.updated_s)
    return MeasuredEntry(replace(entry.row, metrics=metrics), measured)


def check_corpus(material: Material, challenge: Challenge) -> None:
    """Check that this machine has the coordinator's recordings. `material` is that of the round.

    Raises:
        InfrastructureFault: it has others.
        UsageError: there is no corpus, or it cannot be read.
    """
    own = roots_of(material)
    if challenge.corpus_digest not in own:
        raise InfrastructureFault(
            f"The coordinator's recordings have the digest {challenge.corpus_digest[:12]}, and those of this"
            f" machine {own[0][:12]}",
            "Give the coordinator and the executor the same SOUNDSRIGHT_CORPUS.",
        )
