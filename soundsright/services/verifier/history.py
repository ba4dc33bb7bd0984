"""The past of a verifier as its database has it, for the pages and the terminal. It writes nothing.

Blocks are counted, times are in seconds. A seed is shown when its interval is over, with the digest that was
recorded before. The last intervals are read whole, back to `MAX_INTERVALS` or `MAX_ATTEMPTS`. Closed ones are read
once.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from soundsright.core.errors import UsageError
from soundsright.core.ports import Counters, Records, StateStore
from soundsright.core.ports.tables import MAX_ROWS
from soundsright.core.tiers import BANKS_STREAM, INTERVALS_STREAM, MOVES_STREAM, CountName, Standing, stats_scope
from soundsright.core.tiers_rules import TiersRules, recorded_tiers_rules, tier_index
from soundsright.ranking import AttemptCounts, MoveReason, score_weights
from soundsright.services.verifier.bank import set_seed
from soundsright.services.verifier.ladder import Ladder, ladder_after
from soundsright.services.verifier.verifier_steps import (
    CLOSED,
    OPENED,
    AskedStep,
    BankStep,
    CountedAttempt,
    OpenedStep,
    round_of,
)

MAX_INTERVALS = 60
MAX_ATTEMPTS = 100_000
MAX_MOVES = 50
"""The number of a prover's last moves that are kept."""


@dataclass(frozen=True)
class PastMove:
    """What an interval meant for a prover: the tier before and after, the reason, and the attempts that decided."""

    interval: int
    before: str
    after: str
    reason: MoveReason
    counts: AttemptCounts


@dataclass(frozen=True)
class BankSeed:
    """The seed of an interval's banks. `sha256` was recorded before it; `seed` is empty until it is over."""

    interval: int
    sha256: str
    seed: str = ""

    @property
    def opens(self) -> bool | None:
        """Whether the published seed has the recorded digest; None without a seed."""
        return hashlib.sha256(bytes.fromhex(self.seed)).hexdigest() == self.sha256 if self.seed else None

    def set_seed(self, competition: str, hotkey: str) -> int | None:
        """The seed of a prover's clips, from which anybody can draw them; None until the interval is over."""
        return set_seed(bytes.fromhex(self.seed), competition, hotkey) if self.opens else None


@dataclass(frozen=True)
class PastInterval:
    """An interval: its attempts in order, the evidence of failures by hotkey and number, and the banks by hotkey.

    `decided` has the decision about each prover, and is empty until the interval is closed.
    """

    number: int
    opened: OpenedStep | None
    is_closed: bool
    attempts: tuple[CountedAttempt, ...]
    failures: Mapping[tuple[str, int], Mapping[str, Any]]
    banks: Mapping[str, BankStep]
    decided: Mapping[str, PastMove]


@dataclass(frozen=True)
class LadderRow:
    """A prover now. `since_move` and `in_interval` are its attempts since its last move, and in this interval.

    `weight` is its part of what tiers pay. `requests_left` is exact only if the counters have the attempts of this
    interval; otherwise it is the most that can be left. `bank` is its last bank, and None if none is recorded.
    """

    standing: Standing
    since_move: AttemptCounts
    in_interval: AttemptCounts
    requests_left: int
    is_exact: bool
    weight: float
    bank: BankStep | None
    last: CountedAttempt | None
    moves: int

    @property
    def hotkey(self) -> str:
        return self.standing.hotkey


