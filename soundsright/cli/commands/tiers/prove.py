"""`soundsright tiers prove`: commit to a model, and serve it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from soundsright.cli.shared.options import env_file_option, option, poll_option
from soundsright.cli.shared.settings_options import settings_from, settings_options
from soundsright.config import TiersSettings
from soundsright.core.errors import UsageError

SETTINGS = (
    *("netuid", "subtensor_chain_endpoint", "wallet", "hotkey", "wallet_path", "log_level", "state_folder"),
    *("healthcheck_api_host", "healthcheck_api_port", "soundsright_auth_dialects", "signature_expiry_seconds"),
    *("soundsright_connections", "soundsright_connections_per_client", "soundsright_ruleset", "soundsright_hub"),
    *("hf_endpoint", "hf_token", "round_time_of_day", "round_every_days", "round_first_day"),
    "round_seed_delay_blocks",
    *("axon_external_ip", "validator_min_stake", "publish_at_close", "feedback_hook", "competition_name"),
    *("use_docker", "soundsright_sandbox", "soundsright_model_python", "soundsright_trust", "soundsright_runtime"),
    *("soundsright_build_network", "soundsright_registries", "soundsright_gpus"),
    *("prover_port", "prover_slots", "prover_max_audio_s", "prover_model_endpoint"),
    *("blacklist_force_verifier_permit", "blacklist_allow_non_registered"),
    *(name for name in TiersSettings.model_fields if "_hf_model_" in name),
)


@click.command("prove")
@env_file_option
@option("--endpoint", default="", metavar="URL", help="A model that you run yourself: PROVER_MODEL_ENDPOINT.")
@poll_option
@settings_options(TiersSettings, SETTINGS)
def command(env_file: Path | None, endpoint: str, poll_s: float, **flags: Any) -> None:
    """Commit to a model and serve it, so that listeners can use it and verifiers can check it.

    \b
    cp .prover-env.sample .env      # then fill it in
    soundsright tiers prove
    soundsright tiers prove --endpoint http://127.0.0.1:6500

    This is a miner that also serves its model, on PROVER_PORT. It runs the model in a sandbox. With --endpoint, it
    passes recordings on to a model that you run. Do not run `soundsright miner` beside it.
    """
    settings = settings_from(TiersSettings, flags, env_file)
    if endpoint:
        if settings.prover_model_endpoint not in ("", endpoint):
            raise UsageError(
                f"--endpoint is {endpoint} and PROVER_MODEL_ENDPOINT is {settings.prover_model_endpoint}",
                "Give one of them.",
            )
        settings = settings_from(TiersSettings, flags | {"prover_model_endpoint": endpoint}, env_file)
    _run(settings, poll_s)


def _run(settings: TiersSettings, poll_s: float) -> None:
    from soundsright.adapters.machine import SystemClock
    from soundsright.cli.commands.miner import miner_of
    from soundsright.cli.shared.opening import opened_service
    from soundsright.cli.shared.prover_running import fetched_entry, model_runner, serve_prover, served_prover
    from soundsright.services.http import Health

    # The chain has one endpoint for a hotkey: validators reach the miner where verifiers reach the model.
    settings = settings.model_copy(update={"axon_port": settings.prover_port})
    runner = model_runner(settings)
    health = Health(SystemClock())
    with opened_service(settings) as (account, chain):
        entry, miner = miner_of(settings, account, chain, health, poll_s)
        for warning in miner.check():
            click.echo(f"Warning: {warning}.", err=True)
        prover = served_prover(settings, entry, fetched_entry(settings, entry), runner)
        serve_prover(settings, miner, prover, chain, account, health)
