"""`soundsright tiers preflight`: check the machine of a verifier or a prover before it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from soundsright.cli.commands.tiers import prove, verify
from soundsright.cli.shared.options import env_file_option, option
from soundsright.cli.shared.preflight_checks import preflight_options
from soundsright.cli.shared.settings_options import settings_from, settings_options
from soundsright.config import TiersSettings

SETTINGS = tuple(dict.fromkeys((*verify.SETTINGS, *prove.SETTINGS)))


@click.command("preflight")
@option("--prover", is_flag=True, help="Check the machine of a prover in place of a verifier's.")
@env_file_option
@preflight_options
@settings_options(TiersSettings, SETTINGS)
def command(
    prover: bool,
    env_file: Path | None,
    as_json: bool,
    timeout_s: float,
    rules_digest: tuple[str, ...],
    **flags: Any,
) -> int:
    """Check the machine of a verifier or a prover before it starts.

    \b
    soundsright tiers preflight
    soundsright tiers preflight --prover --json

    For a verifier it checks keys, chain, clock, rules, libraries, engine, recordings, database, counters, the port
    of the gateway and which provers can be reached. For a prover it checks keys, chain, clock, rules, engine or
    model, port and address. It prints one line for each, with what to do, and writes nothing. Exit code 1 means
    that a check failed.
    """
    from soundsright.cli.shared.preflight_checks import merged_variables, report_findings
    from soundsright.cli.shared.tiers_preflight import ProverPreflight, VerifierPreflight

    kind = ProverPreflight if prover else VerifierPreflight
    preflight = kind(settings_from(TiersSettings, flags, env_file), merged_variables(env_file), rules_digest)
    return report_findings(preflight, as_json=as_json, timeout_s=timeout_s)
