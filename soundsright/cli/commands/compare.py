"""`soundsright compare`: compare two scored systems clip by clip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundsright.cli.shared.options import FILE, FILE_OR_STDOUT, cluster_options, grouped, option
from soundsright.cli.shared.set_groups import (
    clip_counts,
    counted_clips,
    grouped_clips,
    independent_clips,
    p_value_text,
)
from soundsright.core.errors import UsageError, printable

if TYPE_CHECKING:
    from soundsright.library import MetricComparison, SystemComparison

LEVEL = 0.05
_REPORT = click.Path(exists=True, dir_okay=False, path_type=Path)


@dataclass(frozen=True)
class _Statistics:
    """How differences are tested: the groups of clips, and the resampling."""

    manifest: Path | None
    cluster_by: str
    resamples: int
    seed: int


@click.command("compare")
@click.argument("a", type=_REPORT)
@click.argument("b", type=_REPORT)
@option("--metrics", help="Names of metrics, separated by commas. [default: all that both reports have]")
@grouped(
    _Statistics,
    "statistics",
    *cluster_options,
    option(
        "--resamples",
        default=10_000,
        type=click.IntRange(100, 1_000_000),
        help="Draws of the bootstrap and of the permutation test.",
    ),
    option("--seed", default=0, type=click.IntRange(0), help="Seed of the resampling."),
)
@option("--json", "report", type=FILE_OR_STDOUT, help="Write the numbers as JSON to this file. -: stdout.")
@option("--plot", type=FILE, help="Draw the differences to this file: .svg, .pdf or .png.")
def command(
    *, a: Path, b: Path, metrics: str | None, statistics: _Statistics, report: Path | None, plot: Path | None
) -> None:
    """Compare two scored systems clip by clip.

    \b
    soundsright score --clean set/clean --enhanced a --json a.json
    soundsright score --clean set/clean --enhanced b --json b.json
    soundsright compare a.json b.json

    A and B are reports of `soundsright score` on the same set. For each metric you get the mean of A minus B with
    its 95 % interval, the p-value of a paired test before and after Holm's correction over the metrics, and the
    effect size (Cohen's d of the paired differences).

    Clips that share a noise, a room or a prompt are not independent. If the reports or a manifest say which do,
    intervals and p-values hold for new noises and prompts (Student's, clustered both ways). Otherwise each clip
    counts as independent (BCa bootstrap and permutation test).
    """
    import json

    from soundsright.library import compare
    from soundsright.services.scoring import checked_targets

    checked_targets(report, plot)
    if plot is not None:
        from soundsright.services.drawing import checked_suffix

        checked_suffix(plot)
    chosen = [] if metrics is None else [name for name in metrics.split(",") if name.strip()]
    if metrics is not None and not chosen:
        raise UsageError("--metrics has no name", "Give one or more names, separated by commas.")
    compared = compare(
        a,
        b,
        metrics=chosen,
        manifest=statistics.manifest,
        cluster_by=statistics.cluster_by,
        resamples=statistics.resamples,
        seed=statistics.seed,
    )
    for note in compared.notes:
        click.echo(note, err=True)
    if report is not None:
        text = json.dumps(_fields(compared), indent=2, allow_nan=False) + "\n"
        if str(report) == "-":
            click.echo(text, nl=False)
        else:
            report.write_text(text, encoding="utf-8")
    if report is None or str(report) != "-":
        _print_table(compared, a, b)
        _print_groups(compared)
        _print_floors(compared)
    if plot is not None:
        _draw(plot, compared, f"{a.stem} minus {b.stem}")


def _fields(compared: SystemComparison) -> dict[str, Any]:
    return {
        "groups": None if compared.groups is None else compared.groups.counts,
        "failed": {
            side: {clip: failure.code for clip, failure in failures.items()}
            for side, failures in (("a", compared.failed_a), ("b", compared.failed_b))
        },
        "metrics": {
            name: {
                "difference": each.difference.mean,
                "low": each.difference.low,
                "high": each.difference.high,
                "n": each.difference.n,
                "effective_n": each.difference.effective_n,
                "p_value": each.p_value,
                "p_value_holm": each.p_value_holm,
                "effect_size": each.effect_size,
                "undefined": each.undefined,
                "mean_defined": each.mean_defined,
                "n_defined": each.n_defined,
            }
            for name, each in compared.metrics.items()
        },
    }


def _print_table(compared: SystemComparison, a: Path, b: Path) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    grouped = compared.groups is not None
    effective = ("Eff. n",) if grouped else ()
    undefined = any(each.undefined for each in compared.metrics.values())
    defined = ("Undefined", "A - B of defined") if undefined else ()
    failed = bool(compared.failed_a or compared.failed_b)
    counts = (*effective, *(("Failed A, B",) if failed else ()), *defined)
    for heading in ("Metric", "A - B", "95 % interval", "p", "p (Holm)", "Effect", *counts, "Better"):
        table.add_column(heading, justify="left" if heading in ("Metric", "Better") else "right", no_wrap=True)
    for name, each in compared.metrics.items():
        difference = each.difference
        table.add_row(
            name,
            f"{difference.mean:+.4f}",
            "–" if difference.low is None else f"{difference.low:+.4f} … {difference.high:+.4f}",
            "–" if difference.low is None else p_value_text(each.p_value),
            "–" if difference.low is None else p_value_text(each.p_value_holm),
            f"{each.effect_size:+.2f}",
            *clip_counts(difference.n, difference.effective_n, grouped=grouped)[1:],
            *((f"{len(compared.failed_a)}, {len(compared.failed_b)}",) if failed else ()),
            *((str(each.undefined), _mean_of_defined(each)) if undefined else ()),
            "open" if each.better is None else each.better.upper(),
        )
    console = Console(highlight=False)
    # A number that is cut is wrong, so the table may be wider than the terminal.
    console.width = max(console.width, console.measure(table, options=console.options.update(width=1_000)).maximum)
    console.print(f"A is {a.name}, B is {b.name}; {counted_clips(len(compared.clip_ids))}", markup=False)
    console.print(table)


def _mean_of_defined(each: MetricComparison) -> str:
    return "–" if each.mean_defined is None else f"{each.mean_defined:+.4f} (n = {each.n_defined})"


def _print_groups(compared: SystemComparison) -> None:
    """Say what the clips share, and whether they are too few."""
    groups, n = compared.groups, len(compared.clip_ids)
    for sentence in grouped_clips(groups) if groups is not None else [independent_clips(n)]:
        click.echo(sentence)
    has_interval = any(each.difference.low is not None for each in compared.metrics.values())
    if has_interval and compared.least_p_value_holm > LEVEL:
        over = f" over {len(compared.metrics)} metrics" if len(compared.metrics) > 1 else ""
        least = f"{compared.least_p_value_holm:.3g}"
        counted = "clips" if groups is None else "groups"
        click.echo(f"{compared.witnesses} {counted} are too few: p (Holm){over} cannot fall below {least}.")


def _print_floors(compared: SystemComparison) -> None:
    """Say which clips failed on a side, and what the two means count."""
    from soundsright.services.scoring import some_of

    total = counted_clips(len(compared.clip_ids))
    for side, failures in (("A", compared.failed_a), ("B", compared.failed_b)):
        if failures:
            named = some_of([f"{clip} ({failure.code})" for clip, failure in failures.items()])
            count = "counts" if len(failures) == 1 else "count"
            click.echo(
                printable(f"{len(failures)} of {total} failed in {side} and {count} as the floors: {named}.")
            )
    undefined = any(each.undefined for each in compared.metrics.values())
    if undefined or compared.failed_a or compared.failed_b:
        click.echo("A - B counts the floors, as a competition does.")
    if undefined:
        click.echo(
            "A - B of defined leaves out only clips whose clean or noisy recording allows no value. Clips that "
            "failed count there too."
        )


def _draw(path: Path, compared: SystemComparison, title: str) -> None:
    """One panel per metric: each clip's difference as a dot, with the mean, its interval, and a line at zero."""
    from soundsright.metrics import metric
    from soundsright.services.drawing import Interval, interval_plot, metric_name, stacked, write_drawing

    panels: list[str] = []
    for name, each in compared.metrics.items():
        mean = each.difference
        row = Interval(metric_name(name), mean.mean, mean.low, mean.high, emphasis=True, values=each.by_clip)
        heading = f"{title}, {metric_name(name)}" if not panels else metric_name(name)
        panels.append(interval_plot([row], title=heading, unit=metric(name).unit, reference=0.0))
    write_drawing(stacked(panels), path)
