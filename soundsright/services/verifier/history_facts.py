"""A verifier's past as plain values and sentences, for the terminal, the pages and the files beside them.

Rates are fractions, times in seconds, agreements in dB. Each row of a list has the same names in the same order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from soundsright.core.tiers import AttemptResult
from soundsright.ranking import move_sentence, result_sentence
from soundsright.services.verifier.history import LadderRow, PastInterval, PastMove, TiersHistory
from soundsright.services.verifier.verifier_steps import CountedAttempt

_SIGNED_ROUNDING = 6


def attempt_sentence(counted: CountedAttempt, failure: Mapping[str, Any] | None = None) -> str:
    """The reason of an attempt's result, with what was measured. `failure` is its evidence, if it failed."""
    attempt, facts = counted.attempt, failure or {}
    sentence = result_sentence(attempt.result)
    if attempt.result in (AttemptResult.SIMILAR, AttemptResult.DIFFERENT) and attempt.agreement_db is not None:
        sentence += f" They agree by {attempt.agreement_db:.1f} dB"
        needed_db = facts.get("threshold_db")
        return sentence + ("." if needed_db is None else f", and {counted.tier} needs {needed_db:g} dB.")
    if attempt.result is AttemptResult.STATUS and facts.get("status") is not None:
        return f"{sentence} It was {facts['status']}."
    if attempt.result is AttemptResult.GAIN and facts.get("gain_db") is not None:
        return f"{sentence} The difference is {facts['gain_db']:+.1f} dB."
    if attempt.result is AttemptResult.SILENT and facts.get("code"):
        return f"{sentence} ({str(facts['code']).replace('_', ' ')})"
    return sentence


def decision_sentence(history: TiersHistory, move: PastMove) -> str:
    """What an interval meant for a prover, in words."""
    return move_sentence(history.rules, move.before, move.after, move.reason, move.counts)


def state_sentence(row: LadderRow) -> str:
    """Why a prover is not asked; empty if it is, or if nothing is known against it."""
    return "" if row.bank is None or not row.bank.code else f"{row.bank.sentence}."


def row_facts(row: LadderRow) -> dict[str, Any]:
    """A row of the ladder."""
    bank, last = row.bank, row.last
    return {
        "hotkey": row.hotkey,
        "uid": row.standing.uid,
        "tier": row.standing.tier,
        "peak": row.standing.peak,
        "competition": "" if bank is None else bank.competition,
        "model": "" if bank is None else bank.model,
        "rate": row.since_move.rate if row.since_move.attempts else None,
        "rate_low": row.since_move.low,
        "attempts": row.since_move.attempts,
        "successes": row.since_move.successes,
        "interval_attempts": row.in_interval.attempts,
        "interval_successes": row.in_interval.successes,
        "total_successes": row.standing.total_successes + row.in_interval.successes,
        "requests_left": row.requests_left,
        "requests_left_is_exact": row.is_exact,
        "moves": row.moves,
        "score": row.standing.score,
        "weight": row.weight,
        "streams": None if bank is None or not bank.hotkey else bank.lookahead_ms is not None,
        "lookahead_ms": None if bank is None else bank.lookahead_ms,
        "last_result": None if last is None else last.attempt.result.value,
        "last_at_s": None if last is None else last.at_s,
        "state": "" if bank is None else bank.code,
    }


def ladder_facts(history: TiersHistory) -> dict[str, Any]:
    """The ladder with the rules and the interval in which it stands."""
    opened = history.intervals[-1].opened if history.intervals else None
    return {
        "schema": "soundsright.tiers-ladder/1",
        "interval": history.interval,
        "block": None if opened is None else opened.block,
        "end_block": None if opened is None else opened.end_block,
        "program": history.program,
        "profile": history.rules.profile.value,
        "rules_sha256": history.rules.digest,
        "provers": [row_facts(row) for row in history.rows],
    }


def attempt_facts(history: TiersHistory, counted: CountedAttempt) -> dict[str, Any]:
    """An attempt with its reason and its reward."""
    attempt = counted.attempt
    failure = history.failure(attempt.interval, attempt.hotkey, attempt.number)
    return {
        "interval": attempt.interval,
        "number": attempt.number,
        "at_s": counted.at_s,
        "kind": attempt.kind.value,
        "tier": counted.tier,
        "result": attempt.result.value,
        "passed": attempt.result.passed,
        "agreement_db": attempt.agreement_db,
        "threshold_db": None if failure is None else failure.get("threshold_db"),
        "time_s": attempt.time_s,
        "queued_s": attempt.queued_s,
        "busy_s": attempt.busy_s,
        "reward": round(counted.reward, _SIGNED_ROUNDING),
        "score": round(counted.score, _SIGNED_ROUNDING),
        "expected_sha256": attempt.expected_sha256,
        "answer_sha256": attempt.answer_sha256,
        "reason": attempt_sentence(counted, failure),
    }


def prover_facts(history: TiersHistory, row: LadderRow) -> dict[str, Any]:
    """Everything about a prover: its row, its moves, the shown intervals, and every attempt in them."""
    return {
        "schema": "soundsright.tiers-prover/1",
        **row_facts(row),
        "moves": [
            {
                "interval": move.interval,
                "before": move.before,
                "after": move.after,
                "reason": move.reason.value,
                "sentence": decision_sentence(history, move),
            }
            for move in history.moves.get(row.hotkey, ())
        ],
        "intervals": [_interval_facts(history, row.hotkey, past) for past in history.intervals],
        "attempts": [_with_evidence(history, each) for each in history.attempts_of(row.hotkey)],
    }


def bank_facts(history: TiersHistory) -> list[dict[str, Any]]:
    """The commitments to the banks, oldest first, with the seeds of those intervals that are over."""
    return [
        {"interval": each.interval, "sha256": each.sha256, "seed": each.seed or None, "opens": each.opens}
        for each in history.seeds.values()
    ]


def _interval_facts(history: TiersHistory, hotkey: str, past: PastInterval) -> dict[str, Any]:
    results = [each.attempt.result for each in past.attempts if each.attempt.hotkey == hotkey]
    decided, bank, seed = past.decided.get(hotkey), past.banks.get(hotkey), history.seeds.get(past.number)
    set_seed = None if seed is None or bank is None else seed.set_seed(bank.competition, hotkey)
    return {
        "interval": past.number,
        "is_closed": past.is_closed,
        "hash": results.count(AttemptResult.HASH),
        "similar": results.count(AttemptResult.SIMILAR),
        "failed": sum(not result.passed for result in results),
        "decision": None if decided is None else decision_sentence(history, decided),
        "repeat_db": None if bank is None else bank.repeat_db,
        # The digests of the own answers could be compared with answers that are still to come.
        "set_seed": set_seed,
        "own_answers": {} if set_seed is None or bank is None else dict(bank.answers),
    }


def _with_evidence(history: TiersHistory, counted: CountedAttempt) -> dict[str, Any]:
    attempt = counted.attempt
    failure = history.failure(attempt.interval, attempt.hotkey, attempt.number)
    return {**attempt_facts(history, counted), "signed": None if failure is None else failure.get("signed")}
