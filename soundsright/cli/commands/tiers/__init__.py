"""`soundsright tiers`: serve the model that you committed, verify those who do, and climb."""

from __future__ import annotations

import click

from soundsright.cli.commands.tiers import (
    demo,
    explain,
    preflight,
    prove,
    redis_password,
    request,
    simulate,
    status,
    verify,
)


@click.group("tiers")
def command() -> None:
    """Serve the model that you committed, and verify those who do.

    \b
    soundsright tiers prove       # a miner: commit to a model and serve it
    soundsright tiers verify      # a validator
    soundsright tiers preflight   # both, before they start
    soundsright tiers status      # a validator: the ladder
    soundsright tiers explain HOTKEY
    soundsright tiers request     # a listener: send a recording
    soundsright tiers redis-password
    soundsright tiers demo        # anybody: provers that climb and fall, on this machine
    soundsright tiers simulate    # anybody: a year of the ladder in seconds
    """


for _module in (prove, verify, status, explain, request, preflight, redis_password, demo, simulate):
    command.add_command(_module.command)
