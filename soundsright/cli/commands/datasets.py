"""`soundsright datasets`: list, fetch and check corpora."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from soundsright.cli.shared.options import ANY_PATH, FOLDER, option
from soundsright.core.errors import UsageError, printable


@click.group("datasets")
def command() -> None:
    """List, fetch and check corpora of speech, noise and rooms.

    \b
    soundsright datasets list
    soundsright datasets fetch librispeech
    """


@command.command("list")
def list_corpora() -> None:
    """List the corpora to fetch, and the shipped recordings.

    \b
    soundsright datasets list
    """
    from rich.console import Console
    from rich.table import Table

    from soundsright.data import CATALOGUE, Corpus, installed_corpora

    table = Table(box=None)
    for heading in ("name", "what", "kind", "licence", "commercial use", "files"):
        table.add_column(heading, justify="right" if heading == "files" else "left")
    try:
        corpus = Corpus.open()
    except UsageError:
        pass  # The shipped recordings are not installed. The corpora to fetch are listed anyway.
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
@option(
    "--out",
    type=FOLDER,
    default=Path("corpora"),
    envvar="SOUNDSRIGHT_CORPORA",
    help="Folder for corpora. The archives go to its subfolder NAME.",
)
@option("--part", "parts", multiple=True, help="Fetch only this archive, such as dev-clean. Repeat it for more.")
@option("--mirror", envvar="DATASETS_MIRROR", help="Address from which to fetch the archives instead.")
@option("--no-unpack", is_flag=True, help="Leave the archives packed.")
@option("--yes", is_flag=True, help="Accept the licence without a question.")
def fetch(name: str, out: Path, parts: tuple[str, ...], mirror: str | None, no_unpack: bool, yes: bool) -> None:
    """Fetch the corpus NAME, or continue a fetch that stopped.

    \b
    soundsright datasets fetch librispeech --part dev-clean

    The command shows the licence and asks you to accept it.
    """
    from dataclasses import replace

    from soundsright.adapters.speech import download_archive, unpack_archive
    from soundsright.data import corpus_entry

    entry = corpus_entry(name)
    files = entry.chosen(parts)
    click.echo(f"{entry.title}\n  licence: {entry.licence}\n  home page: {entry.homepage}")
    if entry.non_commercial:
        click.echo("  NON-COMMERCIAL: you may not use a model trained on it for profit, and prizes are profit.")
    sizes = [f.size_bytes for f in files]
    total_bytes = sum(s for s in sizes if s is not None)
    size = f"{total_bytes / 1e9:.1f} GB" if None not in sizes else "size not stated"
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
        archive = download_archive(source, out / entry.name, progress=progress)
        checked = "checksum verified" if file.checksum else "no checksum is published, so this one is recorded"
        click.echo(f"{archive}: {checked}")
        if not no_unpack:
            click.echo(f"  {unpack_archive(archive, out / entry.name)} files unpacked")


@command.command("verify")
@click.argument("directory", type=ANY_PATH)
@click.pass_context
def verify(context: click.Context, directory: Path) -> None:
    """Check the files of DIRECTORY.

    \b
    soundsright datasets verify sets/train

    DIRECTORY is a corpus or a set with a manifest, a folder of fetched archives, or any folder of recordings. The
    exit code is 1 if files are missing, changed, unreadable or silent.
    """
    from soundsright.data import sharing_line, verified

    verdict = verified(directory)
    for path, problem in verdict.problems.items():
        click.echo(printable(f"{path}: {problem}"))
    for note in verdict.notes:
        click.echo(printable(note), err=True)
    wrong = len(verdict.problems)
    click.echo(f"{verdict.kind}: {verdict.checked} files checked, {wrong or 'none'} wrong")
    if verdict.sharing:
        click.echo(sharing_line(verdict.sharing))
    if wrong:
        context.exit(1)


@command.command("disjoint")
@click.argument("first", type=ANY_PATH)
@click.argument("second", type=ANY_PATH)
@click.pass_context
def disjoint(context: click.Context, first: Path, second: Path) -> None:
    """Check that two sets share no speaker, no noise and no room.

    \b
    soundsright datasets disjoint sets/train sets/test

    FIRST and SECOND are the folders of sets, or their manifests. The exit code is 1 if the sets share something, or
    if it is not known whether they do, because names were only guessed from paths or are missing.
    """
    from soundsright.data import ORIGIN_KINDS, compared

    overlap = compared(first, second)
    for kind in ORIGIN_KINDS:
        in_first, in_second, shared = (
            sorted(getattr(side, kind)) for side in (overlap.first, overlap.second, overlap.shared)
        )
        names = f": {', '.join(shared[:5])}{' …' if len(shared) > 5 else ''}" if shared else ""
        reason = overlap.unknown.get(kind)
        found = f"not known whether any is shared: {reason}" if reason else f"{len(shared) or 'none'} shared{names}"
        click.echo(f"{kind}: {len(in_first)} and {len(in_second)}, {found}")
    if overlap.shared or overlap.unknown:
        context.exit(1)
