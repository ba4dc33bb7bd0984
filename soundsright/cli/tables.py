"""Leaderboards in the terminal. Every name that a miner chose is plain text here: no markup is read from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from soundsright.core.results import Estimate
from soundsright.metrics.registry import metric
from soundsright.services.summary import Row, Table

WIDE_COLUMNS = 120
"""A narrower terminal gets the interval under the mean."""

SHORT_NAMES = {"PESQ_WB": "PESQ-WB", "SI_SDR": "SI-SDR", "SI_SIR": "SI-SIR", "SI_SAR": "SI-SAR"}


def print_tables(console: Console, tables: Sequence[Table], metrics: Sequence[str]) -> None:
    """One leaderboard per competition, refused entries below it."""
    for table in tables:
        console.print()
        console.print(_leaderboard(table, metrics, narrow=console.width < WIDE_COLUMNS))
        for row in table.rows:
            if row.failures:
                console.print(Text.assemble("  ", (row.label, "yellow"), f"  {row.failure_note}"))
            for flag in row.flags:
                console.print(
                    Text.assemble("  ", (row.label, "yellow"), f"  flagged, {flag.code}: {flag.sentence}")
                )
        for refusal in table.refusals:
            who = f"{refusal.label} (uid {refusal.uid})"
            console.print(Text.assemble("  ", (who, "red"), f"  refused, {refusal.code}: {refusal.sentence}"))
        for found in table.suspected:
            label = found.duplicate.model.repository
            console.print(
                Text.assemble("  ", (label, "yellow"), f"  suspected, {found.rule.value}: {found.sentence}")
            )
        for decision in table.decisions:
            console.print(Text(f"  {decision.sentence}", style="dim"))


def _leaderboard(table: Table, metrics: Sequence[str], *, narrow: bool) -> RichTable:
    competition = table.competition
    prize = f"{competition.max_score:g} % to winners, {competition.remainder:g} % shared"
    out = RichTable(
        title=Text(f"{competition.title}: {prize}", style="bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0) if narrow else (0, 1),
    )
    out.add_column("#", justify="right")
    out.add_column("entry", no_wrap=True, overflow="ellipsis")
    for name in metrics:
        paid = "*" if name in competition.metric_weights else ""
        unit = " dB" if metric(name).unit == "dB" and not narrow else ""
        out.add_column(f"{SHORT_NAMES.get(name, name)}{unit}{paid}", justify="right", no_wrap=True)
    if not narrow:
        out.add_column("RTF", justify="right", no_wrap=True)
    out.add_column("share" if narrow else "share %", justify="right", no_wrap=True)
    best = _best_means(table, metrics)
    for row in table.rows:
        out.add_row(*_cells(row, metrics, best, narrow))
    out.add_section()
    out.add_row(*_cells(table.unprocessed, metrics, best, narrow), style="italic")
    return out


def _best_means(table: Table, metrics: Sequence[str]) -> dict[str, float]:
    return {name: max((row.estimates[name].mean for row in table.rows), default=0.0) for name in metrics}


def _cells(row: Row, metrics: Sequence[str], best: Mapping[str, float], narrow: bool) -> list[Text]:
    cells = [Text("" if row.rank is None else str(row.rank)), Text(row.label)]
    for name in metrics:
        estimate = row.estimates[name]
        style = "bold green" if row.rank is not None and estimate.mean == best[name] else ""
        text = mean_and_interval(estimate, decimals_of(name))
        cells.append(Text(text.replace(" ", "\n") if narrow else text, style=style))
    if not narrow:
        cells.append(Text("-" if row.real_time_factor is None else f"{row.real_time_factor:.3f}"))
    cells.append(Text("-" if row.rank is None else f"{row.share:.2f}", style="bold" if row.share else ""))
    return cells


def decimals_of(metric: str) -> int:
    """Decimals that a reader wants: two for dB, two for PESQ, three for indices between 0 and 1."""
    return 3 if metric.endswith("STOI") else 2


def mean_and_interval(estimate: Estimate, decimals: int) -> str:
    """Mean ± half the 95 % interval.

    >>> mean_and_interval(Estimate(1.234, 1.134, 1.334, 20), 2)
    '1.23 ±0.10'
    """
    half = (estimate.high - estimate.low) / 2
    return f"{estimate.mean:.{decimals}f} ±{half:.{decimals}f}"
