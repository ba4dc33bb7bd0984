"""Comparisons of entries for pages and plots: paired differences, and the decision for each prize.

Values are in the unit of their metric; a failed clip counts with the metric's floor. Random numbers are seeded from
the run, so a page shows the same numbers each time it is drawn.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

import numpy as np

from soundsright.core.results import Estimate
from soundsright.ranking import paired_comparison
from soundsright.services.records import DecisionDoc, MetricDoc, Run, RunCompetition, RunEntry

RESAMPLES = 2000


@dataclass(frozen=True)
class PairedDifference:
    """One entry minus another over the same clips, with the p-value of the two-sided paired test.

    `better` is True if the interval is on the better side of zero, False on the worse, None if it contains zero.
    """

    metric: str
    against: str
    estimate: Estimate
    p_value: float
    better: bool | None


@dataclass(frozen=True)
class PrizeDecision:
    """The decision for one metric's prize. Entries are labels; None if there is no such entry or it is unknown.

    `outcome` is `taken` (by a challenger), `kept` (by the champion), `first` (there was no champion) or `nobody`.
    `gain` is the paired difference between rival and champion, and `p_value` that of the deciding test.
    """

    metric: str
    outcome: str
    sentence: str
    winner: str | None
    champion: str | None
    champion_mean: float | None
    needed: float | None
    rival: str | None
    rival_mean: float | None
    gain: Estimate | None
    p_value: float | None


def metric_docs(run: Run) -> dict[str, MetricDoc]:
    """The metrics of a run by name; empty if the run has no results."""
    return dict(run.doc.metrics) if run.doc else {}


def paired_difference(
    run: Run, competition: RunCompetition, entry: RunEntry, other: RunEntry, metric: str
) -> PairedDifference | None:
    """`entry` minus `other`; None if the run kept no clips."""
    competition = competition.among([entry, other])
    if not competition.clip_ids:
        return None
    comparison = paired_comparison(
        competition.values(entry, metric),
        competition.values(other, metric),
        rng=_rng(competition, metric + entry.key + other.key),
        labels=competition.labels,
        resamples=RESAMPLES,
    )
    gain = comparison.difference
    if metric_docs(run)[metric].direction == "lower":
        gain = _negated(gain)
    better = True if gain.is_above(0.0) else False if gain.is_below(0.0) else None
    return PairedDifference(metric, other.label, comparison.difference, comparison.p_value, better)


def _negated(e: Estimate) -> Estimate:
    """The estimate of the same values with the other sign."""
    low, high = (None if end is None else -end for end in (e.high, e.low))
    return replace(e, mean=-e.mean, low=low, high=high)


def prize_decisions(competition: RunCompetition) -> list[PrizeDecision]:
    """The decision for each prize, read from its evidence; the metric with the largest weight first."""
    order = {name: index for index, name in enumerate(competition.paid_metrics)}
    decisions = sorted(competition.doc.decisions, key=lambda d: order.get(d.metric, len(order)))
    return [_prize_decision(decision, competition) for decision in decisions]


def _prize_decision(decision: DecisionDoc, competition: RunCompetition) -> PrizeDecision:
    evidence = decision.evidence
    labels = {entry.row.hotkey: entry.label for entry in competition.entries}
    if decision.winner is None:
        outcome = "nobody"
    elif not evidence.get("champion"):
        outcome = "first"
    else:
        outcome = "taken" if evidence.get("dethroned") else "kept"

    def number(name: str) -> float | None:
        value = evidence.get(name)
        return float(value) if isinstance(value, int | float) else None

    def label(hotkey: object) -> str | None:
        return labels.get(str(hotkey), str(hotkey)) if hotkey else None

    clips = int(number("clips") or 0)
    gain, low, high = number("difference"), number("difference_low"), number("difference_high")
    if low is None or high is None:
        low = high = None
    return PrizeDecision(
        metric=decision.metric,
        outcome=outcome,
        sentence=decision.sentence,
        winner=label(decision.winner),
        champion=label(evidence.get("champion")),
        champion_mean=number("champion_mean"),
        needed=number("needed"),
        rival=label(evidence.get("challenger")),
        rival_mean=number("challenger_mean"),
        gain=None if gain is None else Estimate(gain, low, high, clips),
        p_value=number("p_value_holm"),
    )


def clips_by_spread(competition: RunCompetition) -> list[str]:
    """The clip ids by the spread of the entries' scores, largest first, in the paid metric of largest weight."""
    metrics = competition.paid_metrics
    if not metrics:
        return list(competition.clip_ids)

    def spread(clip: str) -> float:
        values = [e.scores[clip][metrics[0]] for e in competition.entries if metrics[0] in e.scores.get(clip, {})]
        return max(values) - min(values) if values else 0.0

    return sorted(competition.clip_ids, key=lambda clip: (-spread(clip), clip))


def _rng(competition: RunCompetition, name: str) -> np.random.Generator:
    return np.random.default_rng([competition.doc.seed, zlib.crc32(name.encode())])
