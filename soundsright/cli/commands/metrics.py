"""`soundsright metrics`: what each measure is."""

from __future__ import annotations

import click


@click.command("metrics")
@click.option("--json", "as_json", is_flag=True, help="As JSON, with the sources.")
def command(*, as_json: bool) -> None:
    """List every metric: range, direction, unit, floor, rates and source, those of other packages included."""
    import json
    from dataclasses import asdict

    from soundsright.metrics import METRICS, Direction, known_metrics

    known = known_metrics()
    if as_json:
        click.echo(json.dumps({name: asdict(each) for name, each in known.items()}, indent=2, ensure_ascii=False))
        return
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE, pad_edge=False)
    for heading in ("Metric", "Range", "Better", "Floor", "Unit", "kHz", "Needs"):
        table.add_column(heading, no_wrap=True)
    for name, each in known.items():
        sides = [*(["clean"] if each.needs_reference else []), *(["noisy"] if each.needs_noisy else [])]
        table.add_row(
            name,
            f"{each.low:g} … {each.high:g}",
            "higher" if each.direction is Direction.HIGHER_IS_BETTER else "lower",
            f"{each.floor:g}",
            each.unit,
            f"{min(each.sample_rates_hz) / 1000:g}…{max(each.sample_rates_hz) / 1000:g}",
            ", ".join(sides) or "-",
        )
    Console(highlight=False).print(table)
    for name, each in known.items():
        origin = "" if name in METRICS else " (from another package)"
        click.echo(f"{name}{origin}: {each.title}. {each.source}.")
