"""`soundsright report`: a run as a page, as tables for a paper or a program, as a bundle, and on a hub.

Reports of `soundsright score` become tables too.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from soundsright.services.records import Run

FORMATS = ("html", "md", "tex", "bib", "csv")


@click.command("report")
@click.argument("paths", metavar="RUN | SCORES.json...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--format",
    "kind",
    type=click.Choice(FORMATS),
    envvar="SOUNDSRIGHT_REPORT_FORMAT",
    show_envvar=True,
    help="html: one page with plots and audio; md, tex: tables; bib: the works to cite; csv: a line per entry "
    "and metric.  [default: md, where nothing else is asked for]",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path, allow_dash=True),
    help="File to write.  [default: stdout]",
)
@click.option(
    "--plots",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write every plot as a file to this folder.",
)
@click.option(
    "--plot-format",
    type=click.Choice(("svg", "pdf", "png")),
    default="svg",
    show_default=True,
    help="What those files are; pdf is what LaTeX takes.",
)
@click.option(
    "--bundle",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write what it takes to check the round to this .zip: results, seeds, digests, and the audio to score "
    "again. As RUN/bundle.zip, the leaderboard's server offers it.",
)
@click.option(
    "--dataset",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the round as a data set with a card to this folder, as --push-dataset would push it.",
)
@click.option("--push-dataset", metavar="NAMESPACE/NAME", help="Push that data set to the hub.")
@click.option("--private", is_flag=True, help="Make the data set private where it is new.")
@click.option(
    "--audio-mib",
    default=64,
    show_default=True,
    type=click.IntRange(0, 16_384),
    envvar="SOUNDSRIGHT_AUDIO_MIB",
    show_envvar=True,
    help="Audio goes into the data set up to this size, the clips first where entries differ most.",
)
@click.option(
    "--corpus",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="SOUNDSRIGHT_CORPUS",
    show_envvar=True,
    help="The run's recordings, whose manifest names their licences.  [default: datasets]",
)
@click.option("--card", metavar="ENTRY", help="Print the entry's scores as metadata of its model card.")
@click.option("--push-card", metavar="ENTRY", help="Put them into the model's card, NAMESPACE/NAME on the hub.")
@click.option("--pull-request", is_flag=True, help="Propose the card to the model's owner instead of writing it.")
@click.option(
    "--hub",
    envvar="HF_ENDPOINT",
    show_envvar=True,
    help="Address of the hub, if another than a validator's. Pushing takes its token from HF_TOKEN.",
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
@click.pass_context
def command(
    context: click.Context,
    *,
    paths: tuple[Path, ...],
    kind: str | None,
    out: Path | None,
    plots: Path | None,
    plot_format: str,
    bundle: Path | None,
    dataset: Path | None,
    push_dataset: str | None,
    private: bool,
    audio_mib: int,
    corpus: Path | None,
    card: str | None,
    push_card: str | None,
    pull_request: bool,
    hub: str | None,
    tracker: str | None,
    project: str,
) -> None:
    """Report the finished run in the folder RUN, with its recipe, seeds, versions and sources.

    Of files that `soundsright score` wrote by --json or --clips: a row for each, as md, tex, bib or csv.
    """
    if any(path.is_file() for path in paths):
        _refuse_options_of_runs(context)
        _write_text(out, _score_tables(paths, kind or "md"))
        return
    if len(paths) > 1:
        raise UsageError(f"{len(paths)} folders were named", "Report one run at a time.")
    from soundsright.cli.shared.report_push import push_run, write_data_set
    from soundsright.library import open_run

    run = open_run(paths[0])
    for note in run.notes:
        click.echo(f"Note: {note}", err=True)
    if plots is not None:
        _write_plots(plots, run, plot_format)
    if bundle is not None:
        _write_bundle(bundle, run)
    if dataset is not None:
        write_data_set(dataset, run, corpus, audio_mib, push_dataset or "")
    if push_dataset is not None or push_card is not None:
        push_run(
            run,
            hub,
            dataset=push_dataset,
            folder=dataset,
            private=private,
            corpus=corpus,
            audio_mib=audio_mib,
            card=push_card,
            pull_request=pull_request,
        )
    if tracker is not None:
        _tell(tracker, project, run)
    asked = any(option is not None for option in (plots, bundle, dataset, push_dataset, push_card, tracker))
    if card is not None:
        _write_text(out, _card(run, card))
    elif kind is not None or out is not None or not asked:
        _write_text(out, _writer(kind or "md")(run))


def _refuse_options_of_runs(context: click.Context) -> None:
    for option in context.command.params:
        typed = context.get_parameter_source(option.name or "") is click.core.ParameterSource.COMMANDLINE
        if typed and option.name not in ("paths", "kind", "out"):
            raise UsageError(f"{option.opts[0]} is for runs", "Leave it out, or name the folder of a run.")


def _score_tables(paths: Sequence[Path], kind: str) -> str:
    from soundsright.services.report import score_tables

    writers = {
        "md": score_tables.scores_markdown,
        "tex": score_tables.scores_tex,
        "bib": score_tables.scores_bib,
        "csv": score_tables.scores_csv,
    }
    if kind not in writers:
        raise UsageError(f"--format {kind} is for runs", f"Choose one of {', '.join(writers)}.")
    if folder := next((path for path in paths if not path.is_file()), None):
        raise UsageError(f"{folder} is no file of scores", "Name files of scores, or one run alone.")
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


def _card(run: Run, entry: str) -> str:
    from soundsright.adapters.hubs import merged_card
    from soundsright.services.report import model_index

    return merged_card("", model_index(run, entry))


def _write_text(out: Path | None, text: str) -> None:
    if out is None or str(out) == "-":
        click.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--out {out} cannot be written ({error.strerror})", "Name another file.") from error


def _write_bundle(out: Path, run: Run) -> None:
    from soundsright.core.content import sha256_of_file
    from soundsright.services.records import write_bundle

    written = write_bundle(run, out)
    size = out.stat().st_size / 1e6
    click.echo(f"{out}: {written.files} files, {size:.1f} MB, SHA-256 {sha256_of_file(out)}", err=True)


def _tell(kind: str, project: str, run: Run) -> None:
    from soundsright.adapters.machine import Tracker, open_tracker
    from soundsright.services.report import TrackedEntry, track

    def begin(entry: TrackedEntry) -> Tracker:
        return open_tracker(kind, project=project, name=entry.name, config=entry.config)

    click.echo(f"{kind}: {track(run, begin)} runs in {project}", err=True)


def _write_plots(folder: Path, run: Run, kind: str) -> None:
    from soundsright.services.drawing import competition_plots, write_drawing

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"--plots {folder} cannot be written ({error.strerror})", "Name another folder."
        ) from error
    written = 0
    for c in run.competitions:
        for plots in competition_plots(run, c).values():
            for name, drawing in plots.items():
                write_drawing(drawing, folder / f"{c.doc.id}-{name}.{kind}")
                written += 1
    click.echo(f"{folder}: {written} plots ({kind})", err=True)
