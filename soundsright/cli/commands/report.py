"""`soundsright report`: write a report of a finished run or of scored folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from soundsright.cli.shared.options import ANY_PATH, FILE_OR_STDOUT, FOLDER, option
from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from soundsright.services.records import Run

FORMATS = ("html", "md", "tex", "bib", "csv")


@click.command("report")
@click.argument("paths", metavar="RUN | SCORES.json...", nargs=-1, required=True, type=ANY_PATH)
@option(
    "--format",
    "kind",
    type=click.Choice(FORMATS),
    envvar="SOUNDSRIGHT_REPORT_FORMAT",
    help="html: a page with plots and audio. md, tex: tables. bib: works to cite. csv: a row per entry and metric. "
    "[default: md]",
)
@option("--out", type=FILE_OR_STDOUT, help="File to write. [default: stdout]")
@option(
    "--plots",
    type=FOLDER,
    help="Write every plot to this folder. A report is then printed only with --format or --out.",
)
@option(
    "--plot-format",
    type=click.Choice(("svg", "pdf", "png")),
    default="svg",
    help="Format of the plots. LaTeX needs pdf.",
)
@click.pass_context
def command(
    context: click.Context,
    *,
    paths: tuple[Path, ...],
    kind: str | None,
    out: Path | None,
    plots: Path | None,
    plot_format: str,
) -> None:
    """Write a report of a finished run or of scored folders.

    \b
    soundsright report runs/seed-1 --format html --out report.html
    soundsright report a.json b.json --format tex

    RUN is the folder of a finished run. Its report includes the recipe, seeds, versions and sources. SCORES.json is
    a file that `soundsright score --json` or `--clips` wrote. You can name several; each becomes a row.
    """
    from soundsright.cli.shared.publishing import finished_run

    if any(path.is_file() for path in paths):
        _refuse_options_of_runs(context)
        _write_text(out, _score_tables(paths, kind or "md"))
        return
    run = finished_run(paths)
    if plots is not None:
        _write_plots(plots, run, plot_format)
    if kind is not None or out is not None or plots is None:
        _write_text(out, _writer(kind or "md")(run))


def _refuse_options_of_runs(context: click.Context) -> None:
    for parameter in context.command.params:
        typed = context.get_parameter_source(parameter.name or "") is click.core.ParameterSource.COMMANDLINE
        if typed and parameter.name not in ("paths", "kind", "out"):
            raise UsageError(
                f"{parameter.opts[0]} works only for a run", "Remove it, or give the folder of a run instead."
            )


def _score_tables(paths: Sequence[Path], kind: str) -> str:
    from soundsright.services.report import score_tables

    writers = {
        "md": score_tables.scores_markdown,
        "tex": score_tables.scores_tex,
        "bib": score_tables.scores_bib,
        "csv": score_tables.scores_csv,
    }
    if kind not in writers:
        raise UsageError(f"--format {kind} works only for a run", f"Choose one of {', '.join(writers)}.")
    if folder := next((path for path in paths if not path.is_file()), None):
        raise UsageError(f"{folder} is not a file of scores", "Give files of scores, or one run alone.")
    systems = score_tables.scored_systems(paths)
    for note in score_tables.notes(systems):
        click.echo(f"Note: {note}", err=True)
    return writers[kind](systems)


def _writer(kind: str) -> Callable[[Run], str]:
    from soundsright.services.report import report_html
    from soundsright.services.report import tables as report_tables

    return {
        "html": report_html,
        "md": report_tables.report_markdown,
        "tex": report_tables.report_tex,
        "bib": report_tables.report_bib,
        "csv": report_tables.report_csv,
    }[kind]


def _write_text(out: Path | None, text: str) -> None:
    if out is None or str(out) == "-":
        click.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
        click.echo(f"Wrote {out}", err=True)
    except OSError as error:
        raise UsageError(f"--out {out} cannot be written ({error.strerror})", "Give another file.") from error


def _write_plots(folder: Path, run: Run, kind: str) -> None:
    from soundsright.services.drawing import competition_plots, write_drawing

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"--plots {folder} cannot be written ({error.strerror})", "Give another folder."
        ) from error
    written = 0
    for competition in run.competitions:
        for plots in competition_plots(run, competition).values():
            for name, drawing in plots.items():
                write_drawing(drawing, folder / f"{competition.doc.id}-{name}.{kind}")
                written += 1
    click.echo(f"{folder}: {written} plots ({kind})", err=True)
