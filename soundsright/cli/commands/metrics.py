"""`soundsright metrics`: list the metrics with their range, unit and source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from soundsright.cli.shared.options import option

if TYPE_CHECKING:
    from soundsright.metrics import Metric


@click.command("metrics")
@option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(*, as_json: bool) -> None:
    """List the metrics with their range, unit and source.

    \b
    soundsright metrics --json

    The list includes the metrics that other installed packages add.
    """
    import json
    from dataclasses import asdict

    from soundsright.metrics import METRICS, known_metrics

    known = known_metrics()
    if as_json:
        click.echo(json.dumps({name: asdict(each) for name, each in known.items()}, indent=2, ensure_ascii=False))
        return
    _print_table(known)
    for name, metric in known.items():
        origin = "" if name in METRICS else " (from another package)"
        click.echo(f"{name}{origin}: {metric.title}. {metric.source}.")


def _print_table(metrics: Mapping[str, Metric]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    from soundsright.metrics import Direction

    table = Table(box=SIMPLE, pad_edge=False)
    for heading in ("Metric", "Range", "Better", "Floor", "Unit", "kHz", "Needs"):
        table.add_column(heading, no_wrap=True)
    for name, metric in metrics.items():
        needs = [*(["clean"] if metric.needs_reference else []), *(["noisy"] if metric.needs_noisy else [])]
        table.add_row(
            name,
            f"{metric.low:g} … {metric.high:g}",
            "higher" if metric.direction is Direction.HIGHER_IS_BETTER else "lower",
            f"{metric.floor:g}",
            metric.unit,
            f"{min(metric.sample_rates_hz) / 1000:g}…{max(metric.sample_rates_hz) / 1000:g}",
            ", ".join(needs) or "-",
        )
    Console(highlight=False).print(table)
