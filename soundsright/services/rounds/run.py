"""One round, from the close of entries to the weights. Trial rounds and validators use the same code.

Each step is recorded in the `StateStore` when it is done, and is not done again. A process that is stopped anywhere
continues from there and reaches the same weights. The steps in their order (`steps.py` has their records):

    settings      the rules, the first champions, the uid that burns, and the decisions on held entries
    seed          the hash of the seed block
    corpus        the digest of the recordings, and the competitions that pay nobody because of them
    entries       submissions and refusals, and the registrations when entries closed
    fetch:ENTRY   the content hash, or the refusal
    duplicates    the entries with the same tensors, the files that could not be compared, and the block since which
                  a hotkey has had the parts that its entry shares with others
    set:COMPETITION        the digest of the set
    enhanced:ENTRY:CLIP    one batch of clips; their results are separate rows
    look:COMPETITION:N     the entries that can win no metric after the first stages of a set, and the evidence
    set_aside:ENTRY        the refusal of an entry that could not be run while others could
    near_copies   the entries with the same enhanced audio
    flags         signs that an entry was tuned to a metric
    apart:COMPETITION      the entries that are ranked apart, if the rules have such entries
    decide:COMPETITION     winners and champions
    weights       the weights, and the block in which they were set; no block if they are set after the round

Cheap and pure work (drawing clips, ranking) is done again after a restart and must give what is recorded.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from soundsright.copies import Unique
from soundsright.core.errors import EntryRefused, InfrastructureFault, SoundsRightError
from soundsright.core.results import Evaluation, Refusal
from soundsright.core.submission import FetchedModel, Reveal, Submission
from soundsright.services.rounds import steps
from soundsright.services.rounds.context import RoundContext
from soundsright.services.rounds.corpus_check import checked_corpus, public_competitions
from soundsright.services.rounds.decision import decide_all, pay, signs_of_tuning, without_near_copies
from soundsright.services.rounds.faults import ProgramFault
from soundsright.services.rounds.fetch_models import fetch_all, unread_files, without_copies
from soundsright.services.rounds.opening import material_digest
from soundsright.services.rounds.outcome import RoundOutcome
from soundsright.services.rounds.plan import check_same_plan, facts_as_begun, plan_facts
from soundsright.services.rounds.progress import Event
from soundsright.services.rounds.rulers import reasons_to_run_whole
from soundsright.services.rounds.run_models import EvaluatedEntries, evaluate_all
from soundsright.services.rounds.screening import screened

_log = logging.getLogger(__name__)


class RoundService:
    """Runs one round. `reveals` has each miner's reveal by hotkey, or the refusal of a reveal that is not valid."""

    def __init__(self, context: RoundContext, reveals: Mapping[str, Reveal | EntryRefused]) -> None:
        self._context = context
        self._reveals = reveals

    def cancel(self) -> None:
        """Stop as soon as possible: running models end, and `run` raises `Cancelled`. Any thread may call it."""
        self._context.cancel()

    def run(self) -> RoundOutcome:
        """The outcome of the round. Steps that are already recorded are not done again.

        Raises:
            UsageError: the round began under another plan, or a newer program recorded its steps.
            InfrastructureFault: something failed permanently; `ProgramFault` if it was the program itself. Run the
                round again to continue.
            Cancelled: `cancel` was called.
        """
        round_id = self._context.round_id
        try:
            return self._run()
        except SoundsRightError:
            raise
        except OSError as error:
            raise InfrastructureFault(
                f"The operating system stopped round {round_id} ({error})",
                "Check that the round's folder is writable and its disk has space, then run again to continue.",
            ) from error
        except Exception as error:
            _log.exception("round stopped", extra={"action": "round_stopped", "round": round_id})
            raise ProgramFault(
                f"An error of the program stopped round {round_id} ({type(error).__name__}: {error})",
                "Run again to continue. If the error comes back, report it with the traceback in the log.",
            ) from error

    def _run(self) -> RoundOutcome:
        self._context = begun(self._context)
        return run_steps(self._context, self._reveals)


def begun(context: RoundContext) -> RoundContext:
    """Begin the round of this plan, or continue it. Returns it under the settings that it began with.

    Raises:
        UsageError: the round began under another plan.
        StateUnavailable: the state does not answer.
    """
    recorded = context.state.begin_round(context.round_id, plan_facts(context.plan))
    check_same_plan(context.round_id, recorded, facts_as_begun(context.plan, recorded))
    return _settled(replace(context, plan=context.plan.as_begun(recorded)))


class Evaluate(Protocol):
    """Gives the results of all models: `evaluate_all` runs them, and a replay has them recorded."""

    def __call__(
        self,
        context: RoundContext,
        models: Sequence[FetchedModel],
        block_hash: str,
        *,
        whole: Mapping[str, str] | None = None,
    ) -> EvaluatedEntries: ...


