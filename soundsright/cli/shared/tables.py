"""Leaderboards in the terminal. Every name that a miner chose is plain text here: no markup is read from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from soundsright.metrics import metric
from soundsright.services.records import CompetitionDoc, DecisionDoc, EstimateDoc, RowDoc

WIDE_COLUMNS = 120
"""A narrower terminal gets the interval under the mean, and the open ranks under the rank."""

SHORT_NAMES = {"PESQ_WB": "PESQ-WB", "SI_SDR": "SI-SDR", "SI_SIR": "SI-SIR", "SI_SAR": "SI-SAR"}


def print_tables(console: Console, competitions: Sequence[CompetitionDoc], metrics: Sequence[str]) -> None:
    """One leaderboard per competition, refused entries below it."""
    for competition in competitions:
        console.print()
        console.print(_leaderboard(competition, metrics, narrow=console.width < WIDE_COLUMNS))
        for note in _notes(competition):
            console.print(Padding(note, (0, 0, 0, 2)))


def _notes(competition: CompetitionDoc) -> Iterator[Text]:
    """What a table has no column for: failures, flags, refusals, suspicions, and each decision with its test."""
    for row in competition.entries:
        if row.failures:
            yield Text.assemble((row.entry, "yellow"), f"  {row.failure_note}")
        for flag in row.flags:
            yield Text.assemble((row.entry, "yellow"), f"  flagged, {flag.code}: {flag.sentence}")
    for refusal in competition.refused:
        who = f"{refusal.entry} (uid {refusal.uid})"
        yield Text.assemble((who, "red"), f"  refused, {refusal.code}: {refusal.sentence}")
    for copy in competition.suspected:
        yield Text.assemble((copy.entry, "yellow"), f"  suspected, {copy.code}: {copy.sentence}")
    for decision in competition.decisions:
        yield Text(decision.sentence, style="dim")
        if tested := line_of_test(decision):
            yield Text(f"  {tested}", style="dim")


def line_of_test(decision: DecisionDoc) -> str:
    """The test behind a decision, with its p-value; empty where the rules hold none."""
    facts: Mapping[str, Any] = decision.evidence
    if "test" not in facts:
        return ""
    test = f"{facts['test']}, one-sided, paired over {facts['clips']:g} clips"
    if "p_value_holm" in facts and "needed" in facts:
        low, high = facts["difference_low"], facts["difference_high"]
        return (
            f"{test}, Holm over {float(facts['entries']) - 1:g}: {facts['challenger']} minus {facts['champion']}"
            f" {facts['difference']:+.4f} [{low:.4f}, {high:.4f}], p = {facts['p_value_holm']:.2g}"
        )
    if "p_value_unprocessed" in facts:
        return f"{test}, over the unprocessed input: p = {facts['p_value_unprocessed']:.2g}"
    return ""


def _leaderboard(competition: CompetitionDoc, metrics: Sequence[str], *, narrow: bool) -> Table:
    prize = f"{competition.max_score:g} % to winners, {competition.remainder:g} % shared"
    out = Table(
        title=Text(f"{competition.title}: {prize}", style="bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0) if narrow else (0, 1),
    )
    out.add_column("#", justify="right", no_wrap=True)
    if not narrow:
        out.add_column("ranks", justify="right", no_wrap=True)
    # The only column that may wrap: a long name must not cut the numbers.
    out.add_column("entry", overflow="fold")
    for name in metrics:
        paid = "*" if name in competition.metric_weights else ""
        unit = " dB" if metric(name).unit == "dB" and not narrow else ""
        out.add_column(f"{SHORT_NAMES.get(name, name)}{unit}{paid}", justify="right", no_wrap=True)
    if not narrow:
        out.add_column("RTF", justify="right", no_wrap=True)
    out.add_column("share" if narrow else "share %", justify="right", no_wrap=True)
    best = _best_means(competition, metrics)
    for row in competition.entries:
        out.add_row(*_cells(row, metrics, best, narrow))
    out.add_section()
    out.add_row(*_cells(competition.unprocessed, metrics, best, narrow), style="italic")
    return out


def _best_means(competition: CompetitionDoc, metrics: Sequence[str]) -> dict[str, float]:
    return {name: max((row.metrics[name].mean for row in competition.entries), default=0.0) for name in metrics}


def _cells(row: RowDoc, metrics: Sequence[str], best: Mapping[str, float], narrow: bool) -> list[Text]:
    rank, ranks = "" if row.rank is None else str(row.rank), _ranks(row)
    cells = [Text(f"{rank}\n{ranks}")] if narrow else [Text(rank), Text(ranks)]
    cells.append(Text(row.entry))
    for name in metrics:
        estimate = row.metrics[name]
        style = "bold green" if row.rank is not None and estimate.mean == best[name] else ""
        text = mean_and_interval(estimate, decimals_of(name))
        cells.append(Text(text.replace(" ", "\n") if narrow else text, style=style))
    if not narrow:
        factor = row.timing.real_time_factor
        cells.append(Text("-" if factor is None else f"{factor:.3f}"))
    cells.append(Text("-" if row.rank is None else f"{row.share:.2f}", style="bold" if row.share else ""))
    return cells


def _ranks(row: RowDoc) -> str:
    ranks = row.possible_ranks
    if ranks is None:
        return ""
    return f"{ranks.best}–{ranks.worst}" if ranks.best < ranks.worst else str(ranks.best)


def decimals_of(metric: str) -> int:
    """Decimals that a reader wants: two for dB, two for PESQ, three for indices between 0 and 1."""
    return 3 if metric.endswith("STOI") else 2


def mean_and_interval(estimate: EstimateDoc, decimals: int) -> str:
    """Mean ± half the 95 % interval.

    >>> mean_and_interval(EstimateDoc(mean=1.234, low=1.134, high=1.334, n=20), 2)
    '1.23 ±0.10'
    """
    half = (estimate.high - estimate.low) / 2
    return f"{estimate.mean:.{decimals}f} ±{half:.{decimals}f}"