@dataclass(frozen=True)
class TiersHistory:
    """The ladder, best first, and the intervals that are shown, oldest first. `program` is the verifier's version.

    `stamp` differs when anything does.
    """

    rules: TiersRules
    program: str
    interval: int
    rows: tuple[LadderRow, ...]
    intervals: tuple[PastInterval, ...]
    moves: Mapping[str, tuple[PastMove, ...]]
    seeds: Mapping[int, BankSeed]
    stamp: tuple[object, ...] = field(default=(), compare=False)

    def row(self, hotkey: str) -> LadderRow | None:
        """The prover with that hotkey."""
        return self._rows_by_hotkey.get(hotkey)

    def attempts_of(self, hotkey: str) -> tuple[CountedAttempt, ...]:
        """Its attempts in the shown intervals, oldest first."""
        return tuple(self._attempts_by_hotkey.get(hotkey, ()))

    def past(self, interval: int) -> PastInterval | None:
        """The interval with that number, if it is among those shown."""
        return self._intervals_by_number.get(interval)

    def failure(self, interval: int, hotkey: str, number: int) -> Mapping[str, Any] | None:
        """The evidence of a failed attempt."""
        past = self.past(interval)
        return None if past is None else past.failures.get((hotkey, number))

    @cached_property
    def _rows_by_hotkey(self) -> dict[str, LadderRow]:
        return {row.hotkey: row for row in self.rows}

    @cached_property
    def _intervals_by_number(self) -> dict[int, PastInterval]:
        return {past.number: past for past in self.intervals}

    @cached_property
    def _attempts_by_hotkey(self) -> dict[str, list[CountedAttempt]]:
        found: dict[str, list[CountedAttempt]] = defaultdict(list)
        for past in self.intervals:
            for each in past.attempts:
                found[each.attempt.hotkey].append(each)
        return dict(found)


