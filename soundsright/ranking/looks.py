"""A look at a competition before its set ends: which entries can no longer win, and whether all is decided.

Scores are in the metric's unit, higher is better. The clips come in whole clusters, such as all clips of one noise,
in an order that nobody chose. Each cluster is one witness (`ranking/sequential.py`), so looks may be as frequent as
one likes.

An entry stops when it can win no metric that pays. That is so if the lead that it needs is ruled out: over the
champion the margin, over another entry that can be paid any lead at all. Everything is decided when one possible
winner is left for each metric. A challenger must then also be shown to be better than the champion.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from soundsright.core.competition import Competition
from soundsright.core.groups import ClipGroups
from soundsright.core.results import Evaluation
from soundsright.core.rulesets import Ruleset
from soundsright.core.stopping import EARLY_PART, FEWEST_WITNESSES, HOPELESS_ALPHA, RuledOut
from soundsright.ranking.awards import award, is_able, margin_of
from soundsright.ranking.champions import Champion
from soundsright.ranking.contest import Contest, MetricContest, metric_contest
from soundsright.ranking.cut import cut
from soundsright.ranking.leaderboard import contest_of
from soundsright.ranking.scores import Scores
from soundsright.ranking.sequential import capital_of, cluster_means, decides, log_evidences
from soundsright.ranking.stopped import final_ruleset


@dataclass(frozen=True)
class Look:
    """What one look shows.

    `ruled_out` are the entries that can win no metric, by hotkey and metric. `is_decided` says that one possible
    winner is left for every metric. `evidence` has, by metric, the capital of a challenger that wins early.
    """

    ruled_out: Mapping[str, Mapping[str, RuledOut]]
    is_decided: bool
    evidence: Mapping[str, float]


def look_ends(witnesses: int) -> tuple[int, ...]:
    """The numbers of witnesses after which a round looks, the last of which are all: about every sixteenth.

    >>> look_ends(23), look_ends(8)
    ((9, 11, 13, 15, 17, 19, 21, 23), (8,))
    """
    if witnesses < FEWEST_WITNESSES:
        return (witnesses,)
    step = -(-witnesses // 16)
    # Bets of several sizes reach a capital of 100 after nine witnesses at the earliest.
    return (*range(9, witnesses, step), witnesses)


def look_at(
    competition: Competition,
    entries: Sequence[Evaluation],
    champions: Mapping[str, Champion],
    ruleset: Ruleset,
    baseline: Evaluation,
    order: Sequence[str],
    clusters: Sequence[Hashable],
    *,
    floors: Mapping[str, float],
    at_block: int,
    challengers: int,
    groups: ClipGroups | None = None,
) -> Look:
    """Look at the entries that still run, over the clips of `order`, which have the labels `clusters`.

    `challengers` counts those that ran from the start: each has its own part of the level of early wins, because
    each has its own chance. The other parameters are those of `decide`.

    Raises:
        ValueError: an entry has other clips, or the clips of a cluster do not follow each other; or as `decide`.
    """
    clips = frozenset(order)
    contest = contest_of(
        competition,
        entries,
        cut(baseline, clips),
        ruleset=final_ruleset(ruleset),
        floors=floors,
        at_block=at_block,
        groups=groups,
    )
    if contest.table.clip_ids != tuple(sorted(clips)):
        raise ValueError("the entries have other clips than the order")
    columns = np.array([contest.table.clip_ids.index(clip_id) for clip_id in order])
    early_alpha = (ruleset.alpha or 0.0) * EARLY_PART / max(challengers, 1)
    sides = [
        _side(contest, metric, champions.get(metric), columns, clusters, early_alpha)
        for metric in contest.competition.metric_weights
    ]
    protected = {champion.submission.hotkey for champion in champions.values()}
    ruled_out = {}
    for evaluation in contest.entries:
        hotkey = evaluation.submission.hotkey
        if hotkey not in protected and all(hotkey in side.ruled_out for side in sides):
            ruled_out[hotkey] = {side.metric: side.ruled_out[hotkey] for side in sides}
    return Look(
        ruled_out,
        all(side.is_decided for side in sides),
        {side.metric: side.evidence for side in sides if side.evidence is not None},
    )


@dataclass(frozen=True)
class _Side:
    """One metric of a look."""

    metric: str
    ruled_out: Mapping[str, RuledOut]
    is_decided: bool
    evidence: float | None


def _side(
    contest: Contest,
    metric: str,
    champion: Champion | None,
    columns: np.ndarray[tuple[int], np.dtype[np.intp]],
    clusters: Sequence[Hashable],
    early_alpha: float,
) -> _Side:
    scores = contest.table.by_metric[metric]
    subcontest = metric_contest(contest, metric, champion, [float(row.mean()) for row in scores])
    witnesses, sizes = cluster_means(scores[:, columns], clusters)
    hotkeys = [contender.hotkey for contender in subcontest.contenders]
    out: dict[str, RuledOut] = {}
    for row, hotkey in enumerate(hotkeys):
        found = _strongest(contest, subcontest, witnesses, sizes, row)
        if found is not None:
            out[hotkey] = found
    left = [row for row, hotkey in enumerate(hotkeys) if hotkey not in out]
    winner = _only_winner(subcontest, left)
    if winner is None:
        return _Side(metric, out, False, None)
    evidence = None
    champion_row = subcontest.champion_row
    if champion_row is not None and winner != champion_row:
        better, _ = log_evidences(witnesses[winner] - witnesses[champion_row], 0.0)
        if not bool(decides(better[-1:], early_alpha)[0]):
            return _Side(metric, out, False, None)
        evidence = capital_of(better[-1])
    return _Side(metric, out, _wins(contest, subcontest, hotkeys[winner]), evidence)


def _strongest(
    contest: Contest,
    subcontest: MetricContest,
    witnesses: Scores,
    sizes: np.ndarray[tuple[int], np.dtype[np.int64]],
    row: int,
) -> RuledOut | None:
    """The strongest evidence that an entry cannot win the metric; None if it still can."""
    contenders = subcontest.contenders
    strongest: RuledOut | None = None
    for other, rival in enumerate(contenders):
        if other == row or not is_able(contest.ruleset, rival):
            continue
        needed = 0.0
        if other == subcontest.champion_row and subcontest.title is not None and rival.mean is not None:
            needed = margin_of(
                contest.ruleset,
                subcontest.metric,
                subcontest.title,
                rival.mean,
                contenders[row].block,
                contest.at_block,
            )
        leads = witnesses[row] - witnesses[other]
        _, hopeless = log_evidences(leads, needed)
        lead = float(np.average(leads, weights=sizes))
        if bool(decides(hopeless[-1:], HOPELESS_ALPHA)[0]) and lead < needed:
            found = RuledOut(rival.hotkey, capital_of(hopeless[-1]), lead, needed)
            if strongest is None or found.evidence > strongest.evidence:
                strongest = found
    return strongest


def _only_winner(subcontest: MetricContest, left: Sequence[int]) -> int | None:
    """The row of the only entry that can win; None if there are several. A champion that is beaten may be left."""
    challengers = [row for row in left if row != subcontest.champion_row]
    if not challengers:
        return left[0] if left else None
    return challengers[0] if len(challengers) == 1 else None


def _wins(contest: Contest, subcontest: MetricContest, hotkey: str) -> bool:
    """Whether the rules, applied to the clips so far, give this entry the prize."""
    result = award(
        contest.ruleset,
        subcontest.metric,
        subcontest.contenders,
        subcontest.title,
        prize=1.0,
        remainder=1.0,
        at_block=contest.at_block,
    )
    return result.winner == hotkey
