"""`soundsright compare`: two systems on one set, clip by clip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soundsright.core.results import ClipResult
    from soundsright.ranking import PairedComparison
    from soundsright.services.scoring import ScoreReport

_LEVEL = 0.05
_REPORT = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("compare")
@click.argument("a", type=_REPORT)
@click.argument("b", type=_REPORT)
@click.option("--metrics", help="Names with commas between.  [default: all that both reports have]")
@click.option(
    "--manifest", type=_REPORT, help="The set's manifest (JSON lines): clips of one speaker count as one."
)
@click.option("--cluster-by", default="speaker", show_default=True, help="The manifest's field that clips share.")
@click.option(
    "--resamples",
    default=10_000,
    show_default=True,
    type=click.IntRange(100, 1_000_000),
    help="Draws of the bootstrap and of the permutation test.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of the resampling.")
@click.option(
    "--json",
    "report",
    type=click.Path(dir_okay=False, path_type=Path, allow_dash=True),
    help="Write the numbers; - for stdout.",
)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw the differences: .svg, .pdf or .png.",
)
def command(
    *,
    a: Path,
    b: Path,
    metrics: str | None,
    manifest: Path | None,
    cluster_by: str,
    resamples: int,
    seed: int,
    report: Path | None,
    plot: Path | None,
) -> None:
    """Compare two reports of `soundsright score` on the same set: A minus B, per metric.

    Shows the mean difference with its 95 % interval (BCa bootstrap), the p-value of a paired permutation test,
    the same after Holm's correction over the metrics, and the effect size (Cohen's d of the paired
    differences).
    """
    import json

    import numpy as np

    from soundsright.ranking import holm, paired_comparison
    from soundsright.services.scoring import checked_targets, clusters_of, read_report, values_of

    checked_targets(report, plot)
    if plot is not None:
        from soundsright.services.drawing import checked_suffix

        checked_suffix(plot)
    first_report, second_report = read_report(a), read_report(b)
    first, second = _paired(a, first_report, b, second_report)
    names = _common_metrics(metrics, first, second)
    clusters = None
    if manifest is not None:
        clean = {c.clip_id: each.clean for c, each in zip(first_report.clips, first_report.files, strict=True)}
        clusters = clusters_of(manifest, [c.clip_id for c in first], cluster_by, [clean[c.clip_id] for c in first])
    found = {
        name: paired_comparison(
            values_of(first, name),
            values_of(second, name),
            rng=np.random.default_rng([seed, index]),
            clusters=clusters,
            resamples=resamples,
        )
        for index, name in enumerate(names)
    }
    adjusted = holm({name: comparison.p_value for name, comparison in found.items()})
    if report is not None:
        text = json.dumps(_fields(found, adjusted), indent=2, allow_nan=False) + "\n"
        if str(report) == "-":
            click.echo(text, nl=False)
        else:
            report.write_text(text, encoding="utf-8")
    if report is None or str(report) != "-":
        _print_table(found, adjusted, a, b)
        witnesses = len(first) if clusters is None else len(set(clusters))
        _say_if_too_few(witnesses, "clips" if clusters is None else f"values of {cluster_by!r}", len(names))
    if plot is not None:
        differences = {
            name: [x - y for x, y in zip(values_of(first, name), values_of(second, name), strict=True)]
            for name in names
        }
        _draw(plot, differences, found, f"{a.stem} minus {b.stem}")


def _paired(a: Path, first: ScoreReport, b: Path, second: ScoreReport) -> tuple[list[ClipResult], list[ClipResult]]:
    """Both in the order of the clips' names."""
    by_id = {clip.clip_id: clip for clip in second.clips}
    if differing := sorted({clip.clip_id for clip in first.clips} ^ by_id.keys()):
        raise UsageError(
            f"{a} and {b} differ in {len(differing)} clips, {differing[0]} first", "Compare reports of one set."
        )
    if others := first.differing(second, "clean"):
        raise UsageError(
            f"{a} and {b} were scored against different clean files: {len(others)} of {len(by_id)} clips, "
            f"{others[0]} first",
            "Compare reports of one set.",
        )
    if None not in (first.align, second.align) and first.align is not second.align:
        aligned, plain = (a, b) if first.align else (b, a)
        raise UsageError(f"{aligned} was scored with --align, {plain} without", "Score both alike.")
    if silent := [str(path) for path, report in ((a, first), (b, second)) if not report.names_its_files]:
        click.echo(
            f"{' and '.join(silent)} cannot be checked to be of one set and scored alike: written by an earlier "
            "version, without the SHA-256 of the clean files.",
            err=True,
        )
    if others := first.differing(second, "noisy"):
        click.echo(f"{len(others)} clips had different noisy files, {others[0]} first.", err=True)
    ordered = sorted(first.clips, key=lambda clip: clip.clip_id)
    return ordered, [by_id[clip.clip_id] for clip in ordered]


