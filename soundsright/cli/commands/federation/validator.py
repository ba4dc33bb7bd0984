"""`soundsright federation validator`: keep and publish the list of the validators that judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from soundsright.cli.shared.federation_allowlist import FILE_NAME, AllowlistFile
from soundsright.cli.shared.federation_parts import agreed_rules, own_bucket
from soundsright.cli.shared.options import FILE, env_file_option, option
from soundsright.cli.shared.settings_options import settings_from, settings_options
from soundsright.config import FederationSettings

_RULES = ("soundsright_ruleset", "sampling_rotation_interval")
_PUBLISH = (
    *("netuid", "subtensor_chain_endpoint", "wallet", "hotkey", "wallet_path", "log_level", *_RULES),
    *("r2_endpoint", "r2_region", "r2_own_bucket", "r2_own_write_access_key", "r2_own_write_secret_key"),
)
_hotkeys_argument = click.argument("hotkeys", metavar="HOTKEY...", nargs=-1, required=True)
_file_option = option(
    "--file",
    "path",
    type=FILE,
    default=FILE_NAME,
    help="File with the list. It has the bytes that are published.",
)


@click.group("validator")
def command() -> None:
    """Keep the list of the validators that judge.

    \b
    soundsright federation validator add HOTKEY HOTKEY
    soundsright federation validator publish --wallet owner

    The owner keeps the list in a file. Nobody else sees a change before it is published.
    """


@command.command("list")
@_file_option
def list_(path: Path) -> None:
    """Print the hotkeys of the list, in the order of their turns.

    \b
    soundsright federation validator list
    """
    validators = AllowlistFile(path).read().validators
    for number, hotkey in enumerate(validators):
        click.echo(f"{number:3}  {hotkey}")


@command.command("add")
@_hotkeys_argument
@_file_option
@env_file_option
@settings_options(FederationSettings, _RULES)
def add(hotkeys: tuple[str, ...], path: Path, env_file: Path | None, **flags: Any) -> None:
    """Add hotkeys to the list, with the turns of the organiser's file.

    \b
    soundsright federation validator add HOTKEY HOTKEY

    A list that does not exist begins with them.
    """
    settings = settings_from(FederationSettings, flags, env_file)
    count = AllowlistFile(path).add(hotkeys, agreed_rules(settings).rules.interval_blocks)
    click.echo(f"{path} has {count} validators. To publish it: soundsright federation validator publish")


@command.command("remove")
@_hotkeys_argument
@_file_option
def remove(hotkeys: tuple[str, ...], path: Path) -> None:
    """Remove hotkeys from the list.

    \b
    soundsright federation validator remove HOTKEY
    """
    count = AllowlistFile(path).remove(hotkeys)
    click.echo(f"{path} has {count} validators. To publish it: soundsright federation validator publish")


@command.command("publish")
@_file_option
@env_file_option
@settings_options(FederationSettings, _PUBLISH)
def publish(path: Path, env_file: Path | None, **flags: Any) -> None:
    """Publish the list in the owner's bucket, and commit to it on the chain.

    \b
    soundsright federation validator publish --wallet owner --r2-own-bucket lists

    The bucket is R2_OWN_BUCKET, which validators name in R2_SOURCE_BUCKET. The list holds from the next epoch on.
    """
    from soundsright.cli.shared.federation_allowlist import publish as published
    from soundsright.cli.shared.opening import opened_service

    settings = settings_from(FederationSettings, flags, env_file)
    agreed, file = agreed_rules(settings), AllowlistFile(path)
    count, bucket = len(file.read().validators), own_bucket(settings)
    with opened_service(settings) as (account, chain):
        digest = published(file, agreed, chain, bucket, account.address)
    click.echo(f"{count} validators are published, with the digest {digest}")
