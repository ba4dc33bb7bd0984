"""`soundsright datasets`: corpora to make sets from."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from soundsright.core.errors import UsageError


@click.group("datasets")
def command() -> None:
    """List, fetch and verify corpora of speech, noise and rooms."""


@command.command("list")
def list_corpora() -> None:
    """Show the corpora that can be fetched, and the recordings that ship with the project."""
    from rich.console import Console
    from rich.table import Table

    from soundsright.data import CATALOGUE, Corpus, installed_corpora

    table = Table(box=None)
    for heading in ("name", "what", "kind", "licence", "commercial use", "files"):
        table.add_column(heading, justify="right" if heading == "files" else "left")
    try:
        corpus = Corpus.open()
    except UsageError:
        pass  # An installed package without its checkout has none; the corpora to fetch are there all the same.
    else:
        count = len(corpus.speech) + len(corpus.noise) + len(corpus.rirs)
        table.add_row("shipped", f"recordings in {corpus.root}", "all", "per file", "yes", str(count))
    for name in installed_corpora():
        table.add_row(name, "corpus of an installed package", "all", "per file", "per file", "")
    for entry in CATALOGUE:
        use = "NO" if entry.non_commercial else "yes"
        table.add_row(entry.name, entry.title, entry.kind, entry.licence, use, str(len(entry.files)))
    Console(width=None if sys.stdout.isatty() else 140).print(table)


@command.command("fetch")
@click.argument("name")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("corpora"),
    show_default=True,
    envvar="SOUNDSRIGHT_CORPORA",
    show_envvar=True,
    help="The archives go to DIR/NAME.",
)
@click.option("--part", "parts", multiple=True, help="Only this archive, such as dev-clean; may be repeated.")
@click.option("--mirror", envvar="DATASETS_MIRROR", show_envvar=True, help="Take the archives from this address.")
@click.option("--no-unpack", is_flag=True, help="Leave the archives packed.")
@click.option("--yes", is_flag=True, help="Agree to the licence without being asked.")
def fetch(name: str, out: Path, parts: tuple[str, ...], mirror: str | None, no_unpack: bool, yes: bool) -> None:
    """Fetch the corpus NAME, or go on where a fetch stopped. The licence is shown first."""
    from dataclasses import replace

    from soundsright.adapters.speech import fetched, unpack
    from soundsright.data import corpus_entry

    entry = corpus_entry(name)
    files = entry.chosen(parts)
    click.echo(f"{entry.title}\n  licence: {entry.licence}\n  home page: {entry.homepage}")
    if entry.non_commercial:
        click.echo("  NON-COMMERCIAL: a model trained on it may not be used for profit, prizes included.")
    sizes = [f.size_bytes for f in files]
    known = sum(s for s in sizes if s is not None)
    size = f"{known / 1e9:.1f} GB" if None not in sizes else "size not stated"
    click.echo(f"  {len(files)} archive{'s' * (len(files) > 1)}, {size}, to {out / entry.name}")
    if not yes:
        click.confirm("Fetch under this licence?", abort=True)
    shown = sys.stderr.isatty()

    def progress(file: str, have: int, total: int | None) -> None:
        if shown:
            of = f" of {total / 1e6:.0f}" if total else ""
            click.echo(f"\r{file}: {have / 1e6:.0f}{of} MB", nl=False, err=True)

    for file in files:
        source = replace(file, url=f"{mirror.rstrip('/')}/{file.name}") if mirror else file
        archive = fetched(source, out / entry.name, progress=progress)
        checked = "checksum verified" if file.checksum else "no checksum is published; this one is recorded"
        click.echo(f"{archive}: {checked}")
        if not no_unpack:
            click.echo(f"  {unpack(archive, out / entry.name)} files unpacked")


@command.command("verify")
@click.argument("directory", type=click.Path(path_type=Path))
@click.pass_context
def verify(context: click.Context, directory: Path) -> None:
    """Check DIRECTORY: a corpus, a set or a round's set against its manifest, fetched archives, or any recordings.

    Exit status 1 says that files are missing, changed or unreadable.
    """
    from soundsright.data import verified

    verdict = verified(directory)
    for path, problem in verdict.problems.items():
        click.echo(f"{path}: {problem}")
    wrong = len(verdict.problems)
    click.echo(f"{verdict.kind}: {verdict.checked} files checked, {wrong or 'none'} wrong")
    if wrong:
        context.exit(1)


@command.command("disjoint")
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.pass_context
def disjoint(context: click.Context, first: Path, second: Path) -> None:
    """Prove that two sets, FIRST and SECOND, share no speaker, no recording of noise and no room.

    Each is the directory of a set, or its manifest. Exit status 1 says that they share something.
    """
    from soundsright.data import ORIGIN_KINDS, compared

    both = compared(first, second)
    for kind in ORIGIN_KINDS:
        one, other, shared = (sorted(getattr(side, kind)) for side in (both.first, both.second, both.shared))
        names = f": {', '.join(shared[:5])}{' …' if len(shared) > 5 else ''}" if shared else ""
        click.echo(f"{kind}: {len(one)} and {len(other)}, {len(shared) or 'none'} shared{names}")
    if both.shared:
        context.exit(1)
