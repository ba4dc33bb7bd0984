"""`soundsright plan-study`: how many clips, noises and speakers a comparison needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundsright.cli.shared.options import FILE, FILE_OR_STDOUT, FOLDER, grouped, option

if TYPE_CHECKING:
    from soundsright.library import StudyCell, StudyNeed, StudyPlan

MANY_PAIRS = 10
_REPORT = click.Path(exists=True, dir_okay=False, path_type=Path)


@dataclass(frozen=True)
class _Material:
    """The parts of the study that are decided."""

    noises: int | None
    prompts: int | None
    noise_cost: float


@dataclass(frozen=True)
class _Source:
    """The source of the variance components."""

    competition: str | None
    run: Path | None
    reports: tuple[Path, Path] | None
    manifest: Path | None


@click.command("plan-study")
@option("--metric", required=True, help="Name of the metric.")
@option("--effect", required=True, type=float, help="The smallest difference that matters, in the metric's unit.")
@option("--power", default=0.9, type=float, help="Probability to find it, between 0.5 and 1.")
@option("--alpha", default=0.05, type=float, help="Level of the test.")
@option("--one-sided", is_flag=True, help="Plan the one-sided test for a title. [default: two-sided, as `compare`]")
@grouped(
    _Material,
    "material",
    option("--noises", type=int, help="Noises (or rooms) that you have. [default: the cheapest number]"),
    option("--prompts", type=int, help="Spoken sentences that you have. [default: a new one for each clip]"),
    option("--noise-cost", default=5.0, type=float, help="What one more noise or speaker costs, in clips."),
)
@grouped(
    _Source,
    "source",
    option("--competition", help="Whose components to use. [default: the first one with the metric]"),
    option("--run", type=FOLDER, help="Measure the components in this finished run."),
    option("--reports", type=(_REPORT, _REPORT), help="Measure them in two reports of `score --json`."),
    option("--manifest", type=_REPORT, help="Manifest of the reports' set."),
)
@option("--json", "report", type=FILE_OR_STDOUT, help="Write the plan as JSON to this file. -: stdout.")
@option("--plot", type=FILE, help="Draw power over clips to this file: .svg, .pdf or .png.")
def command(
    *,
    metric: str,
    effect: float,
    power: float,
    alpha: float,
    one_sided: bool,
    material: _Material,
    source: _Source,
    report: Path | None,
    plot: Path | None,
) -> None:
    """Plan how many clips, noises and speakers a comparison needs.

    \b
    soundsright plan-study --metric PESQ_WB --effect 0.05 --power 0.9
    soundsright plan-study --metric ESTOI --effect 0.01 --noises 20 --plot power.svg

    The answer is for new material: a difference that you find should also hold on noises and speech that nobody has
    used yet. Clips with the same noise tell less than clips with different noises, so the number of noises matters.

    How much systems differ by noise, room and prompt comes from the models of this project, from a run of your own
    (--run), or from two reports (--reports and --manifest).
    """
    import json

    from soundsright.library import plan_study
    from soundsright.services.scoring import checked_targets

    checked_targets(report, plot)
    if plot is not None:
        from soundsright.services.drawing import checked_suffix

        checked_suffix(plot)
    plan = plan_study(
        metric,
        effect,
        power=power,
        competition=source.competition,
        alpha=alpha,
        two_sided=not one_sided,
        noises=material.noises,
        prompts=material.prompts,
        noise_cost=material.noise_cost,
        run=source.run,
        reports=source.reports or (),
        manifest=source.manifest,
    )
    if report is not None:
        text = json.dumps(_fields(plan), indent=2, allow_nan=False) + "\n"
        if str(report) == "-":
            click.echo(text, nl=False)
        else:
            report.write_text(text, encoding="utf-8")
    if report is None or str(report) != "-":
        _print_table(plan)
        for sentence in (*_answer(plan, material.noises), _assumptions(plan)):
            click.echo(sentence)
    if plot is not None:
        _draw(plot, plan)


def _answer(plan: StudyPlan, noises: int | None) -> list[str]:
    """The need of a typical and of a cautious pair, in a sentence each."""
    goal = f"to find a difference of {plan.effect:g}{_unit(plan)} with a probability of {plan.power:.0%}"
    if plan.typical is None:
        more, several = (
            ("prompts", "with this material")
            if noises is None
            else (f"{plan.factor}s", f"with {noises} {plan.factor}s")
        )
        return [
            f"No number of clips {several} is enough {goal}: the power stays below {plan.ceiling:.1%}. "
            f"Add {more}, or plan for a larger difference."
        ]
    sentences = [f"You need at least {_size(plan, plan.typical)} {goal}."]
    if plan.cautious is None:
        sentences.append("For systems that differ more from clip to clip than most, no number of clips is enough.")
    elif plan.cautious != plan.typical:
        sentences.append(
            f"To be on the safe side, take {_size(plan, plan.cautious)}: this is for systems that differ more from "
            f"clip to clip than {'nine of ten' if plan.components.pairs >= MANY_PAIRS else 'most measured'} pairs."
        )
    return sentences


def _size(plan: StudyPlan, need: StudyNeed) -> str:
    """For example `412 clips with 84 noises and 3 speakers`."""
    own = need.groups is None or need.groups == need.clips
    groups = f"a {plan.factor} of its own for each" if own else f"{need.groups} {plan.factor}s"
    if need.speakers is None:
        return f"{need.clips} clips with {groups}"
    return f"{need.clips} clips with {groups} and {need.speakers} speaker{'' if need.speakers == 1 else 's'}"


def _assumptions(plan: StudyPlan) -> str:
    found = plan.components
    typical = found.typical
    shares = ", ".join(f"{name} {typical.share(name):.0%}" for name in typical.factors)
    measured = f"of which {shares}" if shares else "of which no part was measured alone"
    prompts = "a prompt of its own for each clip" if plan.prompts is None else f"{plan.prompts} prompts"
    unknown = [name for name in (plan.factor, "prompt", "speaker") if name not in typical.factors]
    not_measured = f" The part of the {_joined(unknown)} was not measured." if unknown else ""
    sides = "two-sided" if plan.two_sided else "one-sided"
    pairs = "one pair" if found.pairs == 1 else f"the median of {found.pairs} pairs"
    return (
        f"Assumed: a {sides} test at {plan.alpha:g} for new material, {prompts}, clips spread evenly over the "
        f"{plan.factor}s, normal effects, and differences per clip with a standard deviation of "
        f"{typical.total**0.5:.3g}{_unit(plan)}, {measured} ({pairs} of systems: {found.source}).{not_measured}"
    )


def _joined(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _unit(plan: StudyPlan) -> str:
    return f" {plan.unit}" if plan.unit else ""


def _rows(plan: StudyPlan) -> dict[int | None, dict[int, StudyCell]]:
    rows: dict[int | None, dict[int, StudyCell]] = {}
    for cell in plan.table:
        rows.setdefault(cell.groups, {})[cell.clips] = cell
    return rows


def _print_table(plan: StudyPlan) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    widths = sorted({cell.clips for cell in plan.table})
    table = Table(box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(f"{plan.factor.capitalize()}s", justify="right", no_wrap=True)
    for width in widths:
        table.add_column(f"{width} clips", justify="right", no_wrap=True)
    for groups, cells in _rows(plan).items():
        texts = [_cell_text(cells.get(width)) for width in widths]
        table.add_row("one each" if groups is None else str(groups), *texts)
    console = Console(highlight=False)
    place = f" in {plan.competition}" if plan.competition else ""
    console.print(
        f"{plan.metric}{place}: power for a difference of {plan.effect:g}{_unit(plan)}, and in brackets the "
        f"difference that is found with power {plan.power:g}",
        markup=False,
    )
    console.print(table)


def _cell_text(cell: StudyCell | None) -> str:
    return "–" if cell is None else f"{cell.power:.2f} ({cell.detectable:.3g})"


def _fields(plan: StudyPlan) -> dict[str, Any]:
    from dataclasses import asdict
    from math import isfinite

    def finite(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: finite(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [finite(each) for each in value]
        return None if isinstance(value, float) and not isfinite(value) else value

    fields: dict[str, Any] = finite(asdict(plan))
    return fields


def _draw(path: Path, plan: StudyPlan) -> None:
    """Power over clips: a line for each number of noises, in order; the planned one says so."""
    from soundsright.services.drawing import MAX_SERIES, Series, metric_name, power_plot, write_drawing

    widths = sorted({cell.clips for cell in plan.table})
    planned = plan.typical.groups if plan.typical else None
    # The planned line is always among the few that the plot has room for.
    drawn = sorted(_rows(plan), key=lambda groups: (groups != planned, groups or 0))[:MAX_SERIES]
    rows = sorted(drawn, key=lambda groups: (groups is None, groups or 0))
    series = []
    for groups in rows:
        least = max(widths[0], groups or 0)
        sizes = sorted({*(round(least * (2 * widths[-1] / least) ** (i / 12)) for i in range(13))})
        label = f"a {plan.factor} of its own for each clip" if groups is None else f"{groups} {plan.factor}s"
        label += ", as planned" if groups == planned and groups is not None else ""
        series.append(Series(label, tuple(map(float, sizes)), tuple(plan.power_at(n, groups) for n in sizes)))
    title = f"{metric_name(plan.metric)}: power for a difference of {plan.effect:g}{_unit(plan)}"
    write_drawing(power_plot(series, title=title, x_title="clips", target=plan.power), path)
