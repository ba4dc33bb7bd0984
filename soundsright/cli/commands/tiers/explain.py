"""`soundsright tiers explain`: every attempt at a prover, and why it passed or failed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from soundsright.cli.shared.options import env_file_option, option
from soundsright.cli.shared.settings_options import settings_from, settings_options
from soundsright.cli.shared.tiers_reading import SETTINGS
from soundsright.config import TiersSettings


@click.command("explain")
@click.argument("prover_hotkey", metavar="HOTKEY")
@option("--json", "as_json", is_flag=True, help="Print JSON, with the digests and the prover's signatures.")
@env_file_option
@settings_options(TiersSettings, (*SETTINGS, "redis_url"))
def command(prover_hotkey: str, as_json: bool, env_file: Path | None, **flags: Any) -> None:
    """Explain a prover's tier: what each interval decided, and every attempt with its reason.

    \b
    soundsright tiers explain 5Grwva
    soundsright tiers explain 5Grwva --json --state-folder /var/lib/soundsright

    HOTKEY is a hotkey or the start of one. It reads the verifier's database in STATE_FOLDER.
    """
    from soundsright.cli.shared.tiers_reading import opened_history, row_of
    from soundsright.cli.shared.tiers_words import explanation_lines
    from soundsright.core.errors import printable
    from soundsright.services.verifier import prover_facts

    with opened_history(settings_from(TiersSettings, flags, env_file)) as read:
        history = read()
    row = row_of(history, prover_hotkey)
    if as_json:
        click.echo(json.dumps(prover_facts(history, row), indent=1, allow_nan=False))
        return
    for line in explanation_lines(history, row):
        click.echo(printable(line))
