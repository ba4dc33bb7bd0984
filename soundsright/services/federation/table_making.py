"""The state of a federation as one validator reads it: turns, ranks and latest tasks, for pages and commands.

The turns and ranks are the own reading of all buckets. The winners and weights are those that the validators state
on the chain, so they are some epochs older. Blocks are counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from soundsright.core.errors import InfrastructureFault
from soundsright.core.federation import Verdict
from soundsright.core.profiles import Profile
from soundsright.ranking import (
    FederationDecision,
    federation_decisions,
    own_turn_blocks,
    turn,
    window,
    winners_shares,
)
from soundsright.services.federation.allowlist import Allowlist
from soundsright.services.federation.bucket_reader import Absent, Unknown
from soundsright.services.federation.epoch_views import listed
from soundsright.services.federation.own_view import checked_epoch
from soundsright.services.federation.set_checks import NOT_DRAWN
from soundsright.services.federation.stated import RecordedPaid, Stated, hotkeys_of, stated_epoch
from soundsright.services.federation.verdict import TaskFacts
from soundsright.services.federation.verdict_reader import Found, ReadVerdict, Refused
from soundsright.services.federation.weights_context import FederationMemory, WeightsContext
from soundsright.services.records import (
    FederationTable,
    TableRank,
    TableRate,
    TableRow,
    TableTask,
    TableTurn,
    TurnState,
)

SHOWN_TASKS = 20
"""So many of the latest tasks have their rows in a table."""

Results = Mapping[tuple[int, str], ReadVerdict]


@dataclass(frozen=True)
class EpochReading:
    """Everything that was read of an epoch.

    `canonical` has of each task the verdict that counts, as it is read here. It is None for a task whose validator
    signed two verdicts.
    """

    epoch_block: int
    finalized: int
    allowlist: Allowlist
    facts: Mapping[int, TaskFacts]
    results: Results
    proofs: Mapping[int, Mapping[str, str]]
    canonical: Mapping[int, Found | None]


def reading_of(memory: FederationMemory, epoch: int, finalized: int) -> EpochReading:
    """Read all verdicts that can count in an epoch.

    Raises:
        InfrastructureFault: there is no list of validators, or the chain, the disk or the state fails.
    """
    allowlist = listed(memory, epoch)
    results = checked_epoch(memory, epoch, finalized)
    proofs = memory.proofs.within(memory.epoch_facts(epoch, allowlist).tasks)
    return EpochReading(
        epoch,
        finalized,
        allowlist,
        memory.tasks.lookback(epoch),
        results,
        proofs,
        canonical_verdicts(memory.tasks.orders(epoch), results, proofs),
    )


def canonical_verdicts(
    orders: Mapping[int, Sequence[str]], results: Results, proofs: Mapping[int, Mapping[str, str]]
) -> dict[int, Found | None]:
    """The first verdict of each task in the order of its turns; None if its validator signed two."""
    canonical: dict[int, Found | None] = {}
    for task in sorted({task for task, _ in results}):
        for validator in orders[task]:
            found = results.get((task, validator))
            if isinstance(found, Found):
                canonical[task] = None if validator in proofs.get(task, {}) else found
                break
    return canonical


def table_of(context: WeightsContext, memory: FederationMemory, reading: EpochReading) -> FederationTable:
    """The table of what was read.

    Raises:
        StateUnavailable: the state does not answer.
        UsageError: a record is damaged.
    """
    rules, allowlist = context.rules, reading.allowlist
    counting = window(reading.canonical, reading.epoch_block, rules)
    verdicts = [found.verdict for task in counting if (found := reading.canonical[task]) is not None]
    standing, problem = _standing(context, memory, reading, verdicts)
    decisions = federation_decisions(
        rules,
        context.organiser.ruleset,
        context.organiser.competitions,
        verdicts,
        standing,
        epoch_block=reading.epoch_block,
        floors=context.floors,
    )
    now = turn(reading.finalized, len(allowlist.validators), rules.interval_blocks, rules.grace_blocks)
    return FederationTable(
        block=reading.finalized,
        epoch_block=reading.epoch_block,
        interval=rules.interval_blocks,
        allowlist=allowlist.digest,
        rules=context.rules_digest,
        validators=allowlist.validators,
        turn=allowlist.validators[now.sampler],
        window=counting,
        turns=tuple(_turns(context, memory, reading)),
        ranks=tuple(row for decision in decisions.values() for row in _ranks(decision)),
        tasks=tuple(_task(found) for found in _latest(reading.canonical)),
        winners=standing,
        weights=winners_shares(rules, standing),
        problems=(*_problems(reading), *problem),
    )


def _standing(
    context: WeightsContext, memory: FederationMemory, reading: EpochReading, verdicts: Sequence[Verdict]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """The winners that are paid now, by competition, and a sentence if they are not known here.

    Raises:
        StateUnavailable: the state does not answer.
        UsageError: a record is damaged.
    """
    epoch = stated_epoch(reading.finalized, context.rules)
    if context.rules.profile is not Profile.SOUNDSRIGHT:
        last = memory.winners.last()
        return ({} if last is None else dict(last.incumbents)), ()
    if epoch is None:
        return {}, ()
    try:
        marks = Stated(context.chain, context.rules, memory, RecordedPaid(context.records)).marks(epoch)
    except InfrastructureFault as fault:
        return {}, (f"The winners that are paid now are not known here: {fault}"[:400],)
    return hotkeys_of(marks, {row.hotkey for verdict in verdicts for row in verdict.rows}), ()


def _turns(context: WeightsContext, memory: FederationMemory, reading: EpochReading) -> Iterator[TableTurn]:
    """The turns that were due. A backup's was not, if an earlier validator shows a verdict."""
    rules = context.rules
    for task, facts in reading.facts.items():
        for step, validator in enumerate(memory.tasks.turns(facts)):
            result = reading.results[task, validator]
            state, note = _state(result, step, is_double=validator in reading.proofs.get(task, {}))
            number = facts.validators.index(validator)
            blocks = own_turn_blocks(task, number, len(facts.validators), rules.interval_blocks, rules.grace_blocks)
            if state is not TurnState.MISSING or reading.finalized >= blocks.stop:
                yield TableTurn(task=task, validator=validator, state=state, note=note)
            if isinstance(result, Found):
                break


