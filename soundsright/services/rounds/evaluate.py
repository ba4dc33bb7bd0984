"""The sets of a round, and every model's run on them: `slots` models at a time, scored beside them in the pool.

For each model that begins, one whose turn comes later is prepared, so that its image is built by then.

A sandbox that fails for one entry stops no other. Such an entry is tried again when the others are done; who still
cannot be run, while another model can, is set aside: refused as `not_evaluated`, and never scored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass

from soundsright.core.competition import Competition
from soundsright.core.errors import InfrastructureFault, ModelFault
from soundsright.core.results import ClipResult, Evaluation, Refusal, Timing
from soundsright.core.schedule import seed_of_round
from soundsright.core.sources import ModelRef
from soundsright.core.submission import FetchedModel, Submission
from soundsright.services.rounds.answers import EntryStuck, Evaluator, Progress, Scored, unprocessed_results
from soundsright.services.rounds.clipset import ClipSet, DrawnClips, SetRequest, finish_set, start_set
from soundsright.services.rounds.context import RoundContext, Stuck, settled
from soundsright.services.rounds.types import Event

UNPROCESSED = ModelRef("unprocessed", "degraded-input", "0" * 40)


@dataclass(frozen=True)
class Evaluated:
    """Sets, evaluations and the unprocessed input's, by competition id; and the refusals of who was set aside."""

    sets: Mapping[str, ClipSet]
    evaluations: Mapping[str, tuple[Evaluation, ...]]
    unprocessed: Mapping[str, Evaluation]
    refusals: tuple[Refusal, ...]


def evaluate_all(context: RoundContext, models: Sequence[FetchedModel], block_hash: str) -> Evaluated:
    """Make the sets and run the models.

    Raises:
        InfrastructureFault: no model can be run now, or something that all of them need has failed.
        Cancelled: the round was stopped.
    """
    plan = context.plan
    refused: dict[str, Refusal] = {}
    for entry_id in (model.submission.entry_id for model in models):
        recorded = context.state.step_done(context.round_id, f"set_aside:{entry_id}")
        if recorded is not None:
            refused[entry_id] = Refusal(**recorded["refusal"])
    running = [model for model in models if model.submission.entry_id not in refused]
    context.observe(Event("run", total=len(running)))
    drawing = {c.id: _start_set(context, c, block_hash) for c in plan.competitions}
    sets: dict[str, ClipSet] = {}
    baselines: dict[str, list[Future[Scored]]] = {}
    with (
        ThreadPoolExecutor(context.slots, thread_name_prefix="model") as slots,
        ThreadPoolExecutor(1, thread_name_prefix="prepare") as ahead,
    ):
        run = _Run(context, running, sets, ahead)
        futures: list[Future[None]] = []
        try:
            for competition in plan.competitions:
                clips = _finish_set(context, *drawing[competition.id])
                sets[competition.id] = clips
                baselines[competition.id] = unprocessed_results(clips, plan.metrics, context.pool)
                futures += [slots.submit(run.try_one, m.submission) for m in running if _is_of(competition, m)]
            wait_for_all(futures)
            refused |= run.tried_again()
        except BaseException:
            context.cancel()
            raise
    evaluations = {
        c.id: tuple(
            run.evaluations[m.submission.entry_id] for m in models if _is_of(c, m) and not _is_in(refused, m)
        )
        for c in plan.competitions
    }
    unprocessed = {c.id: _unprocessed(context, c, sets[c.id], baselines[c.id]) for c in plan.competitions}
    refusals = tuple(refused[m.submission.entry_id] for m in models if _is_in(refused, m))
    return Evaluated(sets, evaluations, unprocessed, refusals)


def _is_of(competition: Competition, model: FetchedModel) -> bool:
    return model.submission.competition.id == competition.id


def _is_in(entries: Mapping[str, object], model: FetchedModel) -> bool:
    return model.submission.entry_id in entries


