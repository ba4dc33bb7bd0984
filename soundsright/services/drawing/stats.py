"""What the pages work out from a run's clips: open ranks, paired differences, scores by condition.

Values are in their metric's unit, the floor for a failed clip. Chance is seeded from the run, so a page says the
same each time it is drawn.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from soundsright.core.results import Estimate
from soundsright.ranking import RankSet, paired_comparison, rank_confidence_sets
from soundsright.services.drawing.charts import Interval, Series, TradePoint, condition_plot
from soundsright.services.drawing.plots import Box
from soundsright.services.drawing.texts import metric_name
from soundsright.services.records import DecisionDoc, MetricDoc, RecipeDoc, Run, RunCompetition, RunEntry

RESAMPLES = 2000
MAX_RANKED = 64
"""Open ranks are worked out among so many entries at most: their cost grows with the square."""


@dataclass(frozen=True)
class Difference:
    """One entry minus another over the same clips, with the p-value of the paired test."""

    metric: str
    against: str
    estimate: Estimate
    p_value: float
    better: bool | None
    """Whether the interval lies on the good side of zero, or the bad one; None where it holds zero."""


@dataclass(frozen=True)
class Condition:
    """What a set was drawn over: its name, its axis, and the field of a recipe."""

    name: str
    axis: str
    field: str

    def of(self, recipe: RecipeDoc) -> float | None:
        value: float | None = getattr(recipe, self.field)
        return value


@dataclass(frozen=True)
class Defence:
    """One metric's prize as it was fought for: entries are labels, None where there was none or it is not known.

    `outcome` is `taken`, `kept`, `first` (nobody held it) or `nobody`. `gain` is the rival's mean over the
    champion's, paired clip by clip, and `p_value` that of the test that decided.
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


CONDITIONS = (Condition("SNR", "SNR of the input, dB", "snr_db"), Condition("RT60", "RT60, s", "rt60_s"))


def metric_docs(run: Run) -> dict[str, MetricDoc]:
    return dict(run.doc.metrics) if run.doc else {}


def open_ranks(run: Run, competition: RunCompetition) -> dict[str, dict[str, RankSet]]:
    """For each metric that pays, by entry key, the ranks that the scores leave open with 95 % confidence.

    Empty where there are no clips, or more entries than can be compared with each other.
    """
    if not competition.clip_ids or not 1 <= len(competition.entries) <= MAX_RANKED:
        return {}
    found = {}
    for name in competition.paid_metrics:
        sign = 1.0 if metric_docs(run)[name].direction == "higher" else -1.0
        scores = {entry.key: [sign * v for v in competition.values(entry, name)] for entry in competition.entries}
        found[name] = rank_confidence_sets(scores, rng=_rng(competition, name), resamples=RESAMPLES)
    return found


def difference(
    run: Run, competition: RunCompetition, entry: RunEntry, other: RunEntry, metric: str
) -> Difference | None:
    """`entry` minus `other`; None where a run kept no clips."""
    if not competition.clip_ids:
        return None
    compared = paired_comparison(
        competition.values(entry, metric),
        competition.values(other, metric),
        rng=_rng(competition, metric + entry.key + other.key),
        resamples=RESAMPLES,
    )
    gain = compared.difference
    if metric_docs(run)[metric].direction == "lower":
        gain = Estimate(-gain.mean, -gain.high, -gain.low, gain.n)
    better = True if gain.low > 0 else False if gain.high < 0 else None
    return Difference(metric, other.label, compared.difference, compared.p_value, better)


def defences(competition: RunCompetition) -> list[Defence]:
    """What became of each prize, from the evidence of the decisions; the heaviest metric first."""
    order = {name: place for place, name in enumerate(competition.paid_metrics)}
    decisions = sorted(competition.doc.decisions, key=lambda d: order.get(d.metric, len(order)))
    return [_defence(decision, competition) for decision in decisions]


def _defence(decision: DecisionDoc, competition: RunCompetition) -> Defence:
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
    return Defence(
        metric=decision.metric,
        outcome=outcome,
        sentence=decision.sentence,
        winner=label(decision.winner),
        champion=label(evidence.get("champion")),
        champion_mean=number("champion_mean"),
        needed=number("needed"),
        rival=label(evidence.get("challenger")),
        rival_mean=number("challenger_mean"),
        gain=None if gain is None or low is None or high is None else Estimate(gain, low, high, clips),
        p_value=number("p_value_holm"),
    )