def _common_metrics(asked: str | None, *sides: Sequence[ClipResult]) -> list[str]:
    from soundsright.metrics import metric
    from soundsright.services.scoring import measured_metrics

    measured = [measured_metrics(side) for side in sides]
    common = [name for name in measured[0] if name in measured[1]]
    if asked is None:
        if not common:
            raise UsageError("The reports have no metric in common", "Score both with the same --metrics.")
        return [metric(name).name for name in common]
    names = [metric(name).name for name in asked.split(",") if name.strip()]
    if lacking := [name for name in names if name not in common]:
        raise UsageError(f"The reports do not both hold {', '.join(lacking)}", "Score both with it first.")
    return names


def _fields(found: Mapping[str, PairedComparison], adjusted: Mapping[str, float]) -> dict[str, Any]:
    return {
        "metrics": {
            name: {
                "difference": comparison.difference.mean,
                "low": comparison.difference.low,
                "high": comparison.difference.high,
                "n": comparison.difference.n,
                "p_value": comparison.p_value,
                "p_value_holm": adjusted[name],
                "effect_size": comparison.effect_size,
            }
            for name, comparison in found.items()
        }
    }


def _print_table(found: Mapping[str, PairedComparison], adjusted: Mapping[str, float], a: Path, b: Path) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    from soundsright.metrics import metric

    table = Table(box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("Metric", "A - B", "95 % interval", "p", "p (Holm)", "Effect", "Better"):
        table.add_column(heading, justify="left" if heading in ("Metric", "Better") else "right", no_wrap=True)
    for name, comparison in found.items():
        difference = comparison.difference
        surely = difference.low > 0 or difference.high < 0
        a_is_better = metric(name).at_least_as_good(difference.mean, 0.0)
        table.add_row(
            name,
            f"{difference.mean:+.4f}",
            f"{difference.low:+.4f} … {difference.high:+.4f}",
            f"{comparison.p_value:.4f}",
            f"{adjusted[name]:.4f}",
            f"{comparison.effect_size:+.2f}",
            ("A" if a_is_better else "B") if surely and adjusted[name] <= _LEVEL else "open",
        )
    clips = next(iter(found.values())).difference.n
    console = Console(highlight=False)
    console.print(f"A is {a.name}, B is {b.name}; {clips} clips", markup=False)
    console.print(table)


def _say_if_too_few(witnesses: int, what: str, metrics: int) -> None:
    """No two-sided sign-flip test on n gives less than 2 of the 2^n ways to flip; Holm multiplies the least p."""
    least = min(1.0, metrics * 2.0 ** (1 - witnesses))
    if least > _LEVEL:
        over = f" over {metrics} metrics" if metrics > 1 else ""
        click.echo(f"{witnesses} {what} are too few: p (Holm){over} cannot fall below {least:.3g}.")


def _draw(
    path: Path, differences: Mapping[str, Sequence[float]], found: Mapping[str, PairedComparison], title: str
) -> None:
    """One panel per metric: every clip's difference as a dot, the mean and its interval over them, and zero."""
    from soundsright.metrics import metric
    from soundsright.services.drawing import Interval, interval_plot, metric_name, stacked, write_drawing

    panels: list[str] = []
    for name, values in differences.items():
        e = found[name].difference
        row = Interval(metric_name(name), e.mean, e.low, e.high, emphasis=True, values=tuple(values))
        heading = f"{title}, {metric_name(name)}" if not panels else metric_name(name)
        panels.append(interval_plot([row], title=heading, unit=metric(name).unit, reference=0.0))
    write_drawing(stacked(panels), path)