class _Run:
    """The models as they are run, from several threads: what each came to, by entry id."""

    def __init__(
        self,
        context: RoundContext,
        models: Sequence[FetchedModel],
        sets: Mapping[str, ClipSet],
        ahead: ThreadPoolExecutor,
    ) -> None:
        self._context = context
        self._models = {model.submission.entry_id: model for model in models}
        self._sets = sets
        self._ahead = ahead
        turns = [competition.id for competition in context.plan.competitions]
        self._turns = iter(sorted(models, key=lambda model: turns.index(model.submission.competition.id)))
        self._begun: set[str] = set()
        self._evaluator = Evaluator(
            round_id=context.round_id,
            metrics=context.plan.metrics,
            sandbox=context.sandbox,
            limits=context.plan.sandbox_limits,
            state=context.state,
            pool=context.pool,
            clock=context.clock,
            batch_audio_s=context.plan.batch_audio_s,
            cancelled=context.cancelled.is_set,
        )
        self._stuck: dict[str, Stuck] = {}
        self.evaluations: dict[str, Evaluation] = {}

    def try_one(self, submission: Submission) -> None:
        """Run it. A fault that may be this entry's alone is kept, any other one raised."""
        self._begun.add(submission.entry_id)
        self._ahead.submit(self._prepare_next)
        try:
            self._evaluate(submission)
        except EntryStuck as fault:
            self._context.go_on()
            self._stuck[submission.entry_id] = Stuck(submission, fault)

    def _prepare_next(self) -> None:
        """In the one thread that does so. What fails here fails the model's run as well, and is told there."""
        model = next((m for m in self._turns if m.submission.entry_id not in self._begun), None)
        if model is not None and not self._context.cancelled.is_set():
            with suppress(ModelFault, InfrastructureFault):
                self._context.sandbox.prepare(model)

    def tried_again(self) -> dict[str, Refusal]:
        """Try those that were stuck again, one at a time, and set aside who still is.

        Raises:
            InfrastructureFault: it is not the entries.
        """
        # In the order of the entries, whichever thread was first.
        stuck = {entry_id: self._stuck[entry_id] for entry_id in self._models if entry_id in self._stuck}
        left_out = settled(
            self._context,
            stuck,
            self._evaluate,
            working=lambda: len(self.evaluations),
            check_others=self._check_sandbox,
        )
        return {
            entry_id: self._context.refused(f"set_aside:{entry_id}", refusal)
            for entry_id, refusal in left_out.items()
        }

    def _evaluate(self, submission: Submission) -> None:
        context, clips = self._context, self._sets[submission.competition.id]
        context.observe(Event("evaluate", submission, submission.competition, total=len(clips.digests)))

        def report(progress: Progress) -> None:
            context.busy.add("load", progress.load_s)
            context.busy.add("enhance", progress.enhance_s)
            context.busy.add("score", progress.score_s)
            context.observe(Event("progress", submission, submission.competition, progress))

        entry_id = submission.entry_id
        model, folder = self._models[entry_id], context.enhanced / entry_id
        self.evaluations[entry_id] = self._evaluator.evaluate(model, clips, folder, report)
        context.observe(Event("evaluated", submission, submission.competition))

    def _check_sandbox(self) -> None:
        """See that a model that did run can still be started. What it does then is its own affair.

        Raises:
            InfrastructureFault: it cannot.
        """
        witness = min(self.evaluations.values(), key=lambda evaluation: evaluation.failed).submission.entry_id
        try:
            with self._context.sandbox.run(self._models[witness], limits=self._context.plan.sandbox_limits):
                pass
        except ModelFault:
            self._context.go_on()


def wait_for_all(futures: Sequence[Future[None]]) -> None:
    """Wait until all are done or one has failed; then raise its error."""
    pending = set(futures)
    while pending:
        # In slices, so that the main thread sees Ctrl-C.
        done, pending = wait(pending, timeout=0.2)
        for future in done:
            future.result()


def _start_set(
    context: RoundContext, competition: Competition, block_hash: str
) -> tuple[SetRequest, list[Future[DrawnClips]]]:
    seed = seed_of_round(block_hash, competition.id)
    folder = context.folder / "sets" / competition.id
    request = SetRequest(competition, seed, context.plan.clips, context.plan.corpus_root, folder)
    context.observe(Event("generate", competition=competition))
    return request, start_set(request, context.pool, jobs=context.workers)


def _finish_set(context: RoundContext, request: SetRequest, futures: list[Future[DrawnClips]]) -> ClipSet:
    clips = finish_set(request, futures)
    context.busy.add("generate", sum(future.result().busy_s for future in futures))
    competition_id = request.competition.id
    facts = context.step(f"set:{competition_id}", lambda: {"seed": request.seed, "digest": clips.digest})
    if facts["digest"] != clips.digest:
        raise InfrastructureFault(
            f"{competition_id}: set {clips.digest[:12]} was drawn, {facts['digest'][:12]} before",
            "The corpus or the program has changed since: start a new round.",
        )
    return clips


def _unprocessed(
    context: RoundContext, competition: Competition, clips: ClipSet, futures: Sequence[Future[Scored]]
) -> Evaluation:
    scored = [future.result() for future in futures]
    context.busy.add("score", sum(one.busy_s for one in scored))
    results = tuple(
        ClipResult(clip_id, scores=one.scores) for clip_id, one in zip(clips.clip_ids, scored, strict=True)
    )
    return Evaluation(
        Submission(-1, "unprocessed", competition, UNPROCESSED, 0), context.round_id, results, Timing()
    )
