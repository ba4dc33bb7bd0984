"""The end of an interval: the counters are archived, and each prover moves by the archive alone.

Blocks are counted. Archiving and zeroing are one write. Everything else follows from the archive and from recorded
steps, and is written under keys of the interval. So a verifier that is killed anywhere closes again and decides the
same. A prover without a bank was asked nothing, and keeps its tier. If it is to blame for that, its score decays.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from soundsright.core.ports import StateStore
from soundsright.core.tiers import INTERVALS_STREAM, MOVES_STREAM, AttemptKind, CountName, Standing, stats_scope
from soundsright.ranking import AttemptCounts, TierMove, after_interval, base_reward, score_after
from soundsright.services.rounds import steps
from soundsright.services.verifier.bank import interval_seed, open_bank
from soundsright.services.verifier.context import VerifierContext
from soundsright.services.verifier.ladder import Ladder, ladder_after, last_ladder
from soundsright.services.verifier.verifier_steps import (
    CLOSED,
    AskedStep,
    BankStep,
    ClosedStep,
    round_of,
)

KEPT_INTERVALS = 100
"""The number of intervals whose counts are kept. The records of moves stay."""

_log = logging.getLogger(__name__)


def recorded_steps(state: StateStore, interval: int) -> dict[int, AskedStep]:
    """The steps of an interval by number, in their order.

    Raises:
        UsageError: a record is damaged.
        StateUnavailable: the state does not answer.
    """
    by_step: dict[int, AskedStep] = {}
    for name, facts in state.steps(round_of(interval)).items():
        kind, _, number = name.partition(":")
        if kind == "step":
            by_step[int(number)] = AskedStep.from_facts(facts, source=f"Interval {interval}, {name}")
    return dict(sorted(by_step.items()))


def interval_counts(archived: Mapping[str, int]) -> AttemptCounts:
    """The attempts and successes of an interval, of both kinds."""
    return AttemptCounts(
        archived.get(CountName.CHALLENGE_ATTEMPTS, 0) + archived.get(CountName.INFERENCE_ATTEMPTS, 0),
        archived.get(CountName.TOTAL_INTERVAL_SUCCESSES, 0),
    )


def recorded_banks(state: StateStore, interval: int) -> dict[str, BankStep]:
    """What is recorded of the banks of an interval, by hotkey. Old records without one are left out.

    Raises:
        UsageError: a record is damaged.
        StateUnavailable: the state does not answer.
    """
    banks = [
        BankStep.from_facts(facts, source=f"Interval {interval}, {name}")
        for name, facts in state.steps(round_of(interval)).items()
        if name.startswith("bank:")
    ]
    return {bank.hotkey: bank for bank in banks if bank.hotkey}


def close_interval(
    context: VerifierContext,
    interval: int,
    end_block: int,
    registered: Collection[str],
    to_blame: Collection[str] = (),
) -> Ladder:
    """Close an interval whose attempts are all counted, and return the ladder after it. A repeat changes nothing.

    A prover that is not `registered` any more is left out, and begins again in the lowest tier. Those `to_blame`
    could not be asked by their own doing, beside those whose recorded bank says so.

    Raises:
        StateUnavailable: counters, records or state do not answer. Call it again.
        UsageError: a record is damaged.
    """
    archive = context.counters.close_interval(f"tiers:{interval}", keep=(CountName.TOTAL_SUCCESSES.value,))
    done = context.records.latest(INTERVALS_STREAM, str(interval))
    if done is None:
        before, banks = last_ladder(context.records), recorded_banks(context.state, interval)
        for hotkey, bank in banks.items():
            before.take_over(hotkey, bank.content_hash)
        attempts = [each for step in recorded_steps(context.state, interval).values() for each in step.attempts]
        before.add(attempts)
        asked = Counter(each.attempt.hotkey for each in attempts)
        blamed = {hotkey for hotkey, bank in banks.items() if bank.code} | set(to_blame)
        for hotkey in blamed & before.standings.keys():
            standing = before.standings[hotkey]
            before.standings[hotkey] = _decayed(context, standing, context.rules.bank_clips - asked[hotkey])
        decided = {
            hotkey: after_interval(
                context.rules, standing, interval_counts(archive.get(stats_scope(hotkey), {})), end_block
            )
            for hotkey, standing in sorted(before.standings.items())
            if hotkey in asked
        }
        _record_moves(context, interval, end_block, before, decided)
        standings = {**before.standings, **{hotkey: standing for hotkey, (standing, _) in decided.items()}}
        # A prover without a bank by a fault of this machine stays as it was.
        still = before.to_blame - banks.keys()
        facts = {
            "interval": interval,
            "end_block": end_block,
            "contents": {h: before.contents[h] for h in sorted(before.contents) if h in registered},
            "to_blame": sorted((blamed | still) & set(registered)),
            "standings": [standings[h].facts() for h in sorted(standings) if h in registered],
            "moves": {h: _move_facts(before.standings[h], move) for h, (_, move) in decided.items()},
        }
        done = context.records.append(INTERVALS_STREAM, str(interval), facts)
    open_bank(context.records, interval, interval_seed(context.state, interval))
    steps.write(context.state, round_of(interval), CLOSED, ClosedStep(end_block))
    context.counters.forget_intervals(keep=KEPT_INTERVALS)
    return ladder_after(done)


def _decayed(context: VerifierContext, standing: Standing, failures: int) -> Standing:
    """The standing of a prover that could not be asked, as if it had failed so many questions."""
    score = standing.score
    for _ in range(failures):
        reward = base_reward(context.rules, standing.tier, AttemptKind.CHALLENGE, False)
        score = score_after(context.rules, score, reward)
    return replace(standing, score=score)


def _move_facts(before: Standing, move: TierMove) -> list[Any]:
    return [before.tier, move.tier, move.reason.value, move.counts.attempts, move.counts.successes]


def _record_moves(
    context: VerifierContext,
    interval: int,
    end_block: int,
    before: Ladder,
    decided: Mapping[str, tuple[Standing, TierMove]],
) -> None:
    for hotkey, (standing, move) in decided.items():
        old = before.standings[hotkey]
        if move.tier == old.tier:
            continue
        facts = {
            "interval": interval,
            "hotkey": hotkey,
            "before": old.tier,
            "after": move.tier,
            "reason": move.reason.value,
            "attempts": move.counts.attempts,
            "successes": move.counts.successes,
            "peak": standing.peak,
            "block": end_block,
        }
        context.records.append(MOVES_STREAM, f"{interval}:{hotkey}", facts)
        _log.info("%s: %s to %s", hotkey, old.tier, move.tier, extra={"action": "tier_move", **facts})
