"""`soundsright federation preflight`: check a validator's machine before its first turn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from soundsright.cli.shared.options import env_file_option
from soundsright.cli.shared.preflight_checks import preflight_options
from soundsright.cli.shared.settings_options import settings_from, settings_options
from soundsright.config import FederationSettings


@click.command("preflight")
@env_file_option
@preflight_options
@settings_options(FederationSettings)
def command(
    env_file: Path | None, as_json: bool, timeout_s: float, rules_digest: tuple[str, ...], **flags: Any
) -> int:
    """Check a validator's machine before its first turn.

    \b
    soundsright federation preflight
    soundsright federation preflight --json

    It checks keys, chain, clock, rules, libraries, engine, database, buckets, the rights of the peers' keys and the
    allowlist, with the settings of `soundsright federation serve`. It prints one line for each, with what to do. It
    leaves one small object in your own bucket, and nothing else. Exit code 1 means that a check failed.
    """
    from soundsright.cli.shared.federation_preflight import FederationPreflight
    from soundsright.cli.shared.preflight_checks import merged_variables, report_findings

    settings = settings_from(FederationSettings, flags, env_file)
    preflight = FederationPreflight(settings, merged_variables(env_file), rules_digest)
    return report_findings(preflight, as_json=as_json, timeout_s=timeout_s)
