"""`soundsright bundle verify`: check a bundle, or a part of one."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from soundsright.cli.shared.options import env_file_option, option
from soundsright.cli.shared.round_bundles import chain_line, check_signer, is_address
from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from soundsright.services.records import OpenedRound


@click.command("verify")
@click.argument("source", metavar="BUNDLE")
@option("--signer", default="", help="Address that must have signed it.")
@option("--unsigned-ok", is_flag=True, help="Accept a bundle that nobody signed, such as one of `compete`.")
@option("--audio", is_flag=True, help="Also decode all audio and check its digests.")
@option("--network", default="", help="Chain on which the signer must have committed to the round.")
@option("--netuid", default=0, help="Number of the subnet on a Bittensor network.", show_default=False)
@env_file_option
def command(
    *, source: str, signer: str, unsigned_ok: bool, audio: bool, network: str, netuid: int, env_file: Path | None
) -> None:
    """Check everything that a bundle says.

    \b
    soundsright bundle verify round.zip --signer 5F... --audio
    soundsright bundle verify round.zip --network http://127.0.0.1:9944
    soundsright bundle verify https://example.org/r/7/bundle

    BUNDLE is a .zip file, a folder, a part that `bundle fetch` wrote, or an address, from which everything but the
    audio is read. The command checks the signature, all digests and Merkle roots, and that the files agree with
    each other. It exits with 3 at the first thing that is wrong. Without --signer and --network, anyone can have
    signed it.
    """
    with ExitStack() as stack:
        path = _fetched(source, stack, audio) if is_address(source) else Path(source)
        for line in _checked(path, signer, unsigned_ok, audio, network, netuid, env_file):
            click.echo(line)


def _fetched(address: str, stack: ExitStack, audio: bool) -> Path:
    """A temporary folder with the files at the address, without audio."""
    from soundsright.adapters.peers import WebFolder, valid_signature
    from soundsright.services.records import fetch_record

    if audio:
        raise UsageError(
            "The audio of a bundle at an address is not checked",
            "Omit --audio, check single clips with `bundle fetch`, or download the bundle.",
        )
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="soundsright-bundle-")))
    with closing(WebFolder(address)) as place:
        fetch_record(place, folder, valid_signature)
    return folder


def _checked(
    path: Path,
    signer: str,
    unsigned_ok: bool,
    audio: bool,
    network: str,
    netuid: int,
    env_file: Path | None,
) -> list[str]:
    """Check the bundle, and return what to print."""
    from soundsright.adapters.peers import valid_signature
    from soundsright.services.records import PROOF, RoundBundle, check_audio, check_bundle, check_part, open_store

    with open_store(path) as store:
        if PROOF in store.sizes:
            opened, proof = check_part(store, valid_signature)
            check_signer(opened, signer, unsigned_ok=unsigned_ok)
            what = f"clip {proof.clip.leaf['clip']} of {proof.competition}"
            answered = f", and the answer of {proof.entry}" if proof.entry else ""
            lines = [f"Proved     {what}{answered}, leaf {proof.clip.index + 1} of {proof.clip.size}"]
        else:
            bundle = RoundBundle(store, valid_signature)
            opened = bundle.opened
            check_signer(opened, signer, unsigned_ok=unsigned_ok)
            checked = check_bundle(bundle)
            lines = [
                f"Files      {checked.files} of the document",
                f"Lines      {checked.clips} clips, {checked.answers} answers, {checked.scores} scores",
            ]
            if checked.hidden:
                lines.append(f"Hidden     {len(checked.hidden)} signals, whose recordings are private")
            lines.append(
                f"Audio      {check_audio(bundle, checked)} signals" if audio else "Audio      not checked"
            )
    hint = None if not network else _hint(path)
    return [*_head(opened), *lines, *chain_line(opened, network, netuid, env_file, hint)]


def _head(opened: OpenedRound) -> list[str]:
    document = opened.document
    return [
        f"Round      {document.round.id}, document {opened.sha256}",
        f"Signer     {opened.signer or 'none: nobody signed this'}",
    ]


def _hint(path: Path) -> int | None:
    from soundsright.services.records import committed_block, open_store

    with open_store(path) as store:
        return committed_block(store)
