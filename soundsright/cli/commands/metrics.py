"""`soundsright metrics`: list the metrics with their range, unit and source, or show all that is known of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from soundsright.cli.shared.options import option

if TYPE_CHECKING:
    from soundsright.metrics import Metric


class _MetricsGroup(click.Group):
    """A group whose error for an unknown command says how to list the metrics."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not args[0].startswith("-") and args[0] not in self.commands:
            ctx.fail(f"No such command {args[0]!r}. `soundsright metrics` alone lists the metrics.")
        return super().resolve_command(ctx, args)


@click.group("metrics", cls=_MetricsGroup, invoke_without_command=True)
@option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(context: click.Context, *, as_json: bool) -> None:
    """List the metrics with their range, unit and source.

    \b
    soundsright metrics --json
    soundsright metrics show PESQ_WB

    The list includes the metrics that other installed packages add.
    """
    import json
    from dataclasses import asdict

    from soundsright.metrics import METRICS, known_metrics

    if context.invoked_subcommand is not None:
        return
    known = known_metrics()
    if as_json:
        click.echo(json.dumps({name: asdict(each) for name, each in known.items()}, indent=2, ensure_ascii=False))
        return
    _print_table(known)
    for name, metric in known.items():
        origin = "" if name in METRICS else " (from another package)"
        click.echo(f"{name}{origin}: {metric.title}. {metric.source}.")


@command.command("show")
@click.argument("name")
@option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(*, name: str, as_json: bool) -> None:
    """Show all that is known of the metric NAME: definition, source, range, cost, and what fools it.

    \b
    soundsright metrics show PESQ_WB

    Where the field has two definitions, it names both.
    """
    import json
    from dataclasses import asdict

    from soundsright.metrics import metric

    each = metric(name)
    if as_json:
        click.echo(json.dumps(asdict(each), indent=2, ensure_ascii=False))
        return
    click.echo(f"{each.name}: {each.title}")
    facts = _facts(each)
    width = max(len(heading) for heading, _ in facts) + 2
    for heading, text in facts:
        click.echo(f"  {heading:<{width}}{text}")


def _facts(each: Metric) -> list[tuple[str, str]]:
    """The facts of a metric: heading and text, without those that are empty."""
    from importlib.util import find_spec

    from soundsright.metrics import Direction

    better = "higher" if each.direction is Direction.HIGHER_IS_BETTER else "lower"
    missing = [package for package in each.packages if find_spec(package) is None]
    facts = [
        ("definition", each.definition),
        ("source", each.source),
        ("range", f"{each.low:g} to {each.high:g} {each.unit}; {better} is better"),
        ("floor", f"{each.floor:g}, the score of a clip without a value"),
        ("rates", f"{', '.join(str(rate) for rate in each.sample_rates_hz)} Hz"),
        ("needs", _needs(each)),
        ("install", f"pip install 'soundsright[{each.extra}]'" if each.extra else ""),
        ("missing here", ", ".join(missing)),
        ("licence", each.licence),
        ("cost", "" if each.cost_ms is None else f"{each.cost_ms:g} ms of one core for a clip of 4 s at 16 kHz"),
        ("good for", each.good_for),
        ("fooled by", each.fooled_by),
    ]
    return [(heading, text) for heading, text in facts if text]


def _needs(each: Metric) -> str:
    needs = [*(["clean"] if each.needs_reference else []), *(["noisy"] if each.needs_noisy else [])]
    return ", ".join(needs) or "-"


def _print_table(metrics: Mapping[str, Metric]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    from soundsright.metrics import Direction

    table = Table(box=SIMPLE, pad_edge=False)
    for heading in ("Metric", "Range", "Better", "Floor", "Unit", "kHz", "Needs"):
        table.add_column(heading, no_wrap=True)
    for name, metric in metrics.items():
        table.add_row(
            name,
            f"{metric.low:g} … {metric.high:g}",
            "higher" if metric.direction is Direction.HIGHER_IS_BETTER else "lower",
            f"{metric.floor:g}",
            metric.unit,
            f"{min(metric.sample_rates_hz) / 1000:g}…{max(metric.sample_rates_hz) / 1000:g}",
            _needs(metric),
        )
    Console(highlight=False).print(table)
