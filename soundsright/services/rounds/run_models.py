"""Makes the sets of a round and runs every model on them: `slots` models at a time, scored beside them in the pool.

When a model starts, the next waiting model is prepared, so that its image is ready when its turn comes.

With `stopping = "sequential"`, the models run in stages, and those that can no longer win stop: see `stages.py`.

A sandbox that fails for one entry does not stop the others. Such an entry is tried again when the others are done.
If it still cannot be run while another model can, it is set aside: refused as `not_evaluated`, and never scored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace

from soundsright.core.competition import Competition
from soundsright.core.errors import InfrastructureFault, ModelFault
from soundsright.core.results import ClipResult, Evaluation, Refusal, Timing
from soundsright.core.schedule import seed_of_round
from soundsright.core.sources import ModelRef
from soundsright.core.stopping import Stops
from soundsright.core.submission import FetchedModel, Submission
from soundsright.services.rounds import steps
from soundsright.services.rounds.built_images import record_image
from soundsright.services.rounds.clipset import ClipSet, DrawnClips, SetRequest, finish_set, start_set
from soundsright.services.rounds.context import RoundContext
from soundsright.services.rounds.evaluator import EntryJob, Evaluator
from soundsright.services.rounds.faults import EntryStuck
from soundsright.services.rounds.hiding import make_private
from soundsright.services.rounds.progress import Event, Progress
from soundsright.services.rounds.retries import StuckEntry, retry_stuck_entries
from soundsright.services.rounds.scoring import Scored, start_unprocessed
from soundsright.services.rounds.stages import Stages

UNPROCESSED = ModelRef("unprocessed", "degraded-input", "0" * 40)


@dataclass(frozen=True)
class EvaluatedEntries:
    """The sets, the evaluations and that of the unprocessed input, by competition id; and the entries set aside.

    `stops` are by competition id too, for those whose entries may stop early.
    """

    sets: Mapping[str, ClipSet]
    evaluations: Mapping[str, tuple[Evaluation, ...]]
    unprocessed: Mapping[str, Evaluation]
    refusals: tuple[Refusal, ...]
    stops: Mapping[str, Stops] = field(default_factory=dict)


def evaluate_all(
    context: RoundContext,
    models: Sequence[FetchedModel],
    block_hash: str,
    *,
    whole: Mapping[str, str] | None = None,
) -> EvaluatedEntries:
    """Make the sets and run the models. `whole` says by competition why its entries run on the whole set.

    Raises:
        InfrastructureFault: no model can be run now, or something that all models need has failed.
        Cancelled: the round was stopped.
    """
    refused = set_aside_before(context, models)
    running = [model for model in models if model.submission.entry_id not in refused]
    context.observe(Event("run", total=len(running)))
    entered = {c.id: sum(_is_of(c, m) for m in models) for c in context.plan.rules.competitions}
    staged = _run_stages(context, running, entered, block_hash, whole or {})
    return evaluated_of(context, models, replace(staged, refused=refused | dict(staged.refused)))


def set_aside_before(context: RoundContext, models: Sequence[FetchedModel]) -> dict[str, Refusal]:
    """The refusals of the entries that are recorded as set aside, by entry id."""
    refused: dict[str, Refusal] = {}
    for entry_id in (model.submission.entry_id for model in models):
        recorded = steps.read(context.state, context.round_id, steps.set_aside(entry_id))
        if recorded is not None:
            refused[entry_id] = recorded.refusal
    return refused


def evaluated_of(context: RoundContext, models: Sequence[FetchedModel], staged: StagedEntries) -> EvaluatedEntries:
    """The results of all stages, in the order of the models."""
    refused = staged.refused
    evaluations = {
        c.id: tuple(
            staged.evaluations[m.submission.entry_id] for m in models if _is_of(c, m) and not _is_in(refused, m)
        )
        for c in context.plan.rules.competitions
    }
    refusals = tuple(refused[m.submission.entry_id] for m in models if _is_in(refused, m))
    return EvaluatedEntries(staged.sets, evaluations, staged.unprocessed, refusals, staged.stops)


@dataclass(frozen=True)
class StagedEntries:
    """The results of all stages: by competition id, except `evaluations` and `refused`, which are by entry id."""

    sets: Mapping[str, ClipSet]
    evaluations: Mapping[str, Evaluation]
    unprocessed: Mapping[str, Evaluation]
    refused: Mapping[str, Refusal]
    stops: Mapping[str, Stops]


def _run_stages(
    context: RoundContext,
    running: Sequence[FetchedModel],
    entered: Mapping[str, int],
    block_hash: str,
    whole: Mapping[str, str],
) -> StagedEntries:
    """Make the sets, run the models on the first part of their set, and on more as long as they can still win."""
    plan = context.plan
    drawing = {c.id: _start_set(context, c, block_hash) for c in plan.rules.competitions}
    baselines: dict[str, list[Future[Scored]]] = {}
    stages: dict[str, Stages] = {}
    refused: dict[str, Refusal] = {}
    with (
        ThreadPoolExecutor(context.slots, thread_name_prefix="model") as slots,
        ThreadPoolExecutor(1, thread_name_prefix="prepare") as preparer,
    ):
        runs = _ModelRuns(context, running, stages, preparer)
        futures: list[Future[None]] = []
        try:
            for c in plan.rules.competitions:
                clips = _finish_set(context, *drawing[c.id])
                baselines[c.id] = start_unprocessed(clips, plan.measures.metrics, context.pool)
                entries = [m.submission for m in running if _is_of(c, m)]
                stages[c.id] = Stages(context, clips, entries, entered=entered[c.id], whole=whole.get(c.id, ""))
                futures += [slots.submit(runs.run, entry) for entry in stages[c.id].running]
            wait_for_all(futures)
            refused |= runs.retry_stuck()
            unprocessed = {c: _unprocessed(context, stage.clips, baselines[c]) for c, stage in stages.items()}
            while going := [s for c, s in stages.items() if s.advance(refused, runs.evaluations, unprocessed[c])]:
                wait_for_all([slots.submit(runs.run, entry) for stage in going for entry in stage.running])
                refused |= runs.retry_stuck()
        except BaseException:
            context.cancel()
            raise
    sets = {competition_id: stage.clips for competition_id, stage in stages.items()}
    stops = {competition_id: stage.stops for competition_id, stage in stages.items() if stage.stops is not None}
    return StagedEntries(sets, runs.evaluations, unprocessed, refused, stops)


def _is_of(competition: Competition, model: FetchedModel) -> bool:
    return model.submission.competition.id == competition.id


def _is_in(entries: Mapping[str, object], model: FetchedModel) -> bool:
    return model.submission.entry_id in entries


class _ModelRuns:
    """The runs of all models of a round, from several threads. `evaluations` are by entry id."""

    def __init__(
        self,
        context: RoundContext,
        models: Sequence[FetchedModel],
        stages: Mapping[str, Stages],
        preparer: ThreadPoolExecutor,
    ) -> None:
        self._context = context
        self._models = {model.submission.entry_id: model for model in models}
        self._stages = stages
        self._preparer = preparer
        turns = [competition.id for competition in context.plan.rules.competitions]
        self._turns = iter(sorted(models, key=lambda model: turns.index(model.submission.competition.id)))
        self._started: set[str] = set()
        self._evaluator = Evaluator(context)
        self._stuck: dict[str, StuckEntry] = {}
        self.evaluations: dict[str, Evaluation] = {}

    def run(self, submission: Submission) -> None:
        """Evaluate an entry. A fault that may concern only this entry is kept for `retry_stuck`."""
        self._started.add(submission.entry_id)
        self._preparer.submit(self._prepare_next)
        try:
            self._evaluate(submission)
        except EntryStuck as fault:
            self._context.raise_if_cancelled()
            self._stuck[submission.entry_id] = StuckEntry(submission, fault)

    def _prepare_next(self) -> None:
        """Prepare the next model. A failure here is ignored, because the model's run will fail the same way."""
        model = next((m for m in self._turns if m.submission.entry_id not in self._started), None)
        if model is not None and not self._context.cancelled.is_set():
            with suppress(ModelFault, InfrastructureFault):
                self._context.sandbox.prepare(model)

    def retry_stuck(self) -> dict[str, Refusal]:
        """Try the stuck entries again, one at a time. Returns the refusals of those that stay stuck.

        Raises:
            InfrastructureFault: the entries are not to blame.
        """
        # In the order of the entries, which does not depend on the threads.
        stuck = {entry_id: self._stuck[entry_id] for entry_id in self._models if entry_id in self._stuck}
        self._stuck = {}
        left_out = retry_stuck_entries(
            self._context,
            stuck,
            self._evaluate,
            count_working=lambda: len(self.evaluations),
            check_others=self._check_sandbox,
        )
        return {entry_id: self._set_aside(entry_id, refusal) for entry_id, refusal in left_out.items()}

    def _set_aside(self, entry_id: str, refusal: Refusal) -> Refusal:
        return self._context.step(steps.set_aside(entry_id), lambda: steps.SetAsideStep(refusal)).refusal

    def _evaluate(self, submission: Submission) -> None:
        context, stage = self._context, self._stages[submission.competition.id]
        context.observe(Event("evaluate", submission, submission.competition, total=len(stage.clips.digests)))

        def report(progress: Progress) -> None:
            context.busy.add("load", progress.load_s)
            context.busy.add("enhance", progress.enhance_s)
            context.busy.add("score", progress.score_s)
            context.observe(Event("progress", submission, submission.competition, progress))

        entry_id = submission.entry_id
        job = EntryJob(
            self._models[entry_id],
            stage.clips,
            context.enhanced / entry_id,
            report,
            stage.parts,
            continues=entry_id in self.evaluations,
        )
        self.evaluations[entry_id] = self._evaluator.evaluate(job)
        record_image(context, self._models[entry_id])
        context.observe(Event("evaluated", submission, submission.competition))

    def _check_sandbox(self) -> None:
        """Check that a model that was evaluated can still be started. Its behaviour after the start is ignored.

        Raises:
            InfrastructureFault: the model cannot be started.
        """
        fewest_failures = min(self.evaluations.values(), key=lambda evaluation: evaluation.failed)
        model = self._models[fewest_failures.submission.entry_id]
        try:
            with self._context.sandbox.run(model, limits=self._context.plan.sandbox_limits):
                pass
        except ModelFault:
            self._context.raise_if_cancelled()


