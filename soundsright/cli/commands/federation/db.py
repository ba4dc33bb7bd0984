"""`soundsright federation db`: the database of the owner's API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from soundsright.cli.shared.addresses import checked_hotkey
from soundsright.cli.shared.options import env_file_option, option
from soundsright.cli.shared.settings_options import settings_from, settings_options
from soundsright.config import FederationSettings

SETTINGS = ("database_url", "state_folder")


@click.group("db")
def command() -> None:
    """Make the database of the owner's API, and say which validators may send to it.

    \b
    soundsright federation db init
    soundsright federation db add-validator --uid 7 --hotkey 5F...

    `soundsright db` checks, backs up and upgrades it.
    """


@command.command("init")
@env_file_option
@settings_options(FederationSettings, SETTINGS)
def init(env_file: Path | None, **flags: Any) -> None:
    """Make the tables in an empty database. A database that has them does not change.

    \b
    soundsright federation db init
    DATABASE_URL=postgresql://owner@localhost/federation soundsright federation db init
    """
    from soundsright.cli.shared.federation_database import database_of, opened_database, shown_address

    settings = settings_from(FederationSettings, flags, env_file)
    with opened_database(settings, create=True):
        click.echo(f"{shown_address(database_of(settings))} is ready")


@command.command("add-validator")
@option("--uid", type=click.IntRange(0, 65_535), required=True, help="Number of the validator on the chain.")
@option("--hotkey", "address", metavar="SS58", required=True, help="Hotkey of the validator.")
@env_file_option
@settings_options(FederationSettings, SETTINGS)
def add_validator(uid: int, address: str, env_file: Path | None, **flags: Any) -> None:
    """Let a validator send samples and reports to the API.

    \b
    soundsright federation db add-validator --uid 7 --hotkey 5F...

    A validator that is there already gets the new uid. A running API takes it over at once.
    """
    from soundsright.cli.shared.federation_database import opened_database, refusals_as_usage_errors
    from soundsright.services.federation_api import ValidatorList

    checked_hotkey(address, "--hotkey")
    settings = settings_from(FederationSettings, flags, env_file)
    with opened_database(settings) as (_, records), refusals_as_usage_errors():
        changed = ValidatorList(records).add(address, uid)
    click.echo(f"{address} may send as uid {uid}" + ("" if changed else ", as before"))


@command.command("remove-validator")
@option("--hotkey", "address", metavar="SS58", required=True, help="Hotkey of the validator.")
@env_file_option
@settings_options(FederationSettings, SETTINGS)
def remove_validator(address: str, env_file: Path | None, **flags: Any) -> None:
    """Take no more samples and reports from a validator. What it sent stays.

    \b
    soundsright federation db remove-validator --hotkey 5F...
    """
    from soundsright.cli.shared.federation_database import opened_database
    from soundsright.core.errors import UsageError
    from soundsright.services.federation_api import ValidatorList

    checked_hotkey(address, "--hotkey")
    settings = settings_from(FederationSettings, flags, env_file)
    with opened_database(settings) as (_, records):
        if not ValidatorList(records).remove(address):
            raise UsageError(f"{address} is not in the list", "`GET /validators` of the API shows who is.")
    click.echo(f"{address} may no longer send")
