"""A round as tables: what the terminal, the report, results.json and the feedback all show.

Scores in their metric's unit; shares in percent of the emission; times in seconds.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from soundsright.copies import Duplicate
from soundsright.core.competition import Competition
from soundsright.core.results import Decision, Estimate, Evaluation, Leaderboard, Refusal, Timing
from soundsright.core.submission import Submission
from soundsright.ranking import Flag, RankSet, mean_estimate, rank_confidence_sets
from soundsright.services.rounds import RoundOutcome

RANK_RESAMPLES = 2_000
MAX_RANKED = 64
"""Open ranks are worked out among so many entries at most: their cost grows with the square."""


@dataclass(frozen=True)
class Row:
    """One entry of a table. `rank` is None for the unprocessed input. `failures` count clips by code.

    `ranks` are, for each metric that pays, those that the scores leave open with 95 % confidence.
    """

    rank: int | None
    submission: Submission
    estimates: Mapping[str, Estimate]
    share: float
    clips: int
    failures: Mapping[str, int]
    timing: Timing
    reasons: Mapping[str, str]
    needed: Mapping[str, float]
    flags: tuple[Flag, ...] = ()
    ranks: Mapping[str, RankSet] = field(default_factory=dict)

    @property
    def open_ranks(self) -> RankSet | None:
        """From the best to the worst rank that any metric that pays leaves open."""
        if not self.ranks:
            return None
        return RankSet(min(r.best for r in self.ranks.values()), max(r.worst for r in self.ranks.values()))

    @property
    def label(self) -> str:
        return self.submission.source.repository if self.rank is not None else "unprocessed input"

    @property
    def failure_note(self) -> str:
        """What went wrong, in words: empty where nothing did.

        One line for a table; the sentences are in the per-clip results.
        """
        return ", ".join(f"{count} of {self.clips} clips: {code}" for code, count in self.failures.items())


@dataclass(frozen=True)
class Table:
    """One competition's result, best entry first, the unprocessed input in `unprocessed`."""

    competition: Competition
    seed: int
    set_digest: str
    rows: tuple[Row, ...]
    unprocessed: Row
    decisions: tuple[Decision, ...]
    refusals: tuple[Refusal, ...]
    suspected: tuple[Duplicate, ...] = ()

    @property
    def best(self) -> Row | None:
        """The first row that is paid."""
        return next((row for row in self.rows if row.share > 0), None)


def clip_values(evaluation: Evaluation, metric: str, floor: float) -> list[float]:
    """One value per clip, the floor for a failed one: the denominator is always the set."""
    return [floor if clip.scores is None else clip.scores[metric] for clip in evaluation.clips]


def tables(outcome: RoundOutcome) -> tuple[Table, ...]:
    """One table per competition, in the order of the plan."""
    return tuple(_table(outcome, board) for board in outcome.leaderboards)


def _table(outcome: RoundOutcome, board: Leaderboard) -> Table:
    competition = board.competition
    clips = outcome.sets[competition.id]
    by_entry = {e.submission.entry_id: e for e in outcome.evaluations[competition.id]}
    order = list(dict.fromkeys(s.submission.entry_id for s in board.standings))
    ranks = _rank_sets(outcome, board, [by_entry[entry] for entry in order if entry in by_entry])
    rows = tuple(
        _row(outcome, board, by_entry[entry], rank, {m: found[entry] for m, found in ranks.items()})
        for rank, entry in enumerate(order, 1)
        if entry in by_entry
    )
    unprocessed = _row(outcome, board, outcome.unprocessed[competition.id], None)
    refusals = tuple(sorted(board.refusals, key=lambda r: (r.competition_id is None, r.uid or 0)))
    suspected = tuple(d for d in outcome.suspected if d.duplicate.competition == competition)
    return Table(competition, clips.seed, clips.digest, rows, unprocessed, board.decisions, refusals, suspected)


def _rank_sets(
    outcome: RoundOutcome, board: Leaderboard, evaluations: Sequence[Evaluation]
) -> dict[str, dict[str, RankSet]]:
    """By metric that pays and entry id; empty where more entries take part than can be compared with each other."""
    if not 1 <= len(evaluations) <= MAX_RANKED:
        return {}
    seed = outcome.sets[board.competition.id].seed
    found = {}
    for name in board.competition.metric_weights:
        scores = {e.submission.entry_id: clip_values(e, name, outcome.plan.floors[name]) for e in evaluations}
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        found[name] = rank_confidence_sets(scores, rng=rng, resamples=RANK_RESAMPLES)
    return found


def _row(
    outcome: RoundOutcome,
    board: Leaderboard,
    evaluation: Evaluation,
    rank: int | None,
    ranks: Mapping[str, RankSet] = MappingProxyType({}),
) -> Row:
    own = [s for s in board.standings if s.submission == evaluation.submission]
    floors = outcome.plan.floors
    return Row(
        rank=rank,
        submission=evaluation.submission,
        estimates={m: mean_estimate(clip_values(evaluation, m, floors[m])) for m in outcome.plan.metrics},
        share=board.share_of(evaluation.submission),
        clips=len(evaluation.clips),
        failures=dict(Counter(clip.failure.code for clip in evaluation.clips if clip.failure is not None)),
        timing=evaluation.timing,
        reasons={s.metric: s.reason for s in own},
        needed={s.metric: s.needed for s in own if s.needed is not None},
        flags=outcome.flags.get(evaluation.submission.entry_id, ()),
        ranks=ranks,
    )
