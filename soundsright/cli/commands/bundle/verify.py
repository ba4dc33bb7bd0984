"""`soundsright bundle verify`: check a bundle, or a part of one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundsright.cli.shared.addresses import checked_hotkey
from soundsright.cli.shared.bundle_source import all_audio, bundle_path
from soundsright.cli.shared.log_proof import log_lines
from soundsright.cli.shared.options import env_file_option, option
from soundsright.cli.shared.round_bundles import chain_line, check_signer
from soundsright.cli.shared.settings_options import settings_from, settings_options
from soundsright.config import Settings
from soundsright.core.errors import BundleRefused

if TYPE_CHECKING:
    from soundsright.services.records import BundleStore, OpenedRound, RoundBundle


@click.command("verify")
@click.argument("source", metavar="BUNDLE")
@option("--signer", default="", help="Address that must have signed it.")
@option("--unsigned-ok", is_flag=True, help="Accept a bundle that nobody signed, such as one of `compete`.")
@option("--audio", is_flag=True, help="Also decode all audio and check its digests.")
@option("--log", "log", default="", metavar="HOTKEY", help="Hotkey of the log that must have the round.")
@option("--network", default="", help="Chain on which the signer must have committed to the round.")
@option("--netuid", default=0, help="Number of the subnet on a Bittensor network.", show_default=False)
@settings_options(Settings, ("state_folder",))
@env_file_option
def command(
    *,
    source: str,
    signer: str,
    unsigned_ok: bool,
    audio: bool,
    log: str,
    network: str,
    netuid: int,
    env_file: Path | None,
    **flags: Any,
) -> None:
    """Check everything that a bundle says.

    \b
    soundsright bundle verify round.zip --signer 5F... --audio
    soundsright bundle verify round.zip --network http://127.0.0.1:9944 --log 5E...
    soundsright bundle verify https://example.org/r/7/bundle

    BUNDLE is a .zip file, a folder, a part that `bundle fetch` wrote, or the address of a bundle's files, which are
    fetched into STATE_FOLDER. The command checks the signature, all digests and Merkle roots, and that the files
    agree with each other, and the proof of a log in log.json, in the bundle or beside it. It exits with 3 at the
    first thing that is wrong. Without --signer and --network, anyone can have signed it.
    """
    from soundsright.services.records import PROOF, check_bundle, committed_block, open_store

    checked_hotkey(log, "--log")
    folder = settings_from(Settings, flags, env_file).folder

    def wanted(bundle: RoundBundle) -> Iterator[str]:
        # Gigabytes of audio are not fetched from a signer whom nobody asked for, or by the names of a forged list.
        check_signer(bundle.opened, signer, unsigned_ok=unsigned_ok)
        check_bundle(bundle)
        return all_audio(bundle)

    with bundle_path(source, folder, wanted if audio else None) as path, open_store(path) as store:
        opened, lines = _part(store, audio) if PROOF in store.sizes else _whole(store, audio)
        check_signer(opened, signer, unsigned_ok=unsigned_ok)
        lines += log_lines(store, opened.sha256, log)
        lines += chain_line(opened, network, netuid, env_file, committed_block(store) if network else None)
    for line in (*_head(opened), *lines):
        click.echo(line)


def _part(store: BundleStore, audio: bool) -> tuple[OpenedRound, list[str]]:
    """Check one clip of a bundle. Returns its document, and what to print."""
    from soundsright.adapters.peers import valid_signature
    from soundsright.services.records import check_part

    opened, proof = check_part(store, valid_signature)
    what = f"clip {proof.clip.leaf['clip']} of {proof.competition}"
    answered = f", and the answer of {proof.entry}" if proof.entry else ""
    leaves = [proof.clip.leaf, *([proof.answer.leaf] if proof.answer else [])]
    named = {leaf[role] for leaf in leaves for role in ("clean", "degraded", "sha256") if role in leaf}
    present = {Path(name).stem for name in store.sizes if name.startswith("audio/")}
    missing = sorted(named - present)
    if audio and missing:
        raise BundleRefused(f"The audio {missing[0][:16]} of the clip is missing", "Fetch the clip again.")
    return opened, [
        f"Proved     {what}{answered}, leaf {proof.clip.index + 1} of {proof.clip.size}",
        f"Audio      {len(named) - len(missing)} of {len(named)} signals",
    ]


def _whole(store: BundleStore, audio: bool) -> tuple[OpenedRound, list[str]]:
    """Check a whole bundle. Returns its document, and what to print."""
    from soundsright.adapters.peers import valid_signature
    from soundsright.services.records import RoundBundle, check_audio, check_bundle

    bundle = RoundBundle(store, valid_signature)
    checked = check_bundle(bundle)
    lines = [
        f"Files      {checked.files} of the document",
        f"Lines      {checked.clips} clips, {checked.answers} answers, {checked.scores} scores",
    ]
    if checked.hidden:
        lines.append(f"Hidden     {len(checked.hidden)} signals, whose recordings are private")
    lines.append(f"Audio      {check_audio(bundle, checked)} signals" if audio else "Audio      not checked")
    return bundle.opened, lines


def _head(opened: OpenedRound) -> list[str]:
    document = opened.document
    return [
        f"Round      {document.round.id}, document {opened.sha256}",
        f"Signer     {opened.signer or 'none: nobody signed this'}",
    ]
