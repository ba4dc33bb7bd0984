"""`soundsright seal`: encrypt a model, so that it can be published before entries close."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from soundsright.cli.shared.options import ANY_PATH, env_file_option
from soundsright.cli.shared.settings_options import settings_from, settings_options
from soundsright.config import MinerSettings
from soundsright.core.errors import UsageError


@click.command("seal")
@click.argument("folder", type=ANY_PATH)
@click.argument("out", type=ANY_PATH)
@env_file_option
@settings_options(MinerSettings, ("state_folder",))
def command(folder: Path, out: Path, env_file: Path | None, **flags: Any) -> None:
    """Encrypt the model in FOLDER, to publish it before entries close.

    \b
    soundsright seal my-model sealed-model

    OUT/model.sealed is the encrypted archive: publish the folder OUT in place of the model. The key stays in
    STATE_FOLDER, where `soundsright miner` finds it. The miner reveals it when entries have closed.
    """
    from soundsright.adapters.hubs import folder_hash, seal_folder
    from soundsright.core.content import SEALED_FILE, sha256_of_file
    from soundsright.services.miner import SealedModel, store_archive

    settings = settings_from(MinerSettings, flags, env_file)
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", "Give the folder of a model.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is not an empty folder", "Give a new folder.")
    if out.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"{out} is inside {folder}", "Give a folder outside the model.")
    content = folder_hash(folder)
    out.mkdir(parents=True, exist_ok=True)
    partial = out / f".{SEALED_FILE}.part"
    try:
        key = seal_folder(folder, partial)
        # The key is stored first: an archive without its key would be of no use.
        store_archive(settings.folder, sha256_of_file(partial), SealedModel(content, key))
        partial.replace(out / SEALED_FILE)
    finally:
        partial.unlink(missing_ok=True)
    click.echo(f"{out / SEALED_FILE} has the content {content[:16]}…")
    click.echo(f"Its key is in {settings.folder / 'archives.json'}. Back that file up, and publish {out}.")
