"""`soundsright tiers request`: send a recording to the best prover, and write its answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from soundsright.cli.shared.options import ANY_PATH, env_file_option, option
from soundsright.cli.shared.settings_options import settings_from, settings_options
from soundsright.config import TiersSettings

SETTINGS = (
    *("netuid", "subtensor_chain_endpoint", "wallet", "hotkey", "wallet_path", "log_level", "state_folder"),
    *("soundsright_ruleset", "soundsright_peer_networks", "neuron_timeout", "tiers_api_key", "tiers_gateway_url"),
)


@click.command("request")
@click.argument("recording", metavar="FILE.wav", type=ANY_PATH)
@option("--out", required=True, type=ANY_PATH, metavar="FILE", help="File for the enhanced recording, a WAV.")
@option("--gateway", default="", metavar="URL", help="Address of a verifier's gateway: TIERS_GATEWAY_URL.")
@option("--competition", default="", help="Name of the competition. [default: the first one]")
@env_file_option
@settings_options(TiersSettings, SETTINGS)
def command(
    recording: Path, out: Path, gateway: str, competition: str, env_file: Path | None, **flags: Any
) -> None:
    """Send a recording to the best prover, and write the enhanced one.

    \b
    TIERS_API_KEY=a-long-secret-key soundsright tiers request noisy.wav --out clean.wav --gateway http://HOST:8092
    soundsright tiers request noisy.wav --out clean.wav --hotkey validator

    With --gateway, a verifier's gateway chooses the prover, and TIERS_API_KEY is the key of its operator. Without
    it, the hotkey asks the provers on the chain itself. The recording may have any rate: the answer is a mono
    16-bit WAV at the competition's. The command prints who answered, how fast, and whether a verifier checks that
    prover.

    Exit codes: 0 the answer is written, 1 nobody gave one, 2 wrong use, or a recording that nobody takes.
    """
    from soundsright.cli.shared.tiers_direct import answered_directly
    from soundsright.cli.shared.tiers_request import GatewayClient, check_files, sent_recording, write_answer

    if gateway:
        flags["tiers_gateway_url"] = gateway
    settings = settings_from(TiersSettings, flags, env_file)
    check_files(recording, out)
    if settings.tiers_gateway_url:
        key = settings.tiers_api_key
        client = GatewayClient(settings.tiers_gateway_url, key.get_secret_value() if key else None)
        answer = client.enhanced(sent_recording(recording, client.rate_hz(competition)), competition)
    else:
        answer = answered_directly(settings, recording, competition)
    write_answer(out, answer.wav)
    click.echo(answer.sentence)
