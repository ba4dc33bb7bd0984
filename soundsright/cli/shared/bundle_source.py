"""A bundle that a command reads: a folder, a .zip file, or an address whose files are fetched into STATE_FOLDER."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from soundsright.cli.shared.progress_line import ProgressLine
from soundsright.cli.shared.round_bundles import is_address
from soundsright.cli.shared.stopping import EXIT_INTERRUPTED
from soundsright.core.errors import InfrastructureFault, UsageError
from soundsright.core.folder_lock import locked

if TYPE_CHECKING:
    from soundsright.adapters.peers import WebFolder
    from soundsright.services.records import RoundBundle

FETCHED = "bundles"
"""The folder in STATE_FOLDER with the bundles that were fetched, each named by the digest of its document."""
_KEPT = "What was fetched is kept. To continue, run the same command again."
Wanted = Callable[["RoundBundle"], Iterable[str]]


@contextmanager
def bundle_path(source: str, state_folder: Path, wanted: Wanted | None = None) -> Iterator[Path]:
    """The path of a bundle. From an address, everything but the audio is fetched, and the audio that is wanted.

    `wanted` gives the digests of that audio. A file that was fetched before is fetched again only if it changed.

    Raises:
        UsageError: the address is not that of a bundle's files, or the folder cannot be written.
        BundleRefused: a file is not what the round document says.
        PeerUnavailable: the address does not answer.
    """
    if not is_address(source):
        yield Path(source)
        return
    from soundsright.adapters.peers import WebFolder

    if source.endswith(".zip"):
        raise UsageError(
            f"{source} is the address of one file",
            "Give the address of the bundle's files, such as one that ends with /bundle.",
        )
    cache = (state_folder / FETCHED).resolve()
    try:
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UsageError(f"{cache} cannot be made ({error.strerror})", "Set STATE_FOLDER.") from error
    with locked(cache), closing(WebFolder(source)) as place:
        try:
            path = _fetched(place, cache, wanted)
        except InfrastructureFault:
            click.echo(_KEPT, err=True)
            raise
        except KeyboardInterrupt:
            click.echo(f"Stopped. {_KEPT}", err=True)
            raise click.exceptions.Exit(EXIT_INTERRUPTED) from None
    yield path


def _fetched(place: WebFolder, cache: Path, wanted: Wanted | None) -> Path:
    from soundsright.adapters.peers import valid_signature
    from soundsright.services.records import fetch_audio, fetch_into, open_bundle

    path = fetch_into(place, cache, valid_signature)
    if wanted is not None:
        with open_bundle(path) as bundle:
            digests = list(wanted(bundle))
        with ProgressLine("Fetched {done} of {total} signals, {left} left") as progress:
            missing = fetch_audio(place, path, digests, progress)
        if missing:
            click.echo(f"{missing} of {len(digests)} signals are not at the address.", err=True)
    return path


def all_audio(bundle: RoundBundle) -> Iterator[str]:
    """The digests of all signals of a bundle."""
    for line in bundle.clips():
        yield line["clean"]
        yield line["degraded"]
    for line in bundle.answers():
        if line.get("sha256") is not None:
            yield str(line["sha256"])
