"""The settings of the commands of `soundsright tiers`, which serve, verify and pass on models.

Blocks are counted, times are in seconds. What all validators must agree on stands in the table [tiers] of the
organiser's file. A variable may repeat it there, and may not contradict it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field

from soundsright.config import values
from soundsright.config.schema import MinerSettings, OptionalSecret, Port, Settings, ValidatorSettings
from soundsright.core.text_files import comma_separated

if TYPE_CHECKING:
    from collections.abc import Mapping

RULES_OF_TIER_SETTINGS: Mapping[str, str] = {
    "neuron_sample_size": "sample_size",
    "neuron_timeout": "timeout_s",
    "neuron_moving_average_alpha": "alpha",
    "neuron_compute_stats_interval": "interval_blocks",
}
"""The key of [tiers] behind each setting on which all validators must agree."""


class TiersFields(Settings):
    """The settings that only tiers have."""

    neuron_sample_size: Annotated[
        int, Field(ge=1, le=4_096, description="Number of provers that a verifier asks at a time.")
    ] = 10
    neuron_timeout: Annotated[
        float, Field(ge=0.1, le=3_600, allow_inf_nan=False, description="Seconds that a prover has to answer.")
    ] = 12.0
    neuron_moving_average_alpha: Annotated[
        float,
        Field(ge=0.0001, le=1, allow_inf_nan=False, description="Part of a step's reward in a prover's score."),
    ] = 0.05
    neuron_compute_stats_interval: Annotated[
        int, Field(ge=1, le=1_000_000, description="Blocks of an interval. At its end provers climb and fall.")
    ] = 360
    neuron_disable_set_weights: Annotated[bool, Field(description="Verify, and write no weights.")] = False
    neuron_axon_off: Annotated[
        bool, Field(description="Run the verifier without its gateway, so that listeners get no answers.")
    ] = False
    neuron_vpermit_tao_limit: Annotated[
        float,
        Field(
            ge=0,
            allow_inf_nan=False,
            description="Stake above which a hotkey with a permit is not asked.",
        ),
    ] = 4_096.0

    prover_port: Annotated[Port, Field(description="Port on which the prover serves its model.")] = 8091
    prover_slots: Annotated[
        int, Field(ge=1, le=1_024, description="Recordings that the prover enhances at the same time.")
    ] = 1
    prover_max_audio_s: Annotated[
        float,
        Field(gt=0, le=3_600, allow_inf_nan=False, description="Seconds of the longest recording that it takes."),
    ] = 30.0
    prover_model_endpoint: Annotated[
        str,
        AfterValidator(values.model_endpoint),
        Field(description="Address of a model that you run yourself: http://HOST:PORT. Empty: a sandbox runs it."),
    ] = ""
    blacklist_force_verifier_permit: Annotated[
        bool, Field(description="Answer only hotkeys with a validator's permit.")
    ] = True
    blacklist_allow_non_registered: Annotated[
        bool, Field(description="Answer hotkeys that are not registered, if no permit is needed.")
    ] = False

    gateway_host: Annotated[
        str, AfterValidator(values.host), Field(description="Address on which listeners reach the gateway.")
    ] = "0.0.0.0"
    gateway_port: Annotated[Port, Field(description="Port of the gateway.")] = 8092
    tiers_api_keys: Annotated[
        OptionalSecret,
        AfterValidator(values.api_keys),
        Field(description="Keys of listeners, separated by commas, each of 16 to 128 letters, digits, - or _."),
    ] = None
    tiers_api_key: Annotated[
        OptionalSecret,
        AfterValidator(values.api_key),
        Field(description="A listener's key for a gateway: one of its TIERS_API_KEYS."),
    ] = None
    tiers_gateway_url: Annotated[
        str,
        AfterValidator(values.gateway_url),
        Field(description="Address of a gateway, as http://HOST:PORT. Empty: the hotkey asks provers itself."),
    ] = ""
    tiers_open_demo: Annotated[
        bool, Field(description="Let everybody try the page /try without a key, with small limits.")
    ] = False

    @property
    def listener_keys(self) -> tuple[str, ...]:
        """The keys of TIERS_API_KEYS."""
        return comma_separated(self.tiers_api_keys.get_secret_value()) if self.tiers_api_keys else ()

    @property
    def given_tier_rules(self) -> dict[str, Any]:
        """By key of [tiers], the values that the settings give explicitly."""
        return {
            key: getattr(self, name)
            for name, key in RULES_OF_TIER_SETTINGS.items()
            if name in self.model_fields_set
        }


class TiersSettings(TiersFields, ValidatorSettings, MinerSettings):
    """The settings of a prover, a verifier and a gateway. Each command reads some of them."""
