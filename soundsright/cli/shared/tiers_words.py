"""The ladder of served models and a prover's attempts as lines for the terminal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soundsright.services.verifier import LadderRow, TiersHistory


def version_sentence(program: str, own: str) -> str:
    """Whether the verifier runs another version than this program; empty if it does not, or nothing is known.

    >>> version_sentence("1.2.0", "1.3.0")
    'The verifier ran SoundsRight 1.2.0 when it opened this interval, and this is 1.3.0. Neither updates itself.'
    """
    if program in ("", own):
        return ""
    ran = f"The verifier ran SoundsRight {program} when it opened this interval"
    return f"{ran}, and this is {own}. Neither updates itself."


def status_lines(history: TiersHistory, own: str) -> Iterator[str]:
    """The interval and the ladder. `own` is the version of this program."""
    past = history.intervals[-1] if history.intervals else None
    if past is None or past.opened is None:
        yield "No interval yet: the verifier has not begun."
    else:
        state = "closed" if past.is_closed else "open"
        blocks = f"blocks {past.opened.block} to {past.opened.end_block - 1}"
        yield f"Interval {past.number}, {blocks}, {state}; profile {history.rules.profile.value}"
    if sentence := version_sentence(history.program, own):
        yield f"Note: {sentence}"
    if history.rows:
        yield (
            f"{'prover':<14}  {'tier':<11}  {'competition':<24}  {'rate':>6}  {'bound':>6}  {'attempts':>8}  "
            f"{'left':>7}  {'moves':>5}  {'score':>7}  {'weight':>7}  last check"
        )
    for row in history.rows:
        yield _row_line(row)
    if history.rows and not all(row.is_exact for row in history.rows):
        yield "<: at most. Listeners' requests are in Redis: give DATABASE_PASSWORD or REDIS_URL to count them."


def _row_line(row: LadderRow) -> str:
    from soundsright.services.verifier import state_sentence

    known = row.since_move.attempts > 0
    rate, bound = (f"{row.since_move.rate:.1%}", f"{row.since_move.low:.1%}") if known else ("-", "-")
    left = f"{'' if row.is_exact else '<'}{row.requests_left}"
    last = "-" if row.last is None else f"{row.last.attempt.result.value}, {_time_of(row.last.at_s)}"
    competition = "-" if row.bank is None else row.bank.competition or "-"
    hotkey = row.hotkey if len(row.hotkey) <= 14 else f"{row.hotkey[:13]}…"
    return (
        f"{hotkey:<14}  {row.standing.tier:<11}  {competition:<24}  {rate:>6}  {bound:>6}  "
        f"{row.since_move.attempts:>8}  {left:>7}  {row.moves:>5}  {row.standing.score:>7.4f}  {row.weight:>7.2%}  "
        f"{state_sentence(row) or last}"
    )


def explanation_lines(history: TiersHistory, row: LadderRow) -> Iterator[str]:
    """A prover's place, what each interval decided, and every attempt with its reason."""
    from soundsright.services.verifier import attempt_sentence, decision_sentence, state_sentence

    tier = history.rules.tier(row.standing.tier)
    peak = f", peak {row.standing.peak}" if row.standing.peak else ""
    yield f"{row.hotkey}: {row.standing.tier}{peak}"
    if row.since_move.attempts:
        yield (
            f"{row.since_move.successes} of {row.since_move.attempts} answers passed since its last move, which"
            f" shows at least {row.since_move.low:.1%}; {row.standing.tier} needs {tier.rate:.0%}"
        )
    yield f"score {row.standing.score:.4f}, {row.weight:.2%} of what tiers pay; {row.requests_left} requests left"
    if state := state_sentence(row):
        yield f"It is not asked: {state}"
    attempts = history.attempts_of(row.hotkey)
    for past in history.intervals:
        own = [each for each in attempts if each.attempt.interval == past.number]
        decided = past.decided.get(row.hotkey)
        if not own and decided is None:
            continue
        yield ""
        yield f"Interval {past.number}: {decision_sentence(history, decided) if decided else 'still open'}"
        for each in own:
            attempt = each.attempt
            failure = history.failure(past.number, row.hotkey, attempt.number)
            yield (
                f"  {attempt.number:>4}  {_time_of(each.at_s)}  {attempt.kind.value:<9}  "
                f"{attempt.result.value:<9}  {attempt.time_s:>6.2f} s  {each.reward:>+7.3f}  "
                f"{attempt_sentence(each, failure)}"
            )
    if not attempts:
        yield "It was not asked in the intervals that are recorded."


def _time_of(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M")
