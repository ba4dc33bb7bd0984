"""Prints the result of `soundsright score`: the table, and what the reader has to know about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from soundsright.cli.shared.set_groups import clip_counts, counted_clips, grouped_clips, independent_clips
from soundsright.core.errors import printable

if TYPE_CHECKING:
    from soundsright.core.results import ClipResult
    from soundsright.library import SetGroups
    from soundsright.services.scoring import MetricSummary


def print_table(summaries: Mapping[str, MetricSummary]) -> None:
    """Print a row for each metric."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    from soundsright.metrics import Direction, metric

    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("Metric", no_wrap=True)
    grouped = any(summary.effective_n is not None for summary in summaries.values())
    clips = ("Clips", "Effective") if grouped else ("Clips",)
    undefined = any(summary.undefined for summary in summaries.values())
    defined = ("Mean of defined",) if undefined else ()
    for heading in ("Mean", "95 % interval", "Median", *clips, "Failed", "Undefined", *defined):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Unit")
    for name, summary in summaries.items():
        lower = metric(name).direction is Direction.LOWER_IS_BETTER
        table.add_row(
            name,
            f"{summary.mean:.4f}",
            "–" if summary.low is None else f"{summary.low:.4f} … {summary.high:.4f}",
            f"{summary.median:.4f}",
            *clip_counts(summary.n, summary.effective_n, grouped=grouped),
            f"{summary.failed} of {summary.n}",
            str(summary.undefined),
            *((_mean_of_defined(summary),) if undefined else ()),
            metric(name).unit + (", lower is better" if lower else ""),
        )
    # Only the unit wraps, because a number or a name that is cut is wrong.
    for column in table.columns[:-1]:
        column.min_width = max(len(str(cell)) for cell in (column.header, *column.cells))
    console = Console(highlight=False)
    needed = console.measure(table, options=console.options.update(width=1_000)).minimum
    console.width = max(console.width, needed)
    console.print(table)


def _mean_of_defined(summary: MetricSummary) -> str:
    return "–" if summary.mean_defined is None else f"{summary.mean_defined:.4f} (n = {summary.n_defined})"


def print_groups(own: SetGroups, clips: int) -> None:
    """Say what the clips share, or that each counts as independent."""
    if own.groups is None:
        click.echo(independent_clips(clips))
        return
    for sentence in grouped_clips(own.groups, str(own.manifest)):
        click.echo(printable(sentence))


def print_missing_values(results: Sequence[ClipResult]) -> None:
    """Say for which clips a metric has no value, and why. Metrics with the same reason share a line."""
    from soundsright.metrics import NoValue
    from soundsright.services.scoring import some_of

    clips_of: dict[tuple[str, str], list[str]] = {}
    for result in results:
        for name, why in result.no_value.items():
            clips_of.setdefault((name, why), []).append(result.clip_id)
    metrics_of: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (name, why), clips in clips_of.items():
        metrics_of.setdefault((why, tuple(clips)), []).append(name)
    for (why, clip_ids), names in metrics_of.items():
        counts = "has no value" if len(names) == 1 else "have no value"
        floor = "counts as its floor" if len(names) == 1 else "count as their floors"
        reason = NoValue(why).sentence.rstrip(".") if why in set(NoValue) else why
        reason = reason if reason.startswith("PESQ") else reason[0].lower() + reason[1:]
        line = (
            f"{', '.join(names)} {counts} in {len(clip_ids)} of {counted_clips(len(results))} and {floor}: {reason}"
        )
        click.echo(printable(f"{line} ({some_of(clip_ids)})"))
    if metrics_of:
        click.echo("Mean counts the floors, as a competition does. To describe a system, use Mean of defined.")
        click.echo(
            "Mean of defined leaves out clips whose clean or noisy recording allows no value. Other clips without "
            "a score count as floors there too."
        )


def print_flagged(clips: Sequence[ClipResult]) -> None:
    """Say how many clips are flagged for hallucination, and which. A clip without a value is not."""
    from soundsright.metrics import FLAGGED_ABOVE
    from soundsright.services.scoring import some_of

    scores = {c.clip_id: (c.scores or {}).get("HALLUCINATION") for c in clips if "HALLUCINATION" not in c.no_value}
    flagged = [clip for clip, score in scores.items() if score is not None and score > FLAGGED_ABOVE]
    if count := sum(score is not None for score in scores.values()):
        named = f": {some_of(flagged)}" if flagged else ""
        are = "is" if count == 1 else "are"
        click.echo(printable(f"{len(flagged)} of {counted_clips(count)} {are} flagged for hallucination{named}."))


def print_failures(results: Sequence[ClipResult], *, align: bool) -> None:
    """Say which clips failed, by the code of the failure."""
    from rich.console import Console

    console = Console(highlight=False)
    codes: dict[str, list[str]] = {}
    for result in results:
        if result.failure is not None:
            codes.setdefault(result.failure.code, []).append(f"{result.clip_id} ({result.failure.detail})")
    for code, clips in codes.items():
        others = f" and {len(clips) - 3} more" if len(clips) > 3 else ""
        console.print(printable(f"{len(clips)} failed, {code}: {', '.join(clips[:3])}{others}"), markup=False)
    if "length" in codes and not align:
        console.print("--align corrects lengths that differ by up to 0.5 s. No competition does.", markup=False)
