"""Leaderboards in the terminal. Names that miners chose are shown as plain text, so their markup has no effect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from soundsright.metrics import metric
from soundsright.services.records import CompetitionDoc, DecisionDoc, EstimateDoc, Results, RowDoc

if TYPE_CHECKING:
    from soundsright.core.competition import Competition
    from soundsright.services.rounds import RoundOutcome

_LEGEND = (
    "Ordered by share. * counts for the prize. Beside or under each rank are the ranks that remain possible with"
    " 95 % confidence, on any metric that counts. ± is half of the 95 % interval for new noises, rooms and prompts,"
    " or - if the clips allow none. A failed clip scores the floor. RTF is wall time on one processor, with other"
    " work running. At 48 kHz, PESQ-WB is computed at 16 kHz."
)
WIDE_COLUMNS = 120
"""In a narrower terminal, intervals go under the means and possible ranks under the ranks."""

SHORT_NAMES = {"PESQ_WB": "PESQ-WB", "SI_SDR": "SI-SDR", "SI_SIR": "SI-SIR", "SI_SAR": "SI-SAR"}


def print_tables(console: Console, competitions: Sequence[CompetitionDoc], metrics: Sequence[str]) -> None:
    """Print one leaderboard per competition, with the refused entries below it."""
    for competition in competitions:
        console.print()
        console.print(_leaderboard(competition, metrics, narrow=console.width < WIDE_COLUMNS))
        for note in _notes(competition):
            console.print(Padding(note, (0, 0, 0, 2)))


def print_remarks(console: Console, results: Results) -> None:
    """Print whether prizes are paid on the recordings, and what is kept private."""
    for remark in results.round.corpus.remarks if results.round.corpus else ():
        console.print()
        console.print(Text(remark, style="bold yellow"), soft_wrap=True)


def print_summary(
    console: Console, outcome: RoundOutcome, *, burn_uid: int, wall_s: float, peak_bytes: int, page: Path
) -> None:
    """Explain the tables, then list weights, digests of the sets, and what the run cost. `page` is its report."""
    weights = ", ".join(f"{uid}: {weight:.3f}" for uid, weight in outcome.weights.by_uid.items())
    stages = ("fetch", "generate", "load", "enhance", "score", "decide")
    work = "  ".join(f"{stage} {outcome.busy_s.get(stage, 0.0):.1f} s" for stage in stages)
    sets = "  ".join(f"{competition} {clips.digest[:12]}" for competition, clips in outcome.sets.items())
    competitions = [board.competition for board in outcome.leaderboards]
    paid = paid_sentence(outcome.weights.by_uid.get(burn_uid, 0.0), competitions)
    console.print()
    console.print(_LEGEND, soft_wrap=True)
    console.print(f"Weights    set in block {outcome.weights_block} (uid: weight)  {weights}", soft_wrap=True)
    console.print(f"Paid       {paid}; uid {burn_uid} burns the rest", soft_wrap=True)
    console.print(f"Sets       {sets}", soft_wrap=True)
    console.print(f"Work       {work}  (summed over processes)", soft_wrap=True)
    console.print(f"Took       {wall_s:.0f} s, at most {peak_bytes / 1e9:.2f} GB of memory in all processes")
    console.print(f"Open       {page.resolve()}", soft_wrap=True)


def paid_sentence(burned: float, competitions: Sequence[Competition]) -> str:
    """The part of the prizes and remainders that was paid, in percent of the emission. `burned` is a weight.

    >>> from soundsright.core.competition import PUBLISHED
    >>> paid_sentence(0.5, PUBLISHED[:1])
    '6.5 of the 13 percent that this run could pay (50.0 %)'
    """
    payable_percent = sum(competition.max_score + competition.remainder for competition in competitions)
    paid = 1 - burned
    paid_percent = f"{paid * payable_percent:.3g}"
    return f"{paid_percent} of the {payable_percent:g} percent that this run could pay ({100 * paid:.1f} %)"


def _notes(competition: CompetitionDoc) -> Iterator[Text]:
    """Facts that have no column: failures, flags, refusals, copies, unread files, and decisions with tests."""
    yield Text(clips_line(competition), style="dim")
    for row in competition.entries:
        if row.failures:
            yield Text.assemble((row.entry, "yellow"), f"  {row.failure_note}")
        for flag in row.flags:
            yield Text.assemble((row.entry, "yellow"), f"  flagged, {flag.code}: {flag.sentence}")
    for refusal in competition.refused:
        entry = f"{refusal.entry} (uid {refusal.uid})"
        yield Text.assemble((entry, "red"), f"  refused, {refusal.code}: {refusal.sentence}")
    for apart in competition.apart:
        yield Text.assemble((apart.row.entry, "red"), f"  {apart.code}, not paid: {apart.sentence}")
    for code, why in competition.unmeasured.items():
        yield Text(f"{code} could not be measured: {why}", style="dim")
    if competition.stopping is not None:
        yield Text(competition.stopping.sentence, style="dim")
    for copy in competition.suspected:
        yield Text.assemble((copy.entry, "yellow"), f"  suspected, {copy.code}: {copy.sentence}")
    for unread in competition.unread:
        yield Text.assemble((unread.entry, "yellow"), f"  not compared: {'; '.join(unread.files)}")
    for decision in competition.decisions:
        yield Text(decision.sentence, style="dim")
        if tested := line_of_test(decision):
            yield Text(f"  {tested}", style="dim")


def clips_line(competition: CompetitionDoc) -> str:
    """The number of clips, and the effective number: of independent clips that would be as certain."""
    estimates = [
        row.metrics[name]
        for row in (*competition.entries, competition.unprocessed)
        for name in competition.metric_weights
        if name in row.metrics and sum(row.failures.values()) < row.clips
    ]
    clips = f"{competition.unprocessed.clips} clips"
    effective = sorted(round(e.effective_n) for e in estimates if e.effective_n is not None)
    if not effective:
        return f"{clips}, each counted as independent"
    numbers = " to ".join(str(n) for n in dict.fromkeys((effective[0], effective[-1])))
    return f"{clips}, effective {numbers}: clips that share a noise, a room or a prompt count together"


def line_of_test(decision: DecisionDoc) -> str:
    """The test behind a decision, with its p-value. Empty if the rules have no test."""
    facts: Mapping[str, Any] = decision.evidence
    if "test" not in facts:
        return ""
    test = f"{facts['test']}, one-sided, paired over {facts['clips']:g} clips"
    if "p_value_holm" in facts and "needed" in facts:
        low, high = facts.get("difference_low"), facts.get("difference_high")
        interval = "no interval" if low is None or high is None else f"[{low:.4f}, {high:.4f}]"
        tested = facts.get("challengers_tested", float(facts["entries"]) - 1)
        return (
            f"{test}, Holm over {tested:g}: {facts['challenger']} minus {facts['champion']}"
            f" {facts['difference']:+.4f} {interval}, p = {facts['p_value_holm']:.2g}"
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
    # Only this column wraps, so that a long name does not cut the numbers.
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
    """Decimals to show: two for dB and PESQ, three for indices between 0 and 1."""
    return 3 if metric.endswith("STOI") else 2


def mean_and_interval(estimate: EstimateDoc, decimals: int) -> str:
    """Mean ± half of the 95 % interval, or a dash without an interval.

    >>> mean_and_interval(EstimateDoc(mean=1.234, low=1.134, high=1.334, n=20), 2)
    '1.23 ±0.10'
    """
    half = estimate.half_width
    return f"{estimate.mean:.{decimals}f} ±{'-' if half is None else f'{half:.{decimals}f}'}"
