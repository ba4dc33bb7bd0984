"""`soundsright tiers status`: the ladder of a verifier."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from soundsright.cli.shared.options import env_file_option, option
from soundsright.cli.shared.settings_options import settings_from, settings_options
from soundsright.cli.shared.tiers_reading import SETTINGS
from soundsright.config import TiersSettings


@click.command("status")
@option("--json", "as_json", is_flag=True, help="Print JSON.")
@env_file_option
@settings_options(TiersSettings, (*SETTINGS, "redis_url"))
def command(as_json: bool, env_file: Path | None, **flags: Any) -> None:
    """Show the ladder of the verifier in STATE_FOLDER.

    \b
    soundsright tiers status
    soundsright tiers status --json --state-folder /var/lib/soundsright

    Each prover has its tier, its success rate with the bound that decides, its requests left, its score and weight.
    The command says if the verifier ran another version than this one. Nothing updates itself.
    """
    from soundsright import __version__
    from soundsright.cli.shared.tiers_reading import opened_history
    from soundsright.cli.shared.tiers_words import status_lines, version_sentence
    from soundsright.core.errors import printable
    from soundsright.services.verifier import bank_facts, ladder_facts

    with opened_history(settings_from(TiersSettings, flags, env_file)) as read:
        history = read()
    if as_json:
        note = version_sentence(history.program, __version__)
        facts = {**ladder_facts(history), "this_program": __version__, "note": note, "banks": bank_facts(history)}
        click.echo(json.dumps(facts, indent=1, allow_nan=False))
        return
    for line in status_lines(history, __version__):
        click.echo(printable(line))
