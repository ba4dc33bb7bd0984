"""`soundsright federation`: judge in turns with other validators, and agree with them."""

from __future__ import annotations

import click

from soundsright.cli.commands.federation import (
    api,
    audit,
    blacklist,
    db,
    demo,
    miner,
    preflight,
    ranks,
    serve,
    turns,
    validator,
    verify,
)


@click.group("federation")
def command() -> None:
    """Judge in turns with other validators, and agree on the winners.

    \b
    soundsright federation preflight               # a check of a validator's machine
    soundsright federation serve                   # a validator
    soundsright federation validator add HOTKEY    # the owner: who may judge
    soundsright federation validator list          # the owner
    soundsright federation db init                 # the owner: the API's database
    soundsright federation api                     # the owner: show it to everybody
    soundsright federation miner push my-model lab/my-model
    soundsright federation miner commit            # a miner
    soundsright federation whose-turn              # anybody
    soundsright federation get-rank                # anybody
    soundsright federation audit 1234              # anybody: compute a verdict again
    """


for _module in (demo, serve, preflight, validator, miner, db, blacklist, api, audit):
    command.add_command(_module.command)
for _command in (serve.servers, turns.whose_turn, turns.window, ranks.get_rank, verify.verify):
    command.add_command(_command)
