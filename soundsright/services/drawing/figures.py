"""The plots of a run as SVG: those of a competition, of an entry, and of the history over rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from soundsright.services.drawing.boxes import Box, box_plot
from soundsright.services.drawing.charts import (
    Interval,
    Series,
    TradePoint,
    condition_plot,
    history_plot,
    interval_plot,
    trade_plot,
)
from soundsright.services.drawing.comparisons import metric_docs, paired_difference
from soundsright.services.drawing.texts import metric_name
from soundsright.services.records import MetricDoc, RecipeDoc, Run, RunCompetition, RunEntry


@dataclass(frozen=True)
class Condition:
    """A property in which the clips of a set differ: its name, the title of its axis, and its field in a recipe."""

    name: str
    axis: str
    field: str

    def of(self, recipe: RecipeDoc) -> float | None:
        value: float | None = getattr(recipe, self.field)
        return value


@dataclass(frozen=True)
class CompetitionHistory:
    """The title of a competition and one plot over rounds for each metric with a prize."""

    title: str
    plots: tuple[str, ...]


CONDITIONS = (Condition("SNR", "SNR of the input, dB", "snr_db"), Condition("RT60", "RT60, s", "rt60_s"))


def competition_plots(run: Run, competition: RunCompetition) -> dict[str, dict[str, str]]:
    """The plots of a competition by metric and name, metrics with a prize first; empty if no clips were kept."""
    docs = metric_docs(run)
    order = dict.fromkeys((*competition.paid_metrics, *docs)) if competition.clip_ids else {}
    plots = {name: _metric_plots(run, competition, name, docs[name]) for name in order}
    return {name: by_name for name, by_name in plots.items() if by_name}


def _metric_plots(run: Run, competition: RunCompetition, name: str, doc: MetricDoc) -> dict[str, str]:
    plots: dict[str, str] = {}
    title = metric_name(name)
    has_prize = name in competition.doc.metric_weights
    unprocessed = competition.unprocessed.row.metrics.get(name)
    if means := _means(competition, name):
        plots[f"{name}-mean"] = interval_plot(
            means,
            title=f"{title}, mean",
            unit=doc.unit,
            reference=unprocessed.mean if unprocessed else None,
            reference_label="unprocessed input",
        )
    if has_prize and (gains := _gains(run, competition, name)):
        plots[f"{name}-gain"] = interval_plot(
            gains, title=f"{title}, gain over the input", unit=doc.unit, reference=0.0
        )
    if boxes := _clip_boxes(competition, name, (*competition.entries, competition.unprocessed), competition.best):
        plots[f"{name}-clips"] = box_plot(boxes, title=f"{title} by clip", unit=doc.unit)
    if name in competition.paid_metrics[:1] and (points := _trade_points(competition, name)):
        plots[f"{name}-speed"] = trade_plot(
            points, title=f"{title} over speed", unit=doc.unit, higher_is_better=doc.direction == "higher"
        )
    if has_prize:
        best = [entry for entry in competition.entries if entry.scores][:3]
        plots |= _condition_plots(competition, name, doc, (*best, competition.unprocessed))
    return plots


def entry_plots(run: Run, competition: RunCompetition, entry: RunEntry, others: Sequence[RunEntry]) -> list[str]:
    """The plots of an entry beside `others`, for each metric with a prize: by clip, condition and speaker."""
    plots: list[str] = []
    for name in competition.paid_metrics if entry.scores else ():
        doc = metric_docs(run)[name]
        entries = (entry, *others)
        title = metric_name(name)
        clips = _clip_boxes(competition, name, entries, entry)
        plots.append(box_plot(clips, title=f"{title} by clip", unit=doc.unit))
        plots.extend(_condition_plots(competition, name, doc, entries).values())
        if speakers := _speaker_boxes(competition, name, entry):
            plots.append(box_plot(speakers, title=f"{title} by speaker", unit=doc.unit))
    return plots


def history_plots(runs: Sequence[Run]) -> list[CompetitionHistory]:
    """For each competition, the best entry and the unprocessed input over rounds; needs two finished rounds."""
    finished = [run for run in runs if run.doc]
    if len(finished) < 2:
        return []
    ids = dict.fromkeys(c.doc.id for run in finished for c in run.competitions)
    return [_competition_history(finished, competition_id) for competition_id in ids]


def _competition_history(runs: Sequence[Run], competition_id: str) -> CompetitionHistory:
    rounds = [(i, run, c) for i, run in enumerate(runs) if (c := run.competition(competition_id))]
    _, last_run, last = rounds[-1]
    plots = []
    for name in last.paid_metrics:
        doc = metric_docs(last_run)[name]
        sign = 1.0 if doc.direction == "higher" else -1.0
        best, unprocessed = {}, {}
        for i, _, competition in rounds:
            means = [mean for entry in competition.entries if (mean := _mean_of(entry, name))]
            if means:
                best[i] = max(means, key=lambda mean: sign * mean.mean)
            if mean := _mean_of(competition.unprocessed, name):
                unprocessed[i] = mean
        if best or unprocessed:
            series = [_over_rounds("best entry", best), _over_rounds("unprocessed input", unprocessed)]
            names = [run.folder.name for run in runs]
            plots.append(history_plot(series, names, title=metric_name(name), unit=doc.unit))
    return CompetitionHistory(last.doc.title, tuple(plots))


def _over_rounds(label: str, mean_by_round: Mapping[int, Interval]) -> Series:
    return Series(
        label,
        tuple(float(i) for i in mean_by_round),
        tuple(each.mean for each in mean_by_round.values()),
        tuple(each.low for each in mean_by_round.values()),
        tuple(each.high for each in mean_by_round.values()),
    )


def _mean_of(entry: RunEntry, metric: str, *, emphasis: bool = False) -> Interval | None:
    estimate = entry.row.metrics.get(metric)
    if estimate is None:
        return None
    return Interval(entry.label, estimate.mean, estimate.low, estimate.high, emphasis)


def _clip_boxes(
    competition: RunCompetition, metric: str, entries: Sequence[RunEntry], best: RunEntry | None
) -> list[Box]:
    """One box per entry. Entries without any score are left out: their floors would squeeze the other boxes."""
    return [
        Box(entry.label, tuple(competition.among([entry]).values(entry, metric)), entry is best)
        for entry in entries
        if entry.scores and competition.clip_ids
    ]


def _speaker_boxes(competition: RunCompetition, metric: str, entry: RunEntry) -> list[Box]:
    competition = competition.among([entry])
    by_speaker: dict[str, list[float]] = {}
    for clip, value in zip(competition.clip_ids, competition.values(entry, metric), strict=True):
        speaker = competition.recipes[clip].speaker
        if speaker:
            by_speaker.setdefault(speaker, []).append(value)
    return [Box(speaker, tuple(values)) for speaker, values in sorted(by_speaker.items())]


def _means(competition: RunCompetition, metric: str) -> list[Interval]:
    """The means of the entries, without those that failed on every clip."""
    return [
        mean
        for entry in competition.entries
        if entry.answered and (mean := _mean_of(entry, metric, emphasis=entry is competition.best))
    ]


def _gains(run: Run, competition: RunCompetition, metric: str) -> list[Interval]:
    """Each entry minus the unprocessed input, paired clip by clip."""
    rows = []
    for entry in competition.entries:
        if entry.scores and entry.answered:
            gain = paired_difference(run, competition, entry, competition.unprocessed, metric)
            if gain is not None:
                e = gain.estimate
                rows.append(Interval(entry.label, e.mean, e.low, e.high, entry is competition.best))
    return rows


def _trade_points(competition: RunCompetition, metric: str) -> list[TradePoint]:
    """Score and real-time factor of the entries that failed on no clip."""
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


def _condition_plots(
    competition: RunCompetition, metric: str, doc: MetricDoc, entries: Sequence[RunEntry]
) -> dict[str, str]:
    """A plot for each condition that varies in the set, by name, with a series per entry."""
    plots = {}
    for condition in CONDITIONS:
        values = [condition.of(competition.recipes[clip]) for clip in competition.clip_ids]
        if len({value for value in values if value is not None}) < 2:
            continue
        series = [_by_condition(competition, metric, entry, values) for entry in entries]
        if any(each.xs for each in series):
            plots[f"{metric}-{condition.name}"] = condition_plot(
                series,
                title=f"{metric_name(metric)} by {condition.name}",
                unit=doc.unit,
                x_title=condition.axis,
            )
    return plots


def _by_condition(
    competition: RunCompetition, metric: str, entry: RunEntry, values: Sequence[float | None]
) -> Series:
    """The entry's scores over a condition, whose `values` are by clip; failed clips are left out."""
    scores = competition.values(entry, metric)
    points = [
        (value, score)
        for clip, value, score in zip(competition.clip_ids, values, scores, strict=True)
        if value is not None and clip in entry.scores
    ]
    return Series(entry.label, tuple(float(x) for x, _ in points), tuple(y for _, y in points))
