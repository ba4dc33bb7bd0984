"""`soundsright listen`: run a blind listening test on a run's entries, in the browser."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from soundsright.cli.shared.options import ANY_PATH, Connections, grouped, listening_options, option
from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from soundsright.services.records import Run, RunCompetition

_run_argument = click.argument("run_folder", metavar="RUN", type=ANY_PATH)


@dataclass(frozen=True)
class _TestChoice:
    """The entries and clips of a listening test, and its method."""

    competition_id: str | None
    names: tuple[str, ...]
    method: str
    clips: int
    seed: int
    name: str
    repeats: int | None


@dataclass(frozen=True)
class _Entrance:
    """The people who may take part."""

    is_open: bool
    raters_per_address: int


@click.group("listen")
def command() -> None:
    """Run a blind listening test on a run's entries.

    \b
    soundsright listen start runs/seed-1
    soundsright listen invite runs/seed-1 --count 20
    soundsright listen results runs/seed-1
    """


@command.command("start")
@_run_argument
@grouped(
    _TestChoice,
    "choice",
    option(
        "--competition",
        "competition_id",
        metavar="ID",
        envvar="SOUNDSRIGHT_COMPETITION",
        help="Competition of the run. [default: its first]",
    ),
    option(
        "--entry",
        "names",
        multiple=True,
        metavar="NAME",
        help="Entry by name, hotkey or uid. Repeat it for more. [default: the first three with audio and scores]",
    ),
    option(
        "--method",
        type=click.Choice(["acr", "ccr", "mushra"]),
        default="mushra",
        help="acr: rate each clip (P.808). ccr: compare it with the input (P.808). mushra: compare all (BS.1534).",
    ),
    option("--clips", default=6, type=click.IntRange(1, 60), help="Number of clips to play."),
    option("--seed", default=1, type=click.IntRange(0), help="Seed of the order in which listeners hear clips."),
    option("--name", default="test", help="Name of the test. Its votes go to RUN/listening/NAME."),
    option(
        "--repeats",
        type=click.IntRange(0, 1_000),
        help="Questions that come twice. Raters who answer them by chance do not count. 0: none. "
        "[default: a fifth, at least 8, in mushra 2]",
    ),
)
@grouped(
    _Entrance,
    "entrance",
    option("--open", "is_open", is_flag=True, help="Let raters in without an invitation."),
    option(
        "--raters-per-address",
        default=3,
        type=click.IntRange(1, 2_000),
        help="Raters without an invitation from one address, with --open.",
    ),
)
@listening_options("SOUNDSRIGHT_LISTEN", 8710)
def start(
    *,
    run_folder: Path,
    choice: _TestChoice,
    entrance: _Entrance,
    host: str,
    port: int,
    connections: Connections,
) -> None:
    """Serve a listening test on a finished run until Ctrl-C.

    \b
    soundsright listen start runs/seed-1 --method acr --clips 10

    Raters need an invitation: see `soundsright listen invite`. With --open, anyone who reaches the page may vote.
    """
    from soundsright.cli.shared.serving import limits_of, serve_app
    from soundsright.services.listening import (
        ListeningRoom,
        ListeningTest,
        chosen_clips,
        folder_of_test,
        listening_app,
        read_invitations,
        save_address,
        save_test,
        usual_repeats,
    )

    run = _finished_run(run_folder)
    competition = _competition(run, choice.competition_id)
    entries = _entries(competition, choice.names)
    clips = chosen_clips(competition, entries, choice.clips)
    test = ListeningTest(choice.name, choice.method, competition.doc.id, entries, clips, choice.seed)
    repeats = usual_repeats(choice.method, test.questions) if choice.repeats is None else choice.repeats
    test = replace(test, repeats=repeats)
    folder = folder_of_test(run.folder, choice.name)
    seats = entrance.raters_per_address if entrance.is_open else None
    room = ListeningRoom(test, competition, folder, seats_per_client=seats)
    room.check()

    def on_open(address: str) -> None:
        save_test(folder, test, competition)
        save_address(folder, address)
        if len(clips) < choice.clips:
            click.echo(
                f"Only {len(clips)} clips have audio of every entry. --clips asks for {choice.clips}.",
                err=True,
            )
        method, names = choice.method.upper(), ", ".join(entries)
        click.echo(f"{method} of {names} on {len(clips)} clips; votes in {folder / 'votes.jsonl'}")
        if not entrance.is_open and not read_invitations(folder):
            click.echo(f"Nobody is invited yet: run `soundsright listen invite {run_folder} --name {choice.name}`.")

    app, limits = listening_app(room), limits_of(connections)
    serve_app(app, host, port, "Listening test", limits=limits, on_open=on_open)


@command.command("invite")
@_run_argument
@option("--name", default="test", help="Name of the test.")
@option("--count", default=10, type=click.IntRange(1, 2_000), help="Number of invitations to make.")
@option("--address", help="Address of the page, as raters reach it. [default: that of the last `listen start`]")
def invite(*, run_folder: Path, name: str, count: int, address: str | None) -> None:
    """Make links for the raters of a test, one for each.

    \b
    soundsright listen invite runs/seed-1 --count 20 --address https://listen.example.org/

    A rater can use a link once, and continue with it. You can make links while the test runs. They are shown only
    now: the folder of the test has no copy.
    """
    from soundsright.services.listening import folder_of_test, new_invitations, page_address, read_address

    run = _finished_run(run_folder)
    folder = folder_of_test(run.folder, name)
    page = page_address(address) if address is not None else read_address(folder)
    if page is None:
        raise UsageError(
            f"The test {name!r} was not served yet, so its address is unknown",
            "Run `soundsright listen start` first, or give --address.",
        )
    for token in new_invitations(folder, count):
        click.echo(f"{page}#{token}")
    if address is None:
        click.echo(f"The links lead to {page}. Give --address if raters reach it at another address.", err=True)


@command.command("results")
@_run_argument
def results(*, run_folder: Path) -> None:
    """Show the votes of a run's listening tests beside the metrics.

    \b
    soundsright listen results runs/seed-1
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from soundsright.services.drawing import metric_name
    from soundsright.services.listening import summaries_below

    run = _finished_run(run_folder)
    tests = [test for c in run.competitions for test in summaries_below(run.folder / "listening", c)]
    if not tests:
        raise UsageError(f"{run_folder} has no listening test", "Start one with `soundsright listen start`.")
    console = Console(highlight=False)
    for test in tests:
        table = Table(title=Text(test.summary), title_justify="left", box=box.SIMPLE_HEAD)
        table.add_column("heard")
        for heading in (test.scale, "votes", *(metric_name(m) for m in test.metrics)):
            table.add_column(heading, justify="right")
        for row in test.rows:
            half = row.estimate.half_width
            width = "–" if half is None else f"{half:.2f}"
            cells = [f"{row.estimate.mean:.2f} ±{width}", str(row.votes)]
            cells += [f"{row.metrics[m]:.3f}" if m in row.metrics else "–" for m in test.metrics]
            table.add_row(Text(row.label), *cells)
        console.print(table)
        for line in test.excluded:
            console.print(Text(f"  not counted: {line}", style="yellow"))