class TiersReader:
    """Reads the history from a verifier's state (scoped already), records and counters. Use one thread."""

    def __init__(
        self,
        state: StateStore,
        records: Records,
        counters: Counters,
        *,
        rules: TiersRules | None = None,
        intervals: int = MAX_INTERVALS,
    ) -> None:
        self._state, self._records, self._counters = state, records, counters
        self._rules = rules or TiersRules()
        self._most = intervals
        self._closed: dict[int, PastInterval] = {}
        self._moves: dict[str, deque[PastMove]] = defaultdict(lambda: deque(maxlen=MAX_MOVES))
        self._seeds: dict[int, BankSeed] = {}
        self._after = {MOVES_STREAM: 0, BANKS_STREAM: 0}

    def read(self) -> TiersHistory:
        """The history as it is now.

        Raises:
            UsageError: a record is damaged, or made by a newer program.
            StateUnavailable: the database does not answer.
        """
        self._read_moves()
        self._read_seeds()
        past = self._intervals()
        opened = next((each.opened for each in reversed(past) if each.opened is not None), None)
        rules = self._recorded_rules(opened)
        ladder, present = self._ladder(past)
        counts = self._counters.read_all()
        rows = self._rows(rules, ladder, past, present, counts)
        return TiersHistory(
            rules,
            "" if opened is None else opened.program,
            past[-1].number if past else -1,
            rows,
            tuple(past),
            {hotkey: tuple(moves) for hotkey, moves in self._moves.items()},
            {each: self._seeds[each] for each in sorted(self._seeds)},
            stamp=(
                *self._after.values(),
                past[-1].number if past else -1,
                len(present.attempts) if present else 0,
                len(present.banks) if present else 0,
                tuple((row.hotkey, row.requests_left) for row in rows),
            ),
        )

    def _recorded_rules(self, opened: OpenedStep | None) -> TiersRules:
        if opened is None or not opened.rules:
            return self._rules
        try:
            return recorded_tiers_rules(opened.rules)
        except ValueError as error:
            raise UsageError(
                f"The recorded rules of the tiers are damaged ({error})",
                "Restore the last backup of the state database.",
            ) from error

    def _intervals(self) -> list[PastInterval]:
        numbers = sorted(int(name.rpartition("-")[2]) for name in self._state.rounds())
        found: list[PastInterval] = []
        attempts = 0
        for number in reversed(numbers):
            if len(found) == self._most or attempts > MAX_ATTEMPTS:
                break
            past = self._closed.get(number) or self._interval(number)
            if past.opened is None:
                continue  # Its seed is chosen, and it has not begun.
            if past.is_closed:
                self._closed[number] = past
            attempts += len(past.attempts)
            found.append(past)
        for old in self._closed.keys() - {past.number for past in found}:
            del self._closed[old]
        return found[::-1]

    def _interval(self, number: int) -> PastInterval:
        by_step: dict[int, AskedStep] = {}
        banks: dict[str, BankStep] = {}
        opened, is_closed = None, False
        for name, facts in self._state.steps(round_of(number)).items():
            kind, _, rest = name.partition(":")
            source = f"Interval {number}, {name}"
            if kind == "step":
                by_step[int(rest)] = AskedStep.from_facts(facts, source=source)
            elif kind == "bank":
                bank = BankStep.from_facts(facts, source=source)
                banks[bank.hotkey or rest] = bank
            elif name == OPENED.name:
                opened = OpenedStep.from_facts(facts, source=source)
            is_closed = is_closed or name == CLOSED.name
        in_order = [by_step[each] for each in sorted(by_step)]
        return PastInterval(
            number,
            opened,
            is_closed,
            tuple(each for step in in_order for each in step.attempts),
            {(str(each["hotkey"]), int(each["number"])): each for step in in_order for each in step.failures},
            banks,
            self._decided(number) if is_closed else {},
        )

    def _decided(self, number: int) -> dict[str, PastMove]:
        record = self._records.latest(INTERVALS_STREAM, str(number))
        moves = {} if record is None else record.facts.get("moves", {})
        return {
            hotkey: PastMove(number, before, after, MoveReason(reason), AttemptCounts(attempts, successes))
            for hotkey, (before, after, reason, attempts, successes) in moves.items()
        }

    def _ladder(self, past: Sequence[PastInterval]) -> tuple[Ladder, PastInterval | None]:
        """The ladder with the scores of the open interval, and that interval; None if the last one is closed."""
        record = self._records.latest(INTERVALS_STREAM)
        ladder = Ladder() if record is None else ladder_after(record)
        present = past[-1] if past and not past[-1].is_closed else None
        if present is not None and present.number > ladder.interval:
            ladder.add(present.attempts)
        return ladder, present

    def _rows(
        self,
        rules: TiersRules,
        ladder: Ladder,
        past: Sequence[PastInterval],
        present: PastInterval | None,
        counts: Mapping[str, Mapping[str, int]],
    ) -> tuple[LadderRow, ...]:
        banks = {hotkey: bank for each in past for hotkey, bank in each.banks.items()}
        last = {each.attempt.hotkey: each for interval in past for each in interval.attempts}
        now = _counts(() if present is None or present.number <= ladder.interval else present.attempts)
        standings = {
            **{
                h: Standing(h, rules.table[0].name)
                for h, bank in (past[-1].banks if past else {}).items()
                if bank.hotkey
            },
            **ladder.standings,
        }
        paid = {h: each.score for h, each in standings.items() if h not in banks or not banks[h].code}
        weights = score_weights(rules.profile, paid)
        rows = []
        for hotkey, standing in standings.items():
            own = now.get(hotkey, AttemptCounts())
            counted = counts.get(stats_scope(hotkey), {}).get(CountName.REQUESTS, 0)
            rows.append(
                LadderRow(
                    standing,
                    AttemptCounts(standing.attempts_since_move, standing.successes_since_move) + own,
                    own,
                    max(rules.tier(standing.tier).requests - max(counted, own.attempts), 0),
                    counted >= own.attempts,
                    weights.get(hotkey, 0.0),
                    banks.get(hotkey),
                    last.get(hotkey),
                    len(self._moves[hotkey]),
                )
            )
        rows.sort(key=lambda row: (-tier_index(row.standing.tier), -row.standing.score, row.hotkey))
        return tuple(rows)

    def _read_moves(self) -> None:
        for record in self._new(MOVES_STREAM):
            facts = record.facts
            counts = AttemptCounts(facts["attempts"], facts["successes"])
            move = PastMove(facts["interval"], facts["before"], facts["after"], MoveReason(facts["reason"]), counts)
            self._moves[facts["hotkey"]].append(move)

    def _read_seeds(self) -> None:
        for record in self._new(BANKS_STREAM):
            number = int(record.facts["interval"])
            known = self._seeds.get(number, BankSeed(number, ""))
            sha256, seed = record.facts.get("sha256", known.sha256), record.facts.get("seed", known.seed)
            self._seeds[number] = BankSeed(number, sha256, seed)

    def _new(self, stream: str) -> list[Any]:
        """The records of a stream that were not read yet."""
        found: list[Any] = []
        while page := self._records.read(stream, after=self._after[stream], limit=MAX_ROWS):
            found.extend(page)
            self._after[stream] = page[-1].position
        return found


def _counts(attempts: Sequence[CountedAttempt]) -> dict[str, AttemptCounts]:
    counts: dict[str, AttemptCounts] = defaultdict(AttemptCounts)
    for each in attempts:
        counts[each.attempt.hotkey] += AttemptCounts(1, int(each.attempt.result.passed))
    return dict(counts)