def _state(result: ReadVerdict, step: int, *, is_double: bool) -> tuple[TurnState, str]:
    if is_double:
        return TurnState.TWO_VERDICTS, ""
    if isinstance(result, Absent):
        return TurnState.MISSING, ""
    if isinstance(result, Unknown):
        return TurnState.UNREAD, result.reason
    if isinstance(result, Refused):
        return TurnState.REJECTED, result.sentence[:200]
    return (TurnState.BACKUP if step else TurnState.ON_TIME), ""


def _ranks(decision: FederationDecision) -> Iterator[TableRank]:
    for rank, row in enumerate(decision.rows, start=1):
        yield TableRank(
            competition=decision.competition,
            rank=rank if row.eligible and row.beats_unprocessed else None,
            hotkey=row.entrant.hotkey,
            uid=row.entrant.uid,
            block=row.entrant.block,
            score=row.score,
            is_eligible=row.eligible,
            rates={
                validator: TableRate(passed=passed, tasks=judged)
                for validator, (passed, judged) in row.by_validator.items()
                if judged
            },
            note="" if row.beats_unprocessed else "not above the unprocessed input",
        )


def _latest(canonical: Mapping[int, Found | None]) -> Sequence[Found]:
    return [found for task in sorted(canonical)[-SHOWN_TASKS:] if (found := canonical[task]) is not None]


def _task(found: Found) -> TableTask:
    verdict: Verdict = found.verdict
    return TableTask(
        task=verdict.task,
        validator=verdict.validator,
        block=verdict.block,
        block_hash=verdict.block_hash,
        digest=found.digest,
        unprocessed=verdict.unprocessed,
        rows=tuple(
            TableRow(
                competition=row.competition,
                hotkey=row.hotkey,
                model=str(row.model)[:200],
                passed=row.passed,
                failures=row.failures,
                means=row.means,
            )
            for row in verdict.rows
        ),
    )


def _problems(reading: EpochReading) -> tuple[str, ...]:
    """A sentence for each validator of whom something is unknown, or whose sets are wrong."""
    unread: dict[str, str] = {}
    for (task, validator), result in sorted(reading.results.items()):
        if result is NOT_DRAWN:
            unread.setdefault("", "The sets of some tasks are not drawn yet here, so their verdicts do not count.")
        elif isinstance(result, Unknown):
            unread.setdefault(validator, f"The bucket of {validator} was not read: {result.reason}."[:200])
        elif isinstance(result, Refused) and result.code == "wrong_set":
            sentence = (
                f"Validator {validator} judged task {task} on other clips than its seed gives, so the verdict"
            )
            unread.setdefault(f"{validator} {result.code}", f"{sentence} does not count here.")
    return tuple(list(unread.values())[:100])