def run_steps(
    context: RoundContext, reveals: Mapping[str, Reveal | EntryRefused], evaluate: Evaluate = evaluate_all
) -> RoundOutcome:
    """All steps of a begun round, and what follows from them.

    Raises:
        InfrastructureFault: something failed permanently.
        Cancelled: the round was stopped.
    """
    block_hash = seed_hash(context)
    corpus = _corpus(context)
    judged = judged_entries(context, reveals, block_hash, evaluate)
    unique, evaluated, refusals = judged.unique, judged.evaluated, judged.refusals
    flagged = signs_of_tuning(context, evaluated)
    boards = decide_all(context, evaluated, unique, refusals)
    weights, weights_block = pay(context, boards, unpaid=corpus.unpaid)
    context.observe(Event("done"))
    return RoundOutcome(
        plan=context.plan,
        block_hash=block_hash,
        sets=evaluated.sets,
        evaluations=evaluated.evaluations,
        unprocessed=evaluated.unprocessed,
        leaderboards=boards,
        refusals=refusals,
        fetched=unique.kept,
        suspected=unique.suspected,
        flags=flagged,
        weights=weights,
        weights_block=weights_block,
        busy_s=context.busy.seconds(),
        corpus=corpus,
        unread=unread_files(context),
        copied=judged.copied,
    )


@dataclass(frozen=True)
class JudgedEntries:
    """The entries of a round and their results, before anything is decided.

    `unique` has the models that stay, `refusals` all others. `copied` are the evaluations of the near copies that
    were refused, by competition id.
    """

    unique: Unique
    evaluated: EvaluatedEntries
    refusals: tuple[Refusal, ...]
    copied: Mapping[str, tuple[Evaluation, ...]]


def judged_entries(
    context: RoundContext,
    reveals: Mapping[str, Reveal | EntryRefused],
    block_hash: str,
    evaluate: Evaluate = evaluate_all,
) -> JudgedEntries:
    """Admit the entries of a begun round, fetch them, refuse copies, and run the others.

    `block_hash` decides the seeds of the sets: see `seed_of_round`.

    Raises:
        InfrastructureFault: something failed permanently.
        Cancelled: the round was stopped.
    """
    submissions, refused = _entries(context, reveals)
    fetched, not_fetched = fetch_all(context, submissions)
    unique = without_copies(context, fetched)
    evaluated = evaluate(context, unique.kept, block_hash, whole=reasons_to_run_whole(context, unique))
    ran = evaluated.evaluations
    unique, evaluated = without_near_copies(context, unique, evaluated)
    copies = (copy.refusal() for copy in unique.duplicates)
    return JudgedEntries(
        unique,
        evaluated,
        (*refused, *not_fetched, *evaluated.refusals, *copies),
        {c: tuple(e for e in own if e not in evaluated.evaluations[c]) for c, own in ran.items()},
    )


def _settled(context: RoundContext) -> RoundContext:
    """The round under the settings that it recorded first."""
    record = context.step(steps.SETTINGS, lambda: steps.SettingsStep.of_plan(context.plan))
    return replace(context, plan=record.applied_to(context.plan))


def seed_hash(context: RoundContext) -> str:
    """The hash of the seed block.

    Raises:
        InfrastructureFault: the block is not final yet, or the chain does not answer.
    """
    context.observe(Event("seed"))

    def compute() -> steps.SeedStep:
        block = context.plan.round.seed_block
        if context.chain.finalized().number < block:
            raise InfrastructureFault(f"Block {block} is not final yet", "Start the round when it is.")
        return steps.SeedStep(block, context.chain.block_hash(block))

    return context.step(steps.SEED, compute).hash


def _corpus(context: RoundContext) -> steps.CorpusStep:
    """The corpus of the round, and the competitions that pay nobody because of it."""
    plan = context.plan

    def compute() -> steps.CorpusStep:
        closed = context.chain.snapshot(plan.round.entries_close_block)
        return checked_corpus(plan, closed, context.validator)

    if steps.read(context.state, context.round_id, steps.ENTRIES) is not None:
        # If it has no such step, an earlier version began this round, which paid on any corpus.
        return steps.read(context.state, context.round_id, steps.CORPUS) or steps.CorpusStep(
            material_digest(plan.measures.material),
            public_competitions(plan.measures.material, plan.rules.competitions),
        )
    return context.step(steps.CORPUS, compute)


def _entries(
    context: RoundContext, reveals: Mapping[str, Reveal | EntryRefused]
) -> tuple[tuple[Submission, ...], tuple[Refusal, ...]]:
    """The submissions, and the refusals of all other commitments."""
    context.observe(Event("screen"))
    plan = context.plan

    def compute() -> steps.EntriesStep:
        # Read the closing block, so that later commitments change nothing, whenever a validator reads.
        closed = context.chain.snapshot(plan.round.entries_close_block)
        result = screened(
            closed.commitments,
            reveals,
            closed.neurons,
            plan.rules.competitions,
            entries_close_block=plan.round.entries_close_block,
            rules=plan.rules.entry_rules,
        )
        return steps.EntriesStep(
            tuple(steps.RecordedEntry.of_submission(submission) for submission in result.submissions),
            result.refusals,
            tuple(steps.RecordedNeuron(n.uid, n.hotkey, n.registered_at) for n in closed.neurons),
        )

    record = context.step(steps.ENTRIES, compute)
    by_id = {competition.id: competition for competition in plan.rules.competitions}
    return tuple(entry.submission(by_id) for entry in record.submissions), record.refusals