def wait_for_all(futures: Sequence[Future[None]]) -> None:
    """Wait until all are done or one has failed; then raise its error."""
    pending = set(futures)
    while pending:
        # A short timeout lets the main thread notice Ctrl-C.
        done, pending = wait(pending, timeout=0.2)
        for future in done:
            future.result()


def _start_set(
    context: RoundContext, competition: Competition, block_hash: str
) -> tuple[SetRequest, list[Future[DrawnClips]]]:
    seed = seed_of_round(block_hash, competition.id)
    measures = context.plan.measures
    folder = context.audio_folder / "sets" / competition.id
    shown_folder = context.folder / "sets" / competition.id if measures.material.is_private else None
    if shown_folder is not None:
        make_private(context.audio_folder)
    request = SetRequest(
        competition, seed, measures.clips, measures.material, folder, shown_folder, context.plan.values
    )
    context.observe(Event("generate", competition=competition))
    return request, start_set(request, context.pool, jobs=context.workers)


def _finish_set(context: RoundContext, request: SetRequest, futures: list[Future[DrawnClips]]) -> ClipSet:
    clips = finish_set(request, futures)
    context.busy.add("generate", sum(future.result().busy_s for future in futures))
    competition_id = request.competition.id
    recorded = context.step(steps.set_of(competition_id), lambda: steps.SetStep(request.seed, clips.digest))
    if recorded.digest != clips.digest:
        raise InfrastructureFault(
            f"{competition_id}: the set has digest {clips.digest[:12]} now, and had {recorded.digest[:12]} before",
            "The corpus or the program has changed since: start a new round.",
        )
    return clips


def _unprocessed(context: RoundContext, clips: ClipSet, futures: Sequence[Future[Scored]]) -> Evaluation:
    scored_clips = [future.result() for future in futures]
    context.busy.add("score", sum(scored.busy_s for scored in scored_clips))
    results = tuple(
        ClipResult(clip_id, scores=scored.scores)
        for clip_id, scored in zip(clips.clip_ids, scored_clips, strict=True)
    )
    return unprocessed_of(context, clips.competition, results)


def unprocessed_of(context: RoundContext, competition: Competition, results: tuple[ClipResult, ...]) -> Evaluation:
    """The evaluation of the degraded input itself, from its results in the order of the clips' ids."""
    unprocessed = Submission(-1, "unprocessed", competition, UNPROCESSED, 0)
    return Evaluation(unprocessed, context.round_id, results, Timing())
