"""`soundsright bundle fetch`: one clip of a bundle, with its proof."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from soundsright.cli.shared.options import ANY_PATH, option
from soundsright.cli.shared.round_bundles import check_signer, is_address
from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from soundsright.services.records import BundlePlace


@click.command("fetch")
@click.argument("source", metavar="SOURCE")
@option("--clip", required=True, help="The clip, such as 000001.")
@option("--entry", help="Also fetch the answer of this entry: its id or hotkey.")
@option("--competition", help="The competition, if the round has more than one.")
@option("--signer", default="", help="Address that must have signed the round.")
@option("--unsigned-ok", is_flag=True, help="Accept a round that nobody signed.")
@option("--out", type=ANY_PATH, help="New folder to write to. [default: clip-CLIP]")
def command(
    *,
    source: str,
    clip: str,
    entry: str | None,
    competition: str | None,
    signer: str,
    unsigned_ok: bool,
    out: Path | None,
) -> None:
    """Fetch one clip of a bundle, with the proof that it belongs to the round.

    \b
    soundsright bundle fetch https://example.org/round-7 --clip 000001 --entry 5F...

    SOURCE is an address, a folder or a .zip file. Only the lines and the audio of that clip are read. Everything is
    checked before it is written. `bundle verify` checks it again.
    """
    from soundsright.adapters.peers import valid_signature
    from soundsright.services.records import fetched_part, write_part

    target = out if out is not None else Path(f"clip-{clip}")
    if target.exists():
        raise UsageError(f"{target} exists", "Give a new folder with --out.")
    with ExitStack() as stack:
        place = _place(source, stack)
        part = fetched_part(place, clip, entry=entry, competition=competition, valid_signature=valid_signature)
    check_signer(part.opened, signer, unsigned_ok=unsigned_ok)
    write_part(part, target)
    kilobytes = sum(map(len, part.files.values())) / 1e3
    click.echo(f"{target}: {len(part.files)} files, {kilobytes:.0f} kB, signed by {part.opened.signer or 'nobody'}")
    if part.missing:
        click.echo(
            f"{len(part.missing)} signals are not there: {', '.join(d[:16] for d in part.missing)}", err=True
        )


def _place(source: str, stack: ExitStack) -> BundlePlace:
    from contextlib import closing

    from soundsright.adapters.peers import WebFolder
    from soundsright.services.records import StorePlace, open_store

    if is_address(source):
        return stack.enter_context(closing(WebFolder(source)))
    return StorePlace(stack.enter_context(open_store(Path(source))))
