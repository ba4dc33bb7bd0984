"""`soundsright executor preflight`: check an executor's machine before the first round."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from soundsright.cli.commands.executor.serve import SETTINGS
from soundsright.cli.shared.options import env_file_option
from soundsright.cli.shared.preflight_checks import preflight_options
from soundsright.cli.shared.settings_options import settings_from, settings_options
from soundsright.config import ExecutorSettings


@click.command("preflight")
@env_file_option
@preflight_options
@settings_options(ExecutorSettings, SETTINGS)
def command(
    env_file: Path | None, as_json: bool, timeout_s: float, rules_digest: tuple[str, ...], **flags: Any
) -> int:
    """Check an executor's machine before the first round.

    \b
    soundsright executor preflight
    EXECUTOR_GPUS=0 soundsright executor preflight --json

    It checks keys, chain, clock, rules, libraries, engine, GPUs, database, port, recordings and the coordinator,
    with the settings of `soundsright executor serve`. It prints one line for each, with what to do, and writes
    nothing. Exit code 1 means that a check failed.
    """
    from soundsright.cli.shared.executor_preflight import ExecutorPreflight
    from soundsright.cli.shared.preflight_checks import merged_variables, report_findings

    settings = settings_from(ExecutorSettings, flags, env_file)
    preflight = ExecutorPreflight(settings, merged_variables(env_file), rules_digest)
    return report_findings(preflight, as_json=as_json, timeout_s=timeout_s)
