"""`soundsright report`: a run as a page, or as tables for a paper or a program."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from soundsright.services.runs import Run

FORMATS = ("html", "md", "tex", "csv")


@click.command("report")
@click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "kind",
    type=click.Choice(FORMATS),
    default="md",
    show_default=True,
    envvar="SOUNDSRIGHT_REPORT_FORMAT",
    show_envvar=True,
    help="html: one page with plots and audio; md, tex: tables; csv: a line per entry and metric.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path, allow_dash=True),
    help="File to write.  [default: stdout]",
)
@click.option(
    "--plots",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write every plot as an SVG file to this folder.",
)
@click.option(
    "--log",
    "tracker",
    type=click.Choice(["wandb", "trackio", "tensorboard"]),
    envvar="SOUNDSRIGHT_LOG",
    show_envvar=True,
    help="Tell an experiment tracker as well: a run of its own for each entry.",
)
@click.option(
    "--project",
    default="soundsright",
    show_default=True,
    envvar="SOUNDSRIGHT_PROJECT",
    show_envvar=True,
    help="The tracker's project.",
)
def command(
    *, run_folder: Path, kind: str, out: Path | None, plots: Path | None, tracker: str | None, project: str
) -> None:
    """Report the finished run in the folder RUN, with its recipe, seeds, versions and sources."""
    from soundsright.services import report_tables
    from soundsright.services.report import report_html_of
    from soundsright.services.runs import find_runs, read_runs

    found = read_runs(find_runs([run_folder]))
    if len(found) != 1:
        raise UsageError(f"{run_folder} holds {len(found)} runs", "Name the folder of one finished run.")
    run = found[0]
    write = {
        "html": report_html_of,
        "md": report_tables.report_markdown,
        "tex": report_tables.report_tex,
        "csv": report_tables.report_csv,
    }[kind]
    text = write(run)
    for note in run.notes:
        click.echo(f"Note: {note}", err=True)
    if plots is not None:
        _write_plots(plots, run)
    if tracker is not None:
        _tell(tracker, project, run)
    if out is None or str(out) == "-":
        click.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--out {out} cannot be written ({error.strerror})", "Name another file.") from error


def _tell(kind: str, project: str, run: Run) -> None:
    from soundsright.adapters.trackers import Tracker, open_tracker
    from soundsright.services.tracking import TrackedEntry, track

    def begin(entry: TrackedEntry) -> Tracker:
        return open_tracker(kind, project=project, name=entry.name, config=entry.config)

    click.echo(f"{kind}: {track(run, begin)} runs in {project}", err=True)


def _write_plots(folder: Path, run: Run) -> None:
    from soundsright.services.charts import standalone
    from soundsright.services.report import competition_plots

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for c in run.competitions:
            for name, drawing in competition_plots(run, c).items():
                (folder / f"{c.doc.id}-{name}.svg").write_text(standalone(drawing), encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"--plots {folder} cannot be written ({error.strerror})", "Name another folder."
        ) from error
