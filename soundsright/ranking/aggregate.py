"""The winner of each competition of a federation, from the verdicts of a window of tasks.

An entrant's rate with a validator is the part of its tasks there that it passed; its score is the mean of its
rates. Blocks are counted. Rates, scores, shares of tasks and means of differences are exact, so equal verdicts give
equal winners on every machine, whatever their order.

The profiles `doc` and `code` compare rates: an earlier entrant shields its place from all that are not better by
`dominance`. In the profile `soundsright` only the incumbent defends, by the ruleset's margin and paired test. Means
over three validators or more leave out the highest and the lowest ones: see `outvoting`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import TypeVar

from soundsright.core.competition import Competition
from soundsright.core.federation import Verdict
from soundsright.core.federation_rules import FederationRules
from soundsright.core.profiles import Profile
from soundsright.core.rulesets import Ruleset
from soundsright.ranking.outvoting import rated_validators
from soundsright.ranking.task_leads import AspectTest, gains_by_metric, tests_against
from soundsright.ranking.verdict_table import Entrant, Passed, VerdictTable, exact, verdict_table

Rate = TypeVar("Rate", Fraction, float)


class FederationReason(StrEnum):
    """The reason for a competition's winner."""

    NOBODY_ELIGIBLE = "nobody_eligible"
    """Nobody was judged often enough, or nobody beats the unprocessed input. The share burns."""
    DOMINANT = "dominant"
    """The latest entrant that is better by `dominance` than each earlier one."""
    OPEN = "open"
    """The best score: there is no incumbent that could defend."""
    DEFENDED = "defended"
    """No challenger has a certain lead over the incumbent."""
    TAKEN = "taken"
    """A challenger has a certain lead over the incumbent."""


@dataclass(frozen=True)
class FederationRow:
    """An entrant's results in a window.

    `by_validator` has the tasks that it passed, and those in which it was judged. `beats_unprocessed` is True if
    its mean is above the unprocessed input's in each metric, or the rules do not ask for it.
    """

    entrant: Entrant
    by_validator: Mapping[str, Passed]
    score: float
    eligible: bool
    beats_unprocessed: bool = True

    @property
    def passed(self) -> int:
        """The number of tasks that it passed."""
        return sum(passed for passed, _ in self.by_validator.values())

    @property
    def judged(self) -> int:
        """The number of tasks in which it was judged."""
        return sum(judged for _, judged in self.by_validator.values())


@dataclass(frozen=True)
class FederationDecision:
    """A competition's winner, with everything that decided it. `rows` are in order of rank.

    `tests` are those of the challengers against `incumbent`, which is None if nobody defends.
    """

    competition: str
    winner: str | None
    reason: FederationReason
    incumbent: str | None
    tasks: tuple[int, ...]
    rows: tuple[FederationRow, ...]
    tests: tuple[AspectTest, ...] = ()


def mean_of_rates(by_validator: Sequence[Passed]) -> Fraction:
    """The mean over validators of each one's rate; 0 without a task.

    >>> round(float(mean_of_rates([(9, 10), (1, 2), (30, 40)])), 7)
    0.7166667
    """
    rates = [Fraction(passed, judged) for passed, judged in by_validator if judged]
    return sum(rates, Fraction()) / len(rates) if rates else Fraction()


def pooled_rate(by_validator: Sequence[Passed]) -> float:
    """The rate over the tasks of all validators, as the original program computes it; 0 without a task.

    >>> round(pooled_rate([(9, 10), (1, 2), (30, 40)]), 7)
    0.7692308
    """
    judged = sum(judged for _, judged in by_validator)
    return sum(passed for passed, _ in by_validator) / judged if judged else 0.0


def dominant(rates: Mapping[tuple[int, str], Rate], dominance: Rate) -> str | None:
    """The latest hotkey whose rate is at least that of each earlier one plus `dominance`.

    `rates` are by commitment block and hotkey.

    >>> rates = {(1, "a"): Fraction(11, 20), (2, "b"): Fraction(12, 20)}
    >>> dominant(rates, Fraction(1, 20)), dominant({key: float(rate) for key, rate in rates.items()}, 0.05)
    ('b', 'a')
    """
    winner: str | None = None
    best: Rate | None = None
    for (_, hotkey), rate in sorted(rates.items()):
        if best is None or rate >= best + dominance:
            winner = hotkey
        best = rate if best is None else max(best, rate)
    return winner


def keeps_last_winner(rules: FederationRules, unreadable: int, samplers: int) -> bool:
    """Whether too many samplers' buckets are unreadable to decide, in the profiles `doc` and `code`.

    >>> keeps_last_winner(FederationRules(), 1, 5), keeps_last_winner(FederationRules(), 2, 5)
    (False, True)
    """
    return unreadable > exact(rules.unreadable) * samplers


def winners_shares(rules: FederationRules, winners: Mapping[str, str | None]) -> dict[str, float]:
    """Each hotkey's part of the federation's emission. Every competition has the same; without a winner it burns.

    >>> winners_shares(FederationRules(), {"DENOISING_16000HZ": "a", "DEREVERBERATION_16000HZ": None})
    {'a': 0.5}
    """
    won = [winners.get(competition) for competition in rules.competitions]
    return {hotkey: won.count(hotkey) / len(won) for hotkey in sorted({*won} - {None}, key=str) if hotkey}


