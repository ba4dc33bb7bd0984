"""`soundsright federation serve` and `servers`: a validator that judges its turns and pays the winners of all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from soundsright.cli.shared.options import env_file_option, poll_option
from soundsright.cli.shared.settings_options import settings_from, settings_options
from soundsright.config import FederationSettings


@click.command("serve")
@env_file_option
@poll_option
@settings_options(FederationSettings)
def command(env_file: Path | None, poll_s: float, **flags: Any) -> None:
    """Judge the tasks of your turns, and pay the winners on which all validators agree.

    \b
    cp .federation-env.sample .env      # then fill it in
    soundsright federation preflight
    soundsright federation serve

    `soundsright validator` does the same beside its rounds, if the organiser's file has a table [federation].
    """
    _run(env_file, poll_s, flags)


@click.group("servers")
def servers() -> None:
    """Run one half of a validator, beside the other half in another process.

    \b
    soundsright federation servers sampler
    soundsright federation servers validator

    Both halves need the same hotkey and STATE_FOLDER, and ports of their own.
    """


@servers.command("sampler")
@env_file_option
@poll_option
@settings_options(FederationSettings)
def sampler(env_file: Path | None, poll_s: float, **flags: Any) -> None:
    """Judge the tasks of your turns, and set no weights.

    \b
    soundsright federation servers sampler --healthcheck-api-port 6001
    """
    _run(env_file, poll_s, flags, pays=False)


@servers.command("validator")
@env_file_option
@poll_option
@settings_options(FederationSettings)
def validator(env_file: Path | None, poll_s: float, **flags: Any) -> None:
    """Agree with the others on the winners, and set weights. It runs no model.

    \b
    soundsright federation servers validator
    """
    _run(env_file, poll_s, flags, samples=False)


def _run(
    env_file: Path | None, poll_s: float, flags: dict[str, Any], *, samples: bool = True, pays: bool = True
) -> None:
    from soundsright.cli.shared.federation_running import Halves, run_federation

    run_federation(settings_from(FederationSettings, flags, env_file), Halves(samples, pays), poll_s=poll_s)