def _finished_run(folder: Path) -> Run:
    from soundsright.services.records import find_runs, read_runs

    runs = read_runs(find_runs([folder]))
    if len(runs) != 1 or runs[0].doc is None:
        reason = runs[0].problem if runs else "It has no run."
        raise UsageError(f"{folder}: {reason}", "Give the folder of one finished run.")
    return runs[0]


def _competition(run: Run, competition_id: str | None) -> RunCompetition:
    """The competition of that id, or the run's first if it is None."""
    if competition_id is None:
        if not run.competitions:
            raise UsageError(f"{run.folder} has no competition", "Give another run.")
        return run.competitions[0]
    competition = run.competition(competition_id.upper())
    if competition is None:
        ids = ", ".join(c.doc.id for c in run.competitions)
        raise UsageError(f"The run has no competition {competition_id!r}", f"Choose from {ids}.")
    return competition


def _entries(competition: RunCompetition, names: tuple[str, ...]) -> tuple[str, ...]:
    """The keys of the named entries, or of the first three that have audio and scores."""
    names_by_key = {e.key: (e.label, e.row.hotkey, str(e.row.uid), e.key) for e in competition.entries}
    if not names:
        usable = tuple(e.key for e in competition.entries if e.folder is not None and e.scores)[:3]
        if not usable:
            raise UsageError(
                "No entry of the run has both audio and scores", "Give a run that kept the audio of its entries."
            )
        return usable
    chosen = []
    for name in names:
        matches = [key for key, own_names in names_by_key.items() if name in own_names]
        if len(matches) != 1:
            labels = ", ".join(e.label for e in competition.entries)
            problem = f"{name!r} names {len(matches)} entries" if matches else f"There is no entry {name!r}"
            raise UsageError(problem, f"Choose from {labels}.")
        chosen.append(matches[0])
    return tuple(dict.fromkeys(chosen))