def federation_decisions(
    rules: FederationRules,
    ruleset: Ruleset,
    competitions: Sequence[Competition],
    verdicts: Sequence[Verdict],
    incumbents: Mapping[str, str],
    *,
    epoch_block: int,
    floors: Mapping[str, float] | None = None,
) -> dict[str, FederationDecision]:
    """The decision on each competition of the rules, from the canonical verdicts of a window.

    `competitions` are the organiser's, `incumbents` by competition. `floors` are the scores of a failed clip: with
    them, a lead must survive as many failures more as the ruleset says.

    Raises:
        ValueError: two verdicts are of one task, or a competition of the rules is not defined.
    """
    defined = {competition.id: competition for competition in competitions}
    missing = [name for name in rules.competitions if name not in defined]
    if missing:
        raise ValueError(f"{', '.join(missing)} is not defined")
    decisions = {}
    for name in rules.competitions:
        metrics = tuple(sorted(metric for metric, weight in defined[name].metric_weights.items() if weight > 0))
        table = verdict_table(verdicts, name, metrics, rules.profile)
        if rules.profile is Profile.SOUNDSRIGHT:
            incumbent = incumbents.get(name)
            decisions[name] = _defended(rules, ruleset, name, table, incumbent, epoch_block, floors or {})
        else:
            decisions[name] = _dominated(rules, name, table)
    return decisions


def _dominated(rules: FederationRules, competition: str, table: VerdictTable) -> FederationDecision:
    """The decision of the profiles `doc` and `code`."""
    rows = _rows(rules, table, [True] * len(table.entrants))
    able = [row for row in rows if row.eligible]
    if rules.profile is Profile.CODE:
        floats = {_key(row): row.score for row in able}
        winner = dominant(floats, rules.dominance)
    else:
        rates = {_key(row): mean_of_rates(tuple(row.by_validator.values())) for row in able}
        winner = dominant(rates, exact(rules.dominance))
    reason = FederationReason.NOBODY_ELIGIBLE if winner is None else FederationReason.DOMINANT
    return FederationDecision(competition, winner, reason, None, table.tasks, rows)


def _key(row: FederationRow) -> tuple[int, str]:
    return row.entrant.block, row.entrant.hotkey


def _defended(
    rules: FederationRules,
    ruleset: Ruleset,
    competition: str,
    table: VerdictTable,
    incumbent: str | None,
    epoch_block: int,
    floors: Mapping[str, float],
) -> FederationDecision:
    """The decision of the profile `soundsright`."""
    beats = [
        not ruleset.must_beat_unprocessed or all(gain > 0 for gain in gains)
        for gains in gains_by_metric(ruleset, table)
    ]
    rows = _rows(rules, table, beats)
    able = [row for row in rows if row.eligible and row.beats_unprocessed]
    holder = next((row for row in able if row.entrant.hotkey == incumbent), None)
    if holder is None:
        winner = able[0].entrant.hotkey if able else None
        reason = FederationReason.OPEN if able else FederationReason.NOBODY_ELIGIBLE
        return FederationDecision(competition, winner, reason, None, table.tasks, rows)
    tests = tests_against(
        holder.entrant,
        [row.entrant for row in able if row.entrant.hotkey != incumbent],
        table,
        ruleset,
        epoch_block=epoch_block,
        floors=floors,
        clips=rules.clips,
    )
    # The tests are in order of rank, so the first that takes the place is the best of those that could.
    by_challenger: dict[Entrant, list[AspectTest]] = {}
    for test in tests:
        by_challenger.setdefault(test.challenger, []).append(test)
    taker = next((challenger for challenger, own in by_challenger.items() if takes_place(own)), None)
    if taker is None:
        return FederationDecision(
            competition, incumbent, FederationReason.DEFENDED, incumbent, table.tasks, rows, tests
        )
    return FederationDecision(
        competition, taker.hotkey, FederationReason.TAKEN, incumbent, table.tasks, rows, tests
    )


def takes_place(tests: Sequence[AspectTest]) -> bool:
    """Whether a challenger takes the incumbent's place: it loses in no metric, and leads in one."""
    return all(test.lead >= 0 for test in tests) and any(test.certain for test in tests)


def _rows(
    rules: FederationRules, table: VerdictTable, beats_unprocessed: Sequence[bool]
) -> tuple[FederationRow, ...]:
    """The rows in order of rank: first those that can win, then the best score, then the earliest commitment."""
    ranked = []
    passed_by_validator, eligible = table.passed_by_validator(), table.eligible(rules).tolist()
    counting = rated_validators(table).tolist()
    for number, entrant in enumerate(table.entrants):
        own = passed_by_validator[number]
        counted = [each for each, counts in zip(own, counting[number], strict=True) if counts]
        score = pooled_rate(own) if rules.profile is Profile.CODE else mean_of_rates(counted)
        row = FederationRow(
            entrant,
            dict(zip(table.validators, own, strict=True)),
            float(score),
            eligible[number],
            beats_unprocessed[number],
        )
        ranked.append((not (row.eligible and row.beats_unprocessed), -score, entrant, row))
    return tuple(row for *_, row in sorted(ranked, key=lambda ranks: ranks[:3]))
