"""`soundsright listen`: a blind listening test on a run's entries, in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from soundsright.services.records import Run, RunCompetition

_RUN = click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))


@click.group("listen")
def command() -> None:
    """Let people judge entries blindly, by ear."""


@command.command("start")
@_RUN
@click.option(
    "--competition",
    "competition_id",
    metavar="ID",
    envvar="SOUNDSRIGHT_COMPETITION",
    show_envvar=True,
    help="Which of the run's competitions.  [default: its first]",
)
@click.option(
    "--entry",
    "names",
    multiple=True,
    metavar="NAME",
    help="An entry by its name, hotkey or uid; repeat for several.  [default: the first three]",
)
@click.option(
    "--method",
    type=click.Choice(["acr", "ccr", "mushra"]),
    default="mushra",
    show_default=True,
    help="Absolute (P.808 ACR), against the input (P.808 CCR), or all side by side (BS.1534).",
)
@click.option("--clips", default=6, show_default=True, type=click.IntRange(1, 60), help="Clips that are played.")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Decides the raters' orders.")
@click.option("--name", default="test", show_default=True, help="The test's name; its votes lie below the run.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    envvar="SOUNDSRIGHT_LISTEN_HOST",
    show_envvar=True,
    help="Address to listen on.",
)
@click.option(
    "--port",
    default=8710,
    show_default=True,
    type=click.IntRange(0, 65_535),
    envvar="SOUNDSRIGHT_LISTEN_PORT",
    show_envvar=True,
    help="Port to listen on; 0 takes a free one.",
)
def start(
    *,
    run_folder: Path,
    competition_id: str | None,
    names: tuple[str, ...],
    method: str,
    clips: int,
    seed: int,
    name: str,
    host: str,
    port: int,
) -> None:
    """Serve a test on the finished run in the folder RUN until Ctrl-C."""
    from soundsright.cli.shared.serving import serve_app
    from soundsright.services.listening import (
        ListeningRoom,
        ListeningTest,
        chosen_clips,
        folder_of_test,
        listening_app,
        save_test,
    )

    run = _finished(run_folder)
    competition = _competition(run, competition_id)
    entries = _entries(competition, names)
    chosen = chosen_clips(competition, entries, clips)
    test = ListeningTest(name, method, competition.doc.id, entries, chosen, seed)
    folder = folder_of_test(run.folder, name)
    room = ListeningRoom(test, competition, folder)
    room.check()

    def opened() -> None:
        save_test(folder, test, competition)
        if len(chosen) < clips:
            click.echo(f"Only {len(chosen)} clips have audio of every entry, not --clips {clips}.", err=True)
        click.echo(
            f"{method.upper()} of {', '.join(entries)} on {len(chosen)} clips; votes in {folder / 'votes.jsonl'}"
        )

    serve_app(listening_app(room), host, port, "Listening test", on_open=opened)


@command.command("results")
@_RUN
def results(*, run_folder: Path) -> None:
    """Show what the listeners of a run's tests said, beside the metrics."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from soundsright.services.drawing import metric_name
    from soundsright.services.listening import summaries_below

    run = _finished(run_folder)
    found = [test for c in run.competitions for test in summaries_below(run.folder / "listening", c)]
    if not found:
        raise UsageError(f"{run_folder} has no listening test", "Start one with `soundsright listen start`.")
    console = Console(highlight=False)
    for test in found:
        table = Table(title=Text(test.summary), title_justify="left", box=box.SIMPLE_HEAD)
        table.add_column("heard")
        for heading in (test.scale, "votes", *(metric_name(m) for m in test.metrics)):
            table.add_column(heading, justify="right")
        for row in test.rows:
            half = (row.estimate.high - row.estimate.low) / 2
            cells = [f"{row.estimate.mean:.2f} ±{half:.2f}", str(row.votes)]
            cells += [f"{row.metrics[m]:.3f}" if m in row.metrics else "–" for m in test.metrics]
            table.add_row(Text(row.label), *cells)
        console.print(table)
        for line in test.excluded:
            console.print(Text(f"  left out: {line}", style="yellow"))


def _finished(folder: Path) -> Run:
    from soundsright.services.records import find_runs, read_runs

    found = read_runs(find_runs([folder]))
    if len(found) != 1 or found[0].doc is None:
        why = found[0].problem if found else "It holds no run."
        raise UsageError(f"{folder}: {why}", "Name the folder of one finished run.")
    return found[0]


def _competition(run: Run, competition_id: str | None) -> RunCompetition:
    if competition_id is None:
        if not run.competitions:
            raise UsageError(f"{run.folder} has no competition", "Name another run.")
        return run.competitions[0]
    found = run.competition(competition_id.upper())
    if found is None:
        known = ", ".join(c.doc.id for c in run.competitions)
        raise UsageError(f"The run has no competition {competition_id!r}", f"Choose from {known}.")
    return found


def _entries(competition: RunCompetition, names: tuple[str, ...]) -> tuple[str, ...]:
    known = {e.key: (e.label, e.row.hotkey, str(e.row.uid), e.key) for e in competition.entries}
    if not names:
        return tuple(e.key for e in competition.entries if e.folder is not None and e.scores)[:3]
    chosen = []
    for name in names:
        found = [key for key, words in known.items() if name in words]
        if len(found) != 1:
            labels = ", ".join(e.label for e in competition.entries)
            problem = f"{name!r} names {len(found)} entries" if found else f"There is no entry {name!r}"
            raise UsageError(problem, f"Choose from {labels}.")
        chosen.append(found[0])
    return tuple(dict.fromkeys(chosen))
