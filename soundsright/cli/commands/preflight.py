"""`soundsright preflight`: check a validator's machine before the first round."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from soundsright.cli.shared.options import FiniteFloat, env_file_option, option
from soundsright.cli.shared.settings_options import secrets_of, settings_from, settings_options
from soundsright.config import ValidatorSettings
from soundsright.core.url_passwords import without_passwords


@click.command("preflight")
@env_file_option
@option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@option("--timeout", "timeout_s", default=20.0, type=FiniteFloat(1, 600), help="Seconds that a check may take.")
@option(
    "--rules-digest",
    default="",
    help="Digest that the organiser announced for the rules. The check fails if yours is another.",
)
@settings_options(ValidatorSettings)
def command(env_file: Path | None, as_json: bool, timeout_s: float, rules_digest: str, **flags: Any) -> int:
    """Check a validator's machine before the first round.

    \b
    soundsright preflight
    soundsright preflight --json

    It checks keys, chain, clock, rules, libraries, engine, database, counters, buckets and the executor's services,
    with the settings of `soundsright validator`. It prints one line for each, with what to do, and writes nothing.
    Exit code 1 means that a check failed.
    """
    from soundsright.cli.shared.preflight_checks import Preflight, findings, merged_variables

    settings = settings_from(ValidatorSettings, flags, env_file)
    preflight = Preflight(settings, merged_variables(env_file), rules_digest.strip())
    found = findings(preflight.checks(), timeout_s=timeout_s)
    ok = all(finding.ok for finding in found)
    if as_json:
        text = json.dumps({"ok": ok, "checks": [asdict(finding) for finding in found]}, indent=2)
    else:
        width = max(len(finding.name) for finding in found)
        text = "\n".join(
            f"{'ok    ' if finding.ok else 'FAILED'}  {finding.name:<{width}}  {finding.sentence}."
            + ("" if finding.ok else f" {finding.remedy}")
            for finding in found
        )
    for secret in secrets_of(settings):
        text = text.replace(secret, "***") if len(secret) >= 6 else text
    click.echo(without_passwords(text))
    if any(finding.late for finding in found):
        # A check that hangs can keep a library's threads alive, which Python would wait for.
        sys.stdout.flush()
        os._exit(1)
    return 0 if ok else 1
