"""`soundsright tiers verify`: verify provers, pay them by their tiers, and pass listeners' requests on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from soundsright.cli.shared.options import env_file_option, poll_option
from soundsright.cli.shared.settings_options import settings_from, settings_options
from soundsright.config import TiersSettings

SETTINGS = (
    *("netuid", "subtensor_chain_endpoint", "wallet", "hotkey", "wallet_path", "log_level", "state_folder"),
    *("healthcheck_api_host", "healthcheck_api_port", "soundsright_ruleset", "soundsright_hub", "hf_endpoint"),
    *("hf_token", "soundsright_connections", "soundsright_connections_per_client", "soundsright_peer_networks"),
    *("round_time_of_day", "round_every_days", "round_first_day", "drand_relays"),
    *("use_docker", "soundsright_sandbox", "soundsright_model_python", "soundsright_trust", "soundsright_runtime"),
    *("soundsright_build_network", "soundsright_registries", "soundsright_gpus", "soundsright_workers"),
    *("soundsright_corpus", "soundsright_corpus_key", "soundsright_speech", "soundsright_speech_max_usd"),
    *("openai_api_key", "openai_tts_model", "weights_every_blocks", "burn_hotkey"),
    *("database_host", "database_port", "database_index", "database_password", "redis_url"),
    *("neuron_sample_size", "neuron_timeout", "neuron_moving_average_alpha", "neuron_compute_stats_interval"),
    *("neuron_disable_set_weights", "neuron_axon_off", "neuron_vpermit_tao_limit"),
    *("gateway_host", "gateway_port", "tiers_api_keys", "tiers_open_demo"),
)


@click.command("verify")
@env_file_option
@poll_option
@settings_options(TiersSettings, SETTINGS)
def command(env_file: Path | None, poll_s: float, **flags: Any) -> None:
    """Verify provers, pay them by their tiers, and pass on listeners' requests.

    \b
    cp .verifier-env.sample .env      # then fill it in
    soundsright tiers verify --soundsright-ruleset challenge.toml
    TIERS_API_KEYS=a-long-secret-key soundsright tiers verify

    It runs each committed model once on private clips, sends the clips to the provers, and compares their answers.
    Listeners reach the gateway on GATEWAY_PORT. `soundsright validator` does the same beside its rounds, if the
    organiser's file gives tiers a share.
    """
    from soundsright.cli.shared.tiers_running import run_verifier

    run_verifier(settings_from(TiersSettings, flags, env_file), poll_s=poll_s)