def boxes(
    competition: RunCompetition, metric: str, entries: Sequence[RunEntry], best: RunEntry | None
) -> list[Box]:
    """One box per entry that answered at least one clip: a row of floors would squeeze the others into a corner."""
    return [
        Box(entry.label, tuple(competition.values(entry, metric)), entry is best)
        for entry in entries
        if entry.scores and competition.clip_ids
    ]


def speaker_boxes(competition: RunCompetition, metric: str, entry: RunEntry) -> list[Box]:
    """The entry's scores by speaker."""
    by_speaker: dict[str, list[float]] = {}
    for clip, value in zip(competition.clip_ids, competition.values(entry, metric), strict=True):
        speaker = competition.recipes[clip].speaker
        if speaker:
            by_speaker.setdefault(speaker, []).append(value)
    return [Box(speaker, tuple(values)) for speaker, values in sorted(by_speaker.items())]


def intervals(competition: RunCompetition, metric: str) -> list[Interval]:
    """The entries' means as decided, those without any answer left out."""
    rows = []
    for entry in competition.entries:
        estimate = entry.row.metrics.get(metric)
        if estimate is not None and entry.answered:
            rows.append(
                Interval(entry.label, estimate.mean, estimate.low, estimate.high, entry is competition.best)
            )
    return rows


def gains(run: Run, competition: RunCompetition, metric: str) -> list[Interval]:
    """Each entry minus the unprocessed input, paired clip by clip."""
    rows = []
    for entry in competition.entries:
        found = difference(run, competition, entry, competition.unprocessed, metric) if entry.scores else None
        if found is not None and entry.answered:
            e = found.estimate
            rows.append(Interval(entry.label, e.mean, e.low, e.high, entry is competition.best))
    return rows


def trade_points(competition: RunCompetition, metric: str) -> list[TradePoint]:
    """Score by real-time factor, for entries that answered every clip."""
    return [
        TradePoint(
            entry.label,
            str(entry.row.rank),
            entry.row.timing.real_time_factor,
            entry.row.metrics[metric].mean,
            entry is competition.best,
        )
        for entry in competition.entries
        if entry.row.timing.real_time_factor and metric in entry.row.metrics and not entry.row.failures
    ]


def by_condition(
    competition: RunCompetition, metric: str, entries: Sequence[RunEntry]
) -> list[tuple[Condition, list[Series]]]:
    """For each condition that varies in the set, one series per entry."""
    found = []
    for condition in CONDITIONS:
        at = [condition.of(competition.recipes[clip]) for clip in competition.clip_ids]
        known = [i for i, value in enumerate(at) if value is not None]
        if len({at[i] for i in known}) < 2:
            continue
        series = []
        for entry in entries:
            values = competition.values(entry, metric)
            kept = [i for i in known if competition.clip_ids[i] in entry.scores]
            xs = tuple(float(x) for i in kept if (x := at[i]) is not None)
            series.append(Series(entry.label, xs, tuple(values[i] for i in kept)))
        found.append((condition, series))
    return found


def condition_plots(
    c: RunCompetition, metric: str, facts: MetricDoc, entries: Sequence[RunEntry]
) -> dict[str, str]:
    """One drawing for each condition that varies in the set, by name."""
    return {
        f"{metric}-{condition.name}": condition_plot(
            series, title=f"{metric_name(metric)} by {condition.name}", unit=facts.unit, x_title=condition.axis
        )
        for condition, series in by_condition(c, metric, entries)
        if any(one.xs for one in series)
    }


def _rng(competition: RunCompetition, name: str) -> np.random.Generator:
    return np.random.default_rng([competition.doc.seed, zlib.crc32(name.encode())])


def clips_by_spread(competition: RunCompetition) -> list[str]:
    """The clips by how far the entries' scores lie apart, most first, under the first metric that pays."""
    metrics = competition.paid_metrics
    if not metrics:
        return list(competition.clip_ids)

    def spread(clip: str) -> float:
        values = [e.scores[clip][metrics[0]] for e in competition.entries if metrics[0] in e.scores.get(clip, {})]
        return max(values) - min(values) if values else 0.0

    return sorted(competition.clip_ids, key=lambda clip: (-spread(clip), clip))
