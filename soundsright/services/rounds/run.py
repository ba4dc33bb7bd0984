"""One round, from the close of entries to the weights: the only path, for a trial and for a validator.

Each step is recorded in the `StateStore` when it is done and is not done again: a process that was stopped anywhere
goes on where it was and reaches the same weights. The steps, in their order:

    seed          the seed block's hash
    entries       submissions and refusals, and whose each uid was when entries closed, since when
    fetch:ENTRY   content hash, or the refusal
    duplicates    which entries hold the same tensors, whose files could not be compared, and since when a hotkey
                  has held what its entry shares
    set:COMPETITION        the digest of the set
    enhanced:ENTRY:CLIP    a batch of clips, with their results in rows of their own
    set_aside:ENTRY        the refusal of an entry that could not be run while others could
    near_copies   which entries answer alike
    flags         signs that an entry was tuned to a measure
    decide:COMPETITION     winners and champions
    weights       what was set on the chain, in which block; without one where it is set after the round

What is cheap and pure (drawing, ranking) is done again after a restart and must come out as recorded. The steps are
in `round_fetch`, `round_evaluate` and `round_decide`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from soundsright.core.errors import EntryRefused, InfrastructureFault, SoundsRightError
from soundsright.core.ports import Chain, Clock, ModelHub, Pool, Runner, StateStore
from soundsright.core.results import Refusal
from soundsright.core.submission import Reveal, Submission
from soundsright.services.rounds.context import RoundContext
from soundsright.services.rounds.decide import decide_all, pay, signs_of_tuning, without_near_copies
from soundsright.services.rounds.evaluate import evaluate_all
from soundsright.services.rounds.fetch import fetch_all, without_copies
from soundsright.services.rounds.screening import screened
from soundsright.services.rounds.types import (
    Event,
    RoundOutcome,
    RoundPlan,
    check_same_plan,
    plan_facts,
    refusal_facts,
    submission_facts,
    submission_of,
)

_log = logging.getLogger(__name__)


class ProgramFault(InfrastructureFault):
    """An error of the program itself, which nobody foresaw: the cause is chained, its trace in the log."""


class RoundService:
    """Runs one round over the ports that it is given.

    `folder` takes the sets and the enhanced audio. `reveals` are what the miners told by hotkey, or
    why that is no reveal. `slots` models run at a time. `observe` is told of progress, from any thread.
    """

    def __init__(
        self,
        plan: RoundPlan,
        *,
        chain: Chain,
        hub: ModelHub,
        sandbox: Runner,
        state: StateStore,
        pool: Pool,
        clock: Clock,
        folder: Path,
        validator: str,
        reveals: Mapping[str, Reveal | EntryRefused],
        slots: int,
        workers: int,
        observe: Callable[[Event], None] = lambda _event: None,
    ) -> None:
        self._context = RoundContext(
            plan=plan,
            chain=chain,
            hub=hub,
            sandbox=sandbox,
            state=state,
            pool=pool,
            clock=clock,
            folder=folder,
            validator=validator,
            slots=slots,
            workers=workers,
            observe=observe,
        )
        self._reveals = reveals

    def cancel(self) -> None:
        """Stop as soon as may be: running models are ended, `run` raises `Cancelled`. Callable from any thread."""
        self._context.cancel()

    def run(self) -> RoundOutcome:
        """The round's outcome, from the first step that is not done.

        Raises:
            UsageError: the round was begun under another plan.
            InfrastructureFault: something failed for good, a `ProgramFault` in the program itself; running again
                goes on from there.
            Cancelled: `cancel` was called.
        """
        round_id = self._context.round_id
        try:
            return self._run()
        except SoundsRightError:
            raise
        except OSError as error:
            raise InfrastructureFault(
                f"Round {round_id} was stopped by the system ({error})",
                "See that its folder can be written and its disk has space, then run again: it goes on from there.",
            ) from error
        except Exception as error:
            _log.exception("round stopped", extra={"action": "round_stopped", "round": round_id})
            raise ProgramFault(
                f"Round {round_id} was stopped by an error of the program ({type(error).__name__}: {error})",
                "Run again: it goes on from there. If it comes back, report it with the trace in the log.",
            ) from error

    def _run(self) -> RoundOutcome:
        context = self._context
        facts = plan_facts(context.plan)
        check_same_plan(context.round_id, context.state.begin_round(context.round_id, facts), facts)
        block_hash = _seed(context)
        submissions, refused = _entries(context, self._reveals)
        fetched, not_fetched = fetch_all(context, submissions)
        unique = without_copies(context, fetched)
        found = evaluate_all(context, unique.kept, block_hash)
        unique, found = without_near_copies(context, unique, found)
        flagged = signs_of_tuning(context, found)
        copies = (copy.refusal() for copy in unique.duplicates)
        refusals = (*refused, *not_fetched, *found.refusals, *copies)
        boards = decide_all(context, found, unique, refusals)
        weights, weights_block = pay(context, boards)
        context.observe(Event("done"))
        return RoundOutcome(
            plan=context.plan,
            block_hash=block_hash,
            sets=found.sets,
            evaluations=found.evaluations,
            unprocessed=found.unprocessed,
            leaderboards=boards,
            refusals=refusals,
            fetched=unique.kept,
            suspected=unique.suspected,
            flags=flagged,
            weights=weights,
            weights_block=weights_block,
            busy_s=context.busy.seconds(),
        )


def _seed(context: RoundContext) -> str:
    context.observe(Event("seed"))

    def compute() -> dict[str, Any]:
        block = context.plan.round.seed_block
        if context.chain.finalized().number < block:
            raise InfrastructureFault(f"Block {block} is not final yet", "Start the round once it is.")
        return {"block": block, "hash": context.chain.block_hash(block)}

    return str(context.step("seed", compute)["hash"])


def _entries(
    context: RoundContext, reveals: Mapping[str, Reveal | EntryRefused]
) -> tuple[tuple[Submission, ...], tuple[Refusal, ...]]:
    context.observe(Event("screen"))
    plan = context.plan

    def compute() -> dict[str, Any]:
        # As of the closing block: what a miner commits later changes nothing, whenever a validator looks.
        found = context.chain.snapshot(plan.round.entries_close_block)
        result = screened(
            found.commitments,
            reveals,
            found.neurons,
            plan.competitions,
            entries_close_block=plan.round.entries_close_block,
            rules=plan.entry_rules,
        )
        return {
            "submissions": [submission_facts(s) for s in result.submissions],
            "refusals": [refusal_facts(r) for r in result.refusals],
            "neurons": {str(n.uid): [n.hotkey, n.registered_at] for n in found.neurons},
        }

    facts = context.step("entries", compute)
    by_id = {c.id: c for c in plan.competitions}
    return (
        tuple(submission_of(f, by_id) for f in facts["submissions"]),
        tuple(Refusal(**f) for f in facts["refusals"]),
    )
