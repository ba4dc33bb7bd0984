"""`soundsright federation miner`: publish a model, and commit to it once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from soundsright.cli.shared.options import ANY_PATH, env_file_option, option, poll_option
from soundsright.cli.shared.settings_options import settings_from, settings_options
from soundsright.config import MinerSettings
from soundsright.core.errors import EntryRefused, UsageError

_HUB = ("hf_endpoint", "hf_token", "soundsright_hub", "state_folder", "wallet_path")
_SERVING = (
    *("axon_port", "healthcheck_api_host", "healthcheck_api_port", "validator_min_stake", "feedback_hook"),
    *("soundsright_connections", "soundsright_connections_per_client", "openai_api_key", "publish_at_close"),
)
_COMMIT = tuple(name for name in MinerSettings.model_fields if name not in _SERVING)


@click.group("miner")
def command() -> None:
    """Publish a model, and commit to it.

    \b
    soundsright federation miner push my-model lab/my-model
    soundsright federation miner commit
    """


@command.command("push")
@click.argument("folder", type=ANY_PATH)
@click.argument("name", metavar="NAMESPACE/NAME")
@option("--private", is_flag=True, help="If the model is new on the hub, make it private.")
@env_file_option
@settings_options(MinerSettings, _HUB)
def push(folder: Path, name: str, private: bool, env_file: Path | None, **flags: Any) -> None:
    """Push the model in FOLDER to the hub.

    \b
    soundsright federation miner push my-model lab/my-model

    The command prints the model's revision, which `miner commit` needs. With SOUNDSRIGHT_HUB it copies the model to
    that folder, the hub of a private competition.
    """
    from soundsright.library import check_folder

    settings = settings_from(MinerSettings, flags, env_file)
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", "Give the folder of the model.")
    check_folder(folder, [settings.wallet_path, settings.folder])
    namespace, _, model = name.partition("/")
    if not namespace or not model or "/" in model:
        raise UsageError(f"{name[:80]!r} is not the name of a model", "Write it as NAMESPACE/NAME.")
    click.echo(_pushed(settings, folder, namespace, model, private=private))


def _pushed(settings: MinerSettings, folder: Path, namespace: str, model: str, *, private: bool) -> str:
    """Push the model, and return its reference."""
    from soundsright.adapters.hubs import FolderHub, HubPush
    from soundsright.cli.shared.opening import hub_token
    from soundsright.core.sources import ModelRef

    root = settings.soundsright_hub
    try:
        if root is not None:
            hub = FolderHub(root.expanduser(), settings.folder / "cache")
            return str(hub.publish(namespace, model, folder))
        pushed = HubPush(settings.hf_endpoint, hub_token(settings))
        revision = pushed.model(f"{namespace}/{model}", folder, message="Update the model", private=private)
        return str(ModelRef(namespace, model, revision))
    except EntryRefused as refused:
        raise UsageError(
            refused.sentence, "Use letters, digits and - _ . (not -- or ..) in NAMESPACE and NAME."
        ) from refused


@command.command("commit")
@env_file_option
@poll_option
@settings_options(MinerSettings, _COMMIT)
def commit(env_file: Path | None, poll_s: float, **flags: Any) -> None:
    """Commit to the model that the settings name, and stop.

    \b
    soundsright federation miner commit --env-file .env

    If the organiser's file says that commitments are digests, validators ask for the model when entries close. Then
    run `soundsright miner`, which commits and answers them.
    """
    from soundsright.adapters.machine import SystemClock
    from soundsright.cli.commands.miner import miner_of
    from soundsright.cli.shared.opening import opened_service
    from soundsright.services.http import Health

    # This command answers nobody, so it must not publish an address.
    settings = settings_from(MinerSettings, flags, env_file).model_copy(update={"axon_external_ip": ""})
    settings.entry()
    health = Health(SystemClock())
    with opened_service(settings) as (account, chain):
        entry, miner = miner_of(settings, account, chain, health, poll_s)
        for warning in miner.check():
            click.echo(f"Warning: {warning}.", err=True)
        miner.tick()
    click.echo(f"{account.address} is committed to {entry.model} for {entry.competition.id}")
