"""`soundsright federation blacklist`: miners that the owner's API does not list as active."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from soundsright.cli.commands.federation.db import SETTINGS
from soundsright.cli.shared.addresses import checked_hotkey
from soundsright.cli.shared.options import env_file_option, option
from soundsright.cli.shared.settings_options import settings_from, settings_options
from soundsright.config import FederationSettings

_hotkey_argument = click.argument("hotkey_address", metavar="HOTKEY")


@click.group("blacklist")
def command() -> None:
    """Say which miners the owner's API does not list as active.

    \b
    soundsright federation blacklist add 5F... --reason "registered thrice"
    soundsright federation blacklist list

    It changes what is shown, and no score or weight: validators do not read it.
    """


@command.command("list")
@env_file_option
@settings_options(FederationSettings, SETTINGS)
def list_(env_file: Path | None, **flags: Any) -> None:
    """Print the miners in the blacklist with their reasons.

    \b
    soundsright federation blacklist list
    """
    from soundsright.cli.shared.federation_database import opened_database
    from soundsright.services.federation_api import Blacklist

    settings = settings_from(FederationSettings, flags, env_file)
    with opened_database(settings) as (_, records):
        members = Blacklist(records).members()
    for hotkey, reason in members.items():
        click.echo(f"{hotkey}  {reason}".rstrip())
    if not members:
        click.echo("The blacklist is empty.")


@command.command("add")
@_hotkey_argument
@option("--reason", default="", help="Reason that is shown to admins, on one line.")
@env_file_option
@settings_options(FederationSettings, SETTINGS)
def add(hotkey_address: str, reason: str, env_file: Path | None, **flags: Any) -> None:
    """Add a miner, or give another reason.

    \b
    soundsright federation blacklist add 5F... --reason "sends noise"
    """
    from soundsright.cli.shared.federation_database import opened_database, refusals_as_usage_errors
    from soundsright.services.federation_api import Blacklist, checked_reason

    checked_hotkey(hotkey_address, "HOTKEY")
    settings = settings_from(FederationSettings, flags, env_file)
    with refusals_as_usage_errors():
        checked_reason(reason)
        with opened_database(settings) as (_, records):
            changed = Blacklist(records).add(hotkey_address, reason)
    click.echo(f"{hotkey_address} is in the blacklist" + ("" if changed else ", as before"))


@command.command("remove")
@_hotkey_argument
@env_file_option
@settings_options(FederationSettings, SETTINGS)
def remove(hotkey_address: str, env_file: Path | None, **flags: Any) -> None:
    """Remove a miner from the blacklist.

    \b
    soundsright federation blacklist remove 5F...
    """
    from soundsright.cli.shared.federation_database import opened_database
    from soundsright.core.errors import UsageError
    from soundsright.services.federation_api import Blacklist

    checked_hotkey(hotkey_address, "HOTKEY")
    settings = settings_from(FederationSettings, flags, env_file)
    with opened_database(settings) as (_, records):
        if not Blacklist(records).remove(hotkey_address):
            raise UsageError(
                f"{hotkey_address} is not in the blacklist", "`soundsright federation blacklist list` prints it."
            )
    click.echo(f"{hotkey_address} is no longer in the blacklist")
