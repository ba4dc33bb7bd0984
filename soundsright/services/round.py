"""One round, from the close of entries to the weights: the only path, for a trial and for a validator.

Each step is recorded in the `StateStore` when it is done and is not done again: a process that was stopped anywhere
goes on where it was and reaches the same weights. The steps, in their order:

    seed          the seed block's hash
    entries       submissions and refusals
    fetch:ENTRY   content hash, or the refusal
    duplicates    which entries hold the same tensors
    set:COMPETITION        the digest of the set
    enhanced:ENTRY:CLIP    a batch of clips, with their results in rows of their own
    near_copies   which entries answer alike
    flags         signs that an entry was tuned to a measure
    decide:COMPETITION     winners and champions
    weights       what was set on the chain, in which block

What is cheap and pure (drawing, ranking) is done again after a restart and must come out as recorded.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from soundsright.core.competition import Competition
from soundsright.core.errors import EntryRefused, InfrastructureFault, WorkerDied
from soundsright.core.ports import (
    Chain,
    Clock,
    ModelHub,
    Pool,
    Sandbox,
    StateStore,
)
from soundsright.core.results import ClipResult, Evaluation, Leaderboard, Refusal, Timing, Weights
from soundsright.core.schedule import seed_of_round
from soundsright.core.submission import FetchedModel, ModelRef, Reveal, Submission
from soundsright.metrics.evidence import ClipEvidence
from soundsright.ranking.duplicates import DuplicateRule, Unique, without_duplicates
from soundsright.ranking.gaming import Flag, flags
from soundsright.ranking.leaderboard import Champion, champions_after, decide
from soundsright.ranking.weights import weights_of
from soundsright.services.clipset import ClipSet, DrawnClips, SetRequest, finish_set, start_set
from soundsright.services.evaluation import (
    Cancelled,
    Evaluator,
    Progress,
    Scored,
    start_evidence,
    unprocessed_results,
)
from soundsright.services.fingerprints import near_copy_pairs, same_tensor_pairs
from soundsright.services.round_types import (
    Busy,
    Event,
    RoundOutcome,
    RoundPlan,
    likenesses,
    plan_facts,
    refusal_facts,
    scores_of,
    submission_facts,
    submission_of,
)
from soundsright.services.screening import check_fetched, checked_dockerfile, screened

_log = logging.getLogger(__name__)

UNPROCESSED = ModelRef("unprocessed", "degraded-input", "0" * 40)


class RoundService:
    """Runs one round over the ports that it is given.

    `folder` takes the sets and the enhanced audio. `reveals` are what the miners told, by hotkey. `slots` models
    run at a time. `observe` is told of progress, from any thread.
    """

    def __init__(
        self,
        plan: RoundPlan,
        *,
        chain: Chain,
        hub: ModelHub,
        sandbox: Sandbox,
        state: StateStore,
        pool: Pool,
        clock: Clock,
        folder: Path,
        validator: str,
        reveals: Mapping[str, Reveal],
        slots: int,
        workers: int,
        observe: Callable[[Event], None] = lambda _event: None,
    ) -> None:
        self._plan = plan
        self._chain = chain
        self._hub = hub
        self._sandbox = sandbox
        self._state = state
        self._pool = pool
        self._clock = clock
        self._folder = folder
        self._validator = validator
        self._reveals = reveals
        self._slots = slots
        self._workers = workers
        self._observe = observe
        self._cancelled = threading.Event()
        self._busy = Busy()

    def cancel(self) -> None:
        """Stop as soon as may be: running models are ended, `run` raises `Cancelled`. Callable from any thread."""
        self._cancelled.set()
        self._sandbox.stop()

    def run(self) -> RoundOutcome:
        """The round's outcome, from the first step that is not done.

        Raises:
            InfrastructureFault: something around the harness failed for good; running again goes on from there.
            Cancelled: `cancel` was called.
        """
        plan = self._plan
        round_id = plan.round.id
        self._state.begin_round(round_id, plan_facts(plan))
        block_hash = self._seed()
        submissions, refusals = self._entries()
        fetched, more = self._fetch_all(submissions)
        unique = self._without_duplicates(fetched)
        sets, evaluations, unprocessed = self._evaluate_all(unique.kept, block_hash)
        unique, evaluations = self._near_copies(unique, sets, evaluations)
        flagged = self._flags(sets, evaluations, unprocessed)
        refusals = (*refusals, *more, *(found.refusal() for found in unique.duplicates))
        boards = self._decide_all(evaluations, unprocessed, unique, refusals)
        weights, weights_block = self._set_weights(boards)
        self._observe(Event("done"))
        return RoundOutcome(
            plan=plan,
            block_hash=block_hash,
            sets=sets,
            evaluations=evaluations,
            unprocessed=unprocessed,
            leaderboards=boards,
            refusals=refusals,
            fetched=unique.kept,
            suspected=unique.suspected,
            flags=flagged,
            weights=weights,
            weights_block=weights_block,
            busy_s=self._busy.seconds(),
        )

    def _step(self, name: str, compute: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """What the step left, doing it now if it was not done."""
        round_id = self._plan.round.id
        if self._cancelled.is_set():
            raise Cancelled("stopped")
        facts = self._state.step_done(round_id, name)
        if facts is None:
            facts = compute()
            self._state.finish_step(round_id, name, facts)
            _log.info("step done", extra={"action": "step_done", "round": round_id, "step": name})
        return facts

    def _seed(self) -> str:
        self._observe(Event("seed"))

        def compute() -> dict[str, Any]:
            block = self._plan.round.seed_block
            if self._chain.finalized().number < block:
                raise InfrastructureFault(f"Block {block} is not final yet", "Start the round once it is.")
            return {"block": block, "hash": self._chain.block_hash(block)}

        return str(self._step("seed", compute)["hash"])

    def _entries(self) -> tuple[tuple[Submission, ...], tuple[Refusal, ...]]:
        self._observe(Event("screen"))

        def compute() -> dict[str, Any]:
            # As of the closing block: what a miner commits later changes nothing, whenever a validator looks.
            found = self._chain.snapshot(self._plan.round.entries_close_block)
            result = screened(
                found.commitments,
                self._reveals,
                found.neurons,
                self._plan.competitions,
                entries_close_block=self._plan.round.entries_close_block,
                rules=self._plan.entry_rules,
            )
            return {
                "submissions": [submission_facts(s) for s in result.submissions],
                "refusals": [refusal_facts(r) for r in result.refusals],
            }

        facts = self._step("entries", compute)
        by_id = {c.id: c for c in self._plan.competitions}
        return (
            tuple(submission_of(f, by_id) for f in facts["submissions"]),
            tuple(Refusal(**f) for f in facts["refusals"]),
        )

    def _fetch_all(self, submissions: Sequence[Submission]) -> tuple[tuple[FetchedModel, ...], tuple[Refusal, ...]]:
        fetched: list[FetchedModel] = []
        refusals: list[Refusal] = []
        for submission in submissions:
            self._observe(Event("fetch", submission, submission.competition))
            with self._busy.measured("fetch"):
                facts, model = self._fetch(submission)
            if "refusal" in facts:
                refusals.append(Refusal(**facts["refusal"]))
                continue
            if model is None:
                # Fetched before the restart: the hub's cache answers, and must answer the same.
                with self._busy.measured("fetch"):
                    model = self._hub.fetch(submission, limits=self._plan.fetch_limits)
            if model.content_hash != facts["content_hash"]:
                raise InfrastructureFault(
                    f"{submission.model} has changed since it was fetched", "Clear the cache and run again."
                )
            fetched.append(model)
        return tuple(fetched), tuple(refusals)

    def _fetch(self, submission: Submission) -> tuple[Mapping[str, Any], FetchedModel | None]:
        model: FetchedModel | None = None

        def compute() -> dict[str, Any]:
            nonlocal model
            try:
                model = self._hub.fetch(submission, limits=self._plan.fetch_limits)
                check_fetched(model, self._plan.entry_rules)
                checked_dockerfile(model)
            except EntryRefused as refused:
                refusal = Refusal(
                    hotkey=submission.hotkey,
                    uid=submission.uid,
                    label=submission.model.repository,
                    competition_id=submission.competition.id,
                    code=refused.code,
                    sentence=refused.sentence,
                    evidence=refused.evidence,
                )
                return {"refusal": refusal_facts(refusal)}
            return {"content_hash": model.content_hash, "checkpoint_hashes": list(model.checkpoint_hashes)}

        return self._step(f"fetch:{submission.entry_id}", compute), model

    def _without_duplicates(self, fetched: Sequence[FetchedModel]) -> Unique:
        def compute() -> dict[str, Any]:
            with self._busy.measured("fetch"):
                return {"same_tensors": [asdict(pair) for pair in same_tensor_pairs(fetched)]}

        pairs = self._step("duplicates", compute)["same_tensors"]
        return without_duplicates(fetched, likenesses=likenesses(pairs))

    def _near_copies(
        self, unique: Unique, sets: Mapping[str, ClipSet], evaluations: dict[str, tuple[Evaluation, ...]]
    ) -> tuple[Unique, dict[str, tuple[Evaluation, ...]]]:
        """Entries that answer as an earlier one does: reported, or refused where the organiser asks for that."""

        def compute() -> dict[str, Any]:
            found: list[dict[str, Any]] = []
            for competition in self._plan.competitions:
                entries = [e.submission for e in evaluations[competition.id]]
                pairs = near_copy_pairs(sets[competition.id], self._folder / "enhanced", entries)
                found += [asdict(pair) for pair in pairs]
            return {"near_copies": found}

        with self._busy.measured("decide"):
            pairs = self._step("near_copies", compute)["near_copies"]
        reported_only = () if self._plan.exclude_near_copies else (DuplicateRule.NEAR_COPY,)
        checked = without_duplicates(unique.kept, likenesses=likenesses(pairs), reported_only=reported_only)
        kept = {model.submission.entry_id for model in checked.kept}
        return (
            Unique(checked.kept, (*unique.duplicates, *checked.duplicates), checked.suspected),
            {k: tuple(e for e in v if e.submission.entry_id in kept) for k, v in evaluations.items()},
        )

    def _flags(
        self,
        sets: Mapping[str, ClipSet],
        evaluations: Mapping[str, tuple[Evaluation, ...]],
        unprocessed: Mapping[str, Evaluation],
    ) -> dict[str, tuple[Flag, ...]]:
        """Signs that an entry was tuned to a measure: shown, and of no influence on its rank."""

        def compute() -> dict[str, Any]:
            jobs = [
                (e, *start_evidence(sets[c], e, self._folder / "enhanced" / e.submission.entry_id, self._pool))
                for c, entries in evaluations.items()
                for e in entries
            ]
            found: dict[str, Any] = {}
            for evaluation, answered, futures in jobs:
                if not answered:
                    continue
                competition_id = evaluation.submission.competition.id
                own, noisy = (scores_of(e, answered) for e in (evaluation, unprocessed[competition_id]))
                signs = flags(own, noisy, _seen(futures))
                if signs:
                    found[evaluation.submission.entry_id] = [asdict(sign) for sign in signs]
            return found

        with self._busy.measured("decide"):
            recorded = self._step("flags", compute)
        return {entry: tuple(Flag(**sign) for sign in signs) for entry, signs in recorded.items()}

    def _evaluate_all(
        self, models: Sequence[FetchedModel], block_hash: str
    ) -> tuple[dict[str, ClipSet], dict[str, tuple[Evaluation, ...]], dict[str, Evaluation]]:
        """Make the sets and run the models, `slots` at a time; scoring goes on in the pool beside them."""
        plan = self._plan
        evaluator = Evaluator(
            round_id=plan.round.id,
            metrics=plan.metrics,
            sandbox=self._sandbox,
            limits=plan.sandbox_limits,
            state=self._state,
            pool=self._pool,
            clock=self._clock,
            batch_audio_s=plan.batch_audio_s,
            cancelled=self._cancelled.is_set,
        )
        self._observe(Event("run", total=len(models)))
        drawing = {c.id: self._start_set(c, block_hash) for c in plan.competitions}
        sets: dict[str, ClipSet] = {}
        baselines: dict[str, list[Future[Scored]]] = {}
        with ThreadPoolExecutor(self._slots, thread_name_prefix="model") as slots:
            futures: list[tuple[FetchedModel, Future[Evaluation]]] = []
            try:
                for competition in plan.competitions:
                    clips = self._finish_set(*drawing[competition.id])
                    sets[competition.id] = clips
                    baselines[competition.id] = unprocessed_results(clips, plan.metrics, self._pool)
                    for model in models:
                        if model.submission.competition.id == competition.id:
                            futures.append((model, slots.submit(self._evaluate, evaluator, model, clips)))
                wait_for_all([future for _, future in futures])
            except BaseException:
                self.cancel()
                raise
        by_competition: dict[str, list[Evaluation]] = {c.id: [] for c in plan.competitions}
        for model, future in futures:
            by_competition[model.submission.competition.id].append(future.result())
        unprocessed = {c.id: self._unprocessed(c, sets[c.id], baselines[c.id]) for c in plan.competitions}
        return sets, {k: tuple(v) for k, v in by_competition.items()}, unprocessed

    def _start_set(self, competition: Competition, block_hash: str) -> tuple[SetRequest, list[Future[DrawnClips]]]:
        seed = seed_of_round(block_hash, competition.id)
        folder = self._folder / "sets" / competition.id
        request = SetRequest(competition, seed, self._plan.clips, self._plan.corpus_root, folder)
        self._observe(Event("generate", competition=competition))
        return request, start_set(request, self._pool, jobs=self._workers)

    def _finish_set(self, request: SetRequest, futures: list[Future[DrawnClips]]) -> ClipSet:
        clips = finish_set(request, futures)
        self._busy.add("generate", sum(future.result().busy_s for future in futures))
        facts = self._step(f"set:{request.competition.id}", lambda: {"seed": request.seed, "digest": clips.digest})
        if facts["digest"] != clips.digest:
            raise InfrastructureFault(
                f"{request.competition.id}: set {clips.digest[:12]} was drawn, {facts['digest'][:12]} before",
                "The corpus or the program has changed since: start a new round.",
            )
        return clips

    def _evaluate(self, evaluator: Evaluator, model: FetchedModel, clips: ClipSet) -> Evaluation:
        submission = model.submission
        self._observe(Event("evaluate", submission, submission.competition, total=len(clips.digests)))

        def report(progress: Progress) -> None:
            self._busy.add("load", progress.load_s)
            self._busy.add("enhance", progress.enhance_s)
            self._busy.add("score", progress.score_s)
            self._observe(Event("progress", submission, submission.competition, progress))

        folder = self._folder / "enhanced" / submission.entry_id
        evaluation = evaluator.evaluate(model, clips, folder, report)
        self._observe(Event("evaluated", submission, submission.competition))
        return evaluation

    def _unprocessed(
        self, competition: Competition, clips: ClipSet, futures: Sequence[Future[Scored]]
    ) -> Evaluation:
        scored = [future.result() for future in futures]
        self._busy.add("score", sum(one.busy_s for one in scored))
        results = tuple(
            ClipResult(clip_id, scores=one.scores) for clip_id, one in zip(clips.clip_ids, scored, strict=True)
        )
        return Evaluation(
            Submission(-1, "unprocessed", competition, UNPROCESSED, 0), self._plan.round.id, results, Timing()
        )

    def _decide_all(
        self,
        evaluations: Mapping[str, tuple[Evaluation, ...]],
        unprocessed: Mapping[str, Evaluation],
        unique: Unique,
        refusals: Sequence[Refusal],
    ) -> tuple[Leaderboard, ...]:
        self._observe(Event("decide"))
        boards = []
        with self._busy.measured("decide"):
            for competition in self._plan.competitions:
                entries = evaluations[competition.id]
                champions = self._champions(competition, entries)
                at_block = self._plan.round.seed_block
                board = decide(
                    competition,
                    self._plan.round.id,
                    entries,
                    champions,
                    self._plan.ruleset,
                    unprocessed[competition.id],
                    floors=self._plan.floors,
                    at_block=at_block,
                    copies={e.submission.hotkey: unique.copies_of(e.submission) for e in entries},
                    refusals=[r for r in refusals if r.competition_id in (competition.id, None)],
                )
                after = champions_after(board, champions, at_block=at_block)
                shares: dict[str, float] = {}
                for standing in board.standings:
                    hotkey = standing.submission.hotkey
                    shares[hotkey] = shares.get(hotkey, 0.0) + standing.share
                facts = {
                    "champions": {metric: champion.facts() for metric, champion in after.items()},
                    "shares": shares,
                    "decisions": {d.metric: d.sentence for d in board.decisions},
                }
                recorded = self._step(f"decide:{competition.id}", lambda facts=facts: facts)  # type: ignore[misc]
                if recorded["shares"] != shares:
                    raise InfrastructureFault(
                        f"{competition.id} was decided otherwise before",
                        "The program has changed: start a new round.",
                    )
                boards.append(board)
        return tuple(boards)

    def _champions(self, competition: Competition, entries: Sequence[Evaluation]) -> dict[str, Champion]:
        """Who holds each metric's title: from the round before, else the incumbents."""
        found = self._chain.snapshot(self._plan.round.entries_close_block)
        uids = {neuron.hotkey: neuron.uid for neuron in found.neurons}
        rounds = self._state.rounds()
        before = rounds[: rounds.index(self._plan.round.id)]
        for round_id in reversed(before):
            facts = self._state.step_done(round_id, f"decide:{competition.id}")
            if facts is not None:
                champions = {m: Champion.from_facts(f, competition) for m, f in facts["champions"].items()}
                # A hotkey may have come back under another uid: the present one is paid.
                return {
                    m: replace(c, submission=replace(c.submission, uid=uids[c.submission.hotkey]))
                    for m, c in champions.items()
                    if c.submission.hotkey in uids
                }
        hotkey = self._plan.incumbents.get(competition.id)
        incumbent = next((e.submission for e in entries if e.submission.hotkey == hotkey), None)
        if incumbent is None:
            return {}
        return {m: Champion(incumbent, self._plan.floors[m], incumbent.block) for m in competition.metric_weights}

    def _set_weights(self, boards: Sequence[Leaderboard]) -> tuple[Weights, int | None]:
        self._observe(Event("weights"))
        weights = weights_of(boards, burn_uid=self._plan.burn_uid)

        def compute() -> dict[str, Any]:
            by_uid = {str(uid): weight for uid, weight in weights.by_uid.items()}
            if not weights.by_uid:
                return {"by_uid": by_uid, "block": None}
            hotkeys = {neuron.uid: neuron.hotkey for neuron in self._chain.snapshot().neurons}
            result = self._chain.set_weights(
                self._validator, {hotkeys[uid]: weight for uid, weight in weights.by_uid.items()}
            )
            if not result.ok:
                raise InfrastructureFault(
                    f"The chain refused the weights: {result.message or result.code}",
                    "See that the validator is registered and has a permit.",
                )
            return {"by_uid": by_uid, "block": result.block}

        return weights, self._step("weights", compute)["block"]


def _seen(futures: Sequence[Future[ClipEvidence]]) -> list[ClipEvidence]:
    """The evidence that could be taken; a clip that kills whoever looks at it leaves none."""
    found = []
    for future in futures:
        with suppress(WorkerDied):
            found.append(future.result())
    return found


def wait_for_all(futures: Sequence[Future[Evaluation]]) -> None:
    """Wait until all are done or one has failed; then raise its error."""
    pending = set(futures)
    while pending:
        # In slices, so that the main thread sees Ctrl-C.
        done, pending = wait(pending, timeout=0.2)
        for future in done:
            future.result()
