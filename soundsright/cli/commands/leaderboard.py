"""`soundsright leaderboard`: show the results of runs as web pages."""

from __future__ import annotations

from pathlib import Path

import click

from soundsright.cli.shared.addresses import checked_hotkey
from soundsright.cli.shared.options import ANY_PATH, Connections, audio_mib_option, listening_options, option
from soundsright.core.errors import UsageError

_runs_option = option(
    "--run",
    "runs",
    multiple=True,
    type=ANY_PATH,
    envvar="SOUNDSRIGHT_RUN",
    help="Folder of a run, or a folder of runs. Repeat it for more runs, oldest first.",
)
_executor_option = option(
    "--executor",
    metavar="PATH|URL",
    envvar="SOUNDSRIGHT_EXECUTOR",
    help="Also show an executor's rounds: its address, the folder of `executor serve`, or saved results.",
)
_federation_option = option(
    "--federation",
    type=ANY_PATH,
    envvar="SOUNDSRIGHT_FEDERATION",
    help="Also show a federation: the folder of `federation get-rank --save`.",
)
_tiers_option = option(
    "--tiers",
    type=ANY_PATH,
    envvar="SOUNDSRIGHT_TIERS",
    help="Also show the tiers of a verifier: its STATE_FOLDER.",
)
_log_option = option(
    "--log",
    metavar="HOTKEY",
    envvar="ROUND_LOG_HOTKEY",
    help="Hotkey of the log of rounds that counts. Without it, a page says that anyone can keep a log.",
)


@click.group("leaderboard")
def command() -> None:
    """Show the results of runs as web pages.

    \b
    soundsright leaderboard build site --run runs/seed-1
    soundsright leaderboard serve --run runs

    The pages have tables, plots and the audio itself.
    """


@command.command("build")
@click.argument("out", type=ANY_PATH)
@_runs_option
@_executor_option
@_federation_option
@_tiers_option
@_log_option
@audio_mib_option(128, "the pages")
def build(
    *,
    out: Path,
    runs: tuple[Path, ...],
    executor: str | None,
    federation: Path | None,
    tiers: Path | None,
    log: str | None,
    audio_mib: int,
) -> None:
    """Write the leaderboard as files to the folder OUT.

    \b
    soundsright leaderboard build site --run runs/seed-1
    soundsright leaderboard build site --executor http://127.0.0.1:9000

    You can open the pages from the disk. They need no server. Give --run, --executor, --federation, --tiers
    or several.
    """
    from soundsright.adapters.peers import valid_signature
    from soundsright.cli.shared.executor_source import executor_history
    from soundsright.cli.shared.tiers_reading import shown_tiers
    from soundsright.services.board import ShownFederation, build_site
    from soundsright.services.records import find_runs, read_runs

    _check_sources(runs, executor, federation, tiers)
    history = executor_history(executor) if executor else None
    for problem in history.problems if history else ():
        click.echo(f"Note: {problem}", err=True)
    found_runs = read_runs(find_runs(runs))
    for unreadable in (run for run in found_runs if run.doc is None):
        click.echo(f"Note: {unreadable.folder}: {unreadable.problem}", err=True)
    for run in found_runs:
        for note in run.notes:
            click.echo(f"Note: {run.folder}: {note}", err=True)
    if runs and all(run.doc is None for run in found_runs):
        names = ", ".join(map(str, runs))
        raise UsageError(f"There is no run to show in {names}", "Give the folder of a finished run.")
    built = build_site(
        found_runs,
        out,
        audio_bytes=audio_mib << 20,
        executor=history,
        federation=ShownFederation.read(federation) if federation else None,
        tiers=shown_tiers(tiers) if tiers else None,
        valid_signature=valid_signature,
        log=checked_hotkey(log, "--log") or None,
    )
    for note in built.notes:
        click.echo(f"Note: {' '.join(note.split())}", err=True)
    silent = f"; {built.clips_silent} clips without audio" if built.clips_silent else ""
    audio = f"{built.audio_bytes / 1e6:.1f} MB audio of {built.clips_heard} clips{silent}"
    click.echo(f"{built.files} files, {built.total_bytes / 1e6:.1f} MB, of which {audio}")
    click.echo(f"Open {(out / 'index.html').resolve()}")


@command.command("serve")
@_runs_option
@_executor_option
@_federation_option
@_tiers_option
@_log_option
@listening_options("SOUNDSRIGHT_LEADERBOARD", 8700)
def serve(
    *,
    runs: tuple[Path, ...],
    executor: str | None,
    federation: Path | None,
    tiers: Path | None,
    log: str | None,
    host: str,
    port: int,
    connections: Connections,
) -> None:
    """Serve the leaderboard until Ctrl-C.

    \b
    soundsright leaderboard serve --run runs
    soundsright leaderboard serve --executor http://127.0.0.1:9000

    New and changed runs appear without a restart, and new rounds of an executor within a minute. The page /status
    shows a running round, /emission what a validator pays, /executor the images of an executor, /federation the
    turns and ranks of a federation, and /tiers the ladder of served models. Give --run, --executor, --federation,
    --tiers or several.
    """
    from contextlib import nullcontext

    from soundsright.adapters.peers import valid_signature
    from soundsright.cli.shared.emission_watch import emission_in
    from soundsright.cli.shared.executor_source import PolledHistory
    from soundsright.cli.shared.round_watch import opened_watch
    from soundsright.cli.shared.serving import limits_of, serve_app
    from soundsright.cli.shared.tiers_reading import saved_tiers
    from soundsright.services.board import LiveSite, SavedFederation, StatusFeed, board_app
    from soundsright.services.records import find_runs

    _check_sources(runs, executor, federation, tiers)
    find_runs(runs)
    history = PolledHistory(executor) if executor else None
    feed = StatusFeed(runs, opened_watch, emission_in)
    with saved_tiers(tiers) if tiers else nullcontext() as ladder:
        site = LiveSite(
            runs,
            live=True,
            executor=history,
            federation=SavedFederation(federation) if federation else None,
            tiers=ladder,
            valid_signature=valid_signature,
            log=checked_hotkey(log, "--log") or None,
        )
        app = board_app(site, feed)
        serve_app(app, host, port, "Leaderboard", limits=limits_of(connections), on_stop=feed.stop)


def _check_sources(
    runs: tuple[Path, ...], executor: str | None, federation: Path | None, tiers: Path | None
) -> None:
    if not (runs or executor or federation or tiers):
        raise UsageError(
            "Nothing to show is given", "Give --run FOLDER, --executor PATH, --federation FOLDER or --tiers FOLDER."
        )
