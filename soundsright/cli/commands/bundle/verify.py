"""`soundsright bundle verify`: check a bundle, or a part of one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from soundsright.cli.shared.options import ANY_PATH, env_file_option, option
from soundsright.cli.shared.round_bundles import chain_line, check_signer

if TYPE_CHECKING:
    from soundsright.services.records import OpenedRound


@click.command("verify")
@click.argument("path", metavar="BUNDLE", type=ANY_PATH)
@option("--signer", default="", help="Address that must have signed it.")
@option("--unsigned-ok", is_flag=True, help="Accept a bundle that nobody signed, such as one of `compete`.")
@option("--audio", is_flag=True, help="Also decode all audio and check its digests.")
@option("--network", default="", help="Chain on which the signer must have committed to the round.")
@option("--netuid", default=0, help="Number of the subnet on a Bittensor network.", show_default=False)
@env_file_option
def command(
    *, path: Path, signer: str, unsigned_ok: bool, audio: bool, network: str, netuid: int, env_file: Path | None
) -> None:
    """Check everything that a bundle says.

    \b
    soundsright bundle verify round.zip --signer 5F... --audio
    soundsright bundle verify round.zip --network http://127.0.0.1:9944

    BUNDLE is a .zip file, a folder, or a part that `bundle fetch` wrote. The command checks the signature, all
    digests and Merkle roots, and that the files agree with each other. It exits with 3 at the first thing that is
    wrong. Without --signer and --network, anyone can have signed it.
    """
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
    for line in [*_head(opened), *lines, *chain_line(opened, network, netuid, env_file, hint)]:
        click.echo(line)


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
