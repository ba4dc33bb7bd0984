"""A look at a competition before its set ends: which entries can no longer win, and whether all is decided.

Scores are in the metric's unit, higher is better. The clips come in whole clusters, such as all clips of one noise,
in an order that nobody chose. Each cluster is one witness (`ranking/sequential.py`).

An entry stops when it can win no metric that pays. That is so if the clips that are left can hardly bring it the
lead over the champion that it needs on the whole set, which is the margin. Only a champion that defends its title
rules others out. A rival could be good on the first clips and fail on the rest, and cost another entry the title.
Everything is decided when the winner of each metric is sure, and `decide` gives it the prize now. A challenger is
sure if the clips that are left can hardly make another possible winner better than it. It must also be shown to be
better than the champion, by a test that may be looked at as often as one likes.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from soundsright.core.competition import Competition
from soundsright.core.groups import ClipGroups
from soundsright.core.results import Evaluation
from soundsright.core.rulesets import Ruleset
from soundsright.core.stopping import (
    EARLY_PART,
    FEWEST_WITNESSES,
    HOPELESS_ALPHA,
    EarlyStop,
    RuledOut,
    Stops,
)
from soundsright.ranking.awards import is_able, margin_of
from soundsright.ranking.champions import Champion
from soundsright.ranking.clustered import SKEWNESS_FACTOR, clustered_means, hall_inverse
from soundsright.ranking.contest import Contest, MetricContest, metric_contest
from soundsright.ranking.cut import cut
from soundsright.ranking.failures import failure_lead
from soundsright.ranking.leaderboard import contest_of, decide
from soundsright.ranking.scores import Scores
from soundsright.ranking.sequential import capital_of, cluster_means, decides, log_evidences
from soundsright.ranking.stopped import final_ruleset


@dataclass(frozen=True)
class WholeSet:
    """The numbers of clips and of witnesses of the whole set."""

    clips: int
    witnesses: int


@dataclass(frozen=True)
class Look:
    """The result of one look.

    `ruled_out` are the entries that can win no metric, by hotkey and metric. `is_decided` says that the winner of
    every metric is sure, and that `decide` pays it now. `evidence` has, by metric, the capital of a
    challenger that wins early.
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
    whole: WholeSet,
    groups: ClipGroups | None = None,
    stopped: Sequence[tuple[EarlyStop, Evaluation]] = (),
) -> Look:
    """Look at the entries that still run, over the clips of `order`, which have the labels `clusters`.

    `stopped` are the entries that stopped at an earlier look. They still count in the correction of the p-values.
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
    sides = []
    for metric in contest.competition.metric_weights:
        scores = contest.table.by_metric[metric]
        subcontest = metric_contest(contest, metric, champions.get(metric), [float(row.mean()) for row in scores])
        view = _View(contest, subcontest, *cluster_means(scores[:, columns], clusters), whole)
        sides.append(_side(view, early_alpha))
    ruled_out = _out_of_all(contest, champions, sides)
    evidence = {side.metric: side.evidence for side in sides if side.evidence is not None}
    if any(side.winner is None for side in sides):
        return Look(ruled_out, False, {})
    seen = len(set(clusters))
    stops = [
        *(stop for stop, _ in stopped),
        *(EarlyStop(hotkey, len(order), whole.clips, seen, out) for hotkey, out in ruled_out.items()),
    ]
    board = decide(
        competition,
        entries[0].round_id,
        [*entries, *(evaluation for _, evaluation in stopped)],
        champions,
        ruleset,
        baseline,
        floors=floors,
        at_block=at_block,
        groups=groups,
        stops=Stops(whole.clips, whole.witnesses, len(order), seen, tuple(stops), evidence),
    )
    winners = [None if each.winner is None else each.winner.hotkey for each in board.decisions]
    if winners != [side.winner for side in sides]:
        return Look(ruled_out, False, {})
    return Look(ruled_out, True, evidence)


def _out_of_all(
    contest: Contest, champions: Mapping[str, Champion], sides: Sequence[_Side]
) -> dict[str, dict[str, RuledOut]]:
    """The entries that can win no metric any more, with the reason for each. Champions always run to the end."""
    protected = {champion.submission.hotkey for champion in champions.values()}
    hotkeys = [evaluation.submission.hotkey for evaluation in contest.entries]
    return {
        hotkey: {side.metric: side.ruled_out[hotkey] for side in sides}
        for hotkey in hotkeys
        if hotkey not in protected and all(hotkey in side.ruled_out for side in sides)
    }


@dataclass(frozen=True)
class _Side:
    """One metric of a look. `winner` is the hotkey of the entry that is sure to win; None if it is not decided."""

    metric: str
    ruled_out: Mapping[str, RuledOut]
    winner: str | None = None
    evidence: float | None = None


@dataclass(frozen=True)
class _View:
    """One metric at a look: the mean of each cluster by row, and the number of its clips."""

    contest: Contest
    subcontest: MetricContest
    witnesses: Scores
    sizes: np.ndarray[tuple[int], np.dtype[np.int64]]
    whole: WholeSet


def _side(view: _View, early_alpha: float) -> _Side:
    subcontest, metric = view.subcontest, view.subcontest.metric
    hotkeys = [contender.hotkey for contender in subcontest.contenders]
    found = {hotkey: _ruled_out(view, row) for row, hotkey in enumerate(hotkeys)}
    out = {hotkey: each for hotkey, each in found.items() if each is not None}
    left = [row for row, hotkey in enumerate(hotkeys) if hotkey not in out]
    winner = _sure_winner(view, left)
    if winner is None:
        return _Side(metric, out)
    evidence = None
    champion_row = subcontest.champion_row
    if champion_row is not None and winner != champion_row:
        better, _ = log_evidences(view.witnesses[winner] - view.witnesses[champion_row], 0.0)
        if not (decides(better[-1:], early_alpha)[0] and _is_surely_better(view, winner)):
            return _Side(metric, out)
        evidence = capital_of(better[-1])
    return _Side(metric, out, hotkeys[winner], evidence)


def _ruled_out(view: _View, row: int) -> RuledOut | None:
    """Why an entry cannot win the metric from the champion that defends it; None if it still can."""
    contest, subcontest = view.contest, view.subcontest
    champion_row = subcontest.champion_row
    if champion_row is None or champion_row == row:
        return None
    champion = subcontest.contenders[champion_row]
    if not is_able(contest.ruleset, champion):
        return None
    leads = view.witnesses[row] - view.witnesses[champion_row]
    needed, lead = _least_lead(view, row), _lead(view, row, champion_row)
    chance = chance_of_lead(leads, view.sizes, view.whole, needed)
    level = HOPELESS_ALPHA / len(look_ends(view.whole.witnesses))
    return RuledOut(champion.hotkey, chance, lead, needed) if chance <= level and lead < needed else None


def _is_surely_better(view: _View, row: int) -> bool:
    """Whether a challenger is ahead of the champion by far more than the rules ask for."""
    subcontest = view.subcontest
    p_value = subcontest.contenders[row].p_value
    if subcontest.champion_row is None:
        return False
    lead = _lead(view, row, subcontest.champion_row)
    sure = (view.contest.ruleset.alpha or 0.0) * EARLY_PART
    if p_value is None or p_value > sure or lead < _least_lead(view, row):
        return False
    return _passes_on_whole_set(view, row)


def _passes_on_whole_set(view: _View, row: int) -> bool:
    """Whether the clustered test will show a challenger to be better on the whole set, as far as can be foreseen.

    Its correction for skewness grows slowly over a wide range of leads, so a small p-value can grow again with more
    clips. The errors shrink with the square root of the clips, and so does the skewness of the mean. The lead may
    become a quarter smaller than now. One noise that stands out can move the enlarged skewness by a half.
    """
    from scipy.special import stdtrit

    contest, subcontest = view.contest, view.subcontest
    labels = tuple(contest.lead_test.groups.values())
    if not labels:
        return True
    found = clustered_means(subcontest.scores[[row]] - subcontest.scores[subcontest.champion_row], labels)
    if found.error[0] == 0:
        return True
    growth = math.sqrt(view.whole.clips / found.n)
    level = (contest.ruleset.alpha or 0.0) / (2 * len(subcontest.contenders))
    t = stdtrit(found.degrees * growth**2, 1.0 - level)
    skewness = SKEWNESS_FACTOR * found.skewness / growth
    needed = max(float(hall_inverse(t, skewness + moved)[0]) for moved in (-0.5, 0.0, 0.5))
    return bool(0.75 * growth * found.mean[0] / found.error[0] >= needed)


def _least_lead(view: _View, row: int) -> float:
    """The lead over the champion that the margin and unseen failures ask of an entry on the whole set."""
    contest, subcontest = view.contest, view.subcontest
    title, champion_row = subcontest.title, subcontest.champion_row
    if title is None or champion_row is None:
        return 0.0
    contender, mean = subcontest.contenders[row], title.mean
    margin = margin_of(contest.ruleset, subcontest.metric, title, mean, contender.block, contest.at_block)
    unseen = contender.unseen_failures * int(view.sizes.sum()) / view.whole.clips
    return max(margin, failure_lead(title.floor, mean, unseen))


def chance_of_lead(
    leads: np.ndarray[tuple[int], np.dtype[np.float64]],
    sizes: np.ndarray[tuple[int], np.dtype[np.int64]],
    whole: WholeSet,
    needed: float,
) -> float:
    """The probability that the mean lead over the whole set reaches `needed`, from the leads per cluster so far.

    The clips to come are few, so their mean is uncertain by their own number too. With the seen part f of the
    clips, the mean lead d and its deviation s between w of W clusters, the lead over the whole set is d with the
    deviation (1 - f) s sqrt(1 / w' + 1 / (W - w)), where w' = 1 / (the sum of the squared parts of the clusters).
    Student's t with w - 1 degrees of freedom takes the place of the normal distribution, because s is estimated:
    the prediction interval of Hahn, "Factors for Calculating Two-Sided Prediction Intervals for Samples from a
    Normal Distribution", JASA 64, 1969. Such a prediction of the final decision is also called stochastic
    curtailment (Lan, Simon, Halperin, Sequential Analysis 1(3), 1982).

    >>> round(chance_of_lead(np.array([-1.0, -2.0, -3.0]), np.array([2, 2, 2]), WholeSet(12, 6), 0.0), 4)
    0.0196
    """
    from scipy.special import stdtr

    seen = len(leads)
    lead = float(np.average(leads, weights=sizes))
    if seen >= whole.witnesses:
        return float(lead >= needed)
    if seen < 2:
        return 1.0
    parts = sizes / sizes.sum()
    left = 1.0 - float(sizes.sum()) / whole.clips
    deviation = float(leads.std(ddof=1)) * left * math.sqrt(float((parts**2).sum()) + 1 / (whole.witnesses - seen))
    if deviation <= 1e-12:
        return float(lead >= needed)
    return round(float(stdtr(seen - 1, (lead - needed) / deviation)), 12)


def _sure_winner(view: _View, left: Sequence[int]) -> int | None:
    """The row of the entry that will be the best of those that can win; None if that is not sure yet.

    Rivals of that entry have run as many clips as it has, and the round ends with this look. So an entry cannot
    keep a rival from the title with good first clips and then fail: either it wins now, or all of them go on.
    """
    champion_row = view.subcontest.champion_row
    challengers = [row for row in left if row != champion_row]
    if not challengers:
        return left[0] if left else None
    if len(challengers) > 1 and champion_row is None:
        return None
    best = max(challengers, key=lambda row: (_lead(view, row, challengers[0]), -row))
    chances = [
        chance_of_lead(view.witnesses[row] - view.witnesses[best], view.sizes, view.whole, 0.0)
        for row in challengers
        if row != best
    ]
    return best if math.fsum(chances) <= HOPELESS_ALPHA / len(look_ends(view.whole.witnesses)) else None


def _lead(view: _View, row: int, other: int) -> float:
    """The mean lead of one entry over another, over the clips so far."""
    return float(np.average(view.witnesses[row] - view.witnesses[other], weights=view.sizes))
