"""`soundsright leaderboard`: the results as pages, written as files or served."""

from __future__ import annotations

from pathlib import Path

import click

_RUNS = click.option(
    "--run",
    "runs",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    envvar="SOUNDSRIGHT_RUN",
    show_envvar=True,
    help="A run's folder, or a folder of runs; repeat for several, oldest first.",
)


@click.group("leaderboard")
def command() -> None:
    """Show the results of runs as pages: tables, plots, and the audio itself."""


@command.command("build")
@click.argument("out", type=click.Path(path_type=Path))
@_RUNS
@click.option(
    "--audio-mib",
    default=128,
    show_default=True,
    type=click.IntRange(0, 16_384),
    envvar="SOUNDSRIGHT_AUDIO_MIB",
    show_envvar=True,
    help="Audio is put beside the pages up to this size, the clips first where entries differ most.",
)
def build(*, out: Path, runs: tuple[Path, ...], audio_mib: int) -> None:
    """Write the leaderboard to the folder OUT: plain files that a browser opens from a disk."""
    from soundsright.core.errors import UsageError
    from soundsright.services.board import build_site
    from soundsright.services.records import find_runs, read_runs

    found = read_runs(find_runs(runs))
    for unread in (run for run in found if run.doc is None):
        click.echo(f"Note: {unread.folder}: {unread.problem}", err=True)
    if all(run.doc is None for run in found):
        names = ", ".join(map(str, runs))
        raise UsageError(f"There is no run to show in {names}", "Name the folder of a finished run.")
    built = build_site(found, out, audio_bytes=audio_mib << 20)
    for note in built.notes:
        click.echo(f"Note: {' '.join(note.split())}", err=True)
    silent = f"; {built.clips_silent} clips without audio" if built.clips_silent else ""
    audio = f"{built.audio_bytes / 1e6:.1f} MB audio of {built.clips_heard} clips{silent}"
    click.echo(f"{built.files} files, {built.total_bytes / 1e6:.1f} MB, of which {audio}")
    click.echo(f"Open {(out / 'index.html').resolve()}")


@command.command("serve")
@_RUNS
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    envvar="SOUNDSRIGHT_LEADERBOARD_HOST",
    show_envvar=True,
    help="Address to listen on.",
)
@click.option(
    "--port",
    default=8700,
    show_default=True,
    type=click.IntRange(0, 65_535),
    envvar="SOUNDSRIGHT_LEADERBOARD_PORT",
    show_envvar=True,
    help="Port to listen on; 0 takes a free one.",
)
def serve(*, runs: tuple[Path, ...], host: str, port: int) -> None:
    """Serve the leaderboard. New and changed runs appear by themselves, the running round at /status."""
    from soundsright.cli.commands.status import open_watch
    from soundsright.cli.shared.serving import serve_app
    from soundsright.services.board import LiveSite, StatusFeed, board_app
    from soundsright.services.records import find_runs

    find_runs(runs)
    feed = StatusFeed(runs, open_watch)
    serve_app(board_app(LiveSite(runs, live=True), feed), host, port, "Leaderboard", on_stop=feed.stop)
