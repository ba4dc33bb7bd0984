"""The settings of the commands of `soundsright federation`, whose validators share one rotation.

Blocks are counted, times are in seconds, shares are from 0 to 1. What all validators must agree on stands in the
table [federation] of the organiser's file. A variable may repeat it there, and may not contradict it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr

from soundsright.config import federation_values as checks
from soundsright.config.federation_api import FederationApi
from soundsright.config.federation_values import PeerValidator
from soundsright.config.schema import OptionalSecret, ValidatorSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

PAY_ON_PUBLIC = "soundsright_pay_on_public_corpus"
RULES_OF_SETTINGS: Mapping[str, str] = {
    "epoch_len": "epoch_blocks",
    "sampling_rotation_interval": "interval_blocks",
    "sampler_failover_grace_blocks": "grace_blocks",
    "scorer_task_window": "window_tasks",
    "scorer_settle_margin": "settle_margin",
    "scorer_max_lookback_blocks": "lookback_blocks",
    "scorer_completeness_threshold": "completeness",
    "scorer_min_validators": "min_validators",
    "dominance_threshold": "dominance",
    PAY_ON_PUBLIC: "pay_on_public",
}
"""The key of [federation] behind each setting on which all validators must agree."""
_UNUSED = "Unused. Accepted because the original's file has it: "
_NO_JUDGE, _NO_REFRESH = "metrics judge, and the sandbox runs models", "the list of an epoch's first block counts"
UNUSED_SETTINGS: Mapping[str, str] = {
    "gemini_api_key": _NO_JUDGE,
    "chutes_api_key": _NO_JUDGE,
    "allowlist_refresh_blocks": _NO_REFRESH,
}
"""Settings of the original that are accepted and that nothing reads, with the reason."""

_Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class FederationSettings(FederationApi, ValidatorSettings):
    """The settings of a validator in a federation, and of its owner. Each command reads some of them."""

    epoch_len: Annotated[int, Field(ge=2, le=100_000, description="Blocks between two settings of weights.")] = 180
    sampling_rotation_interval: Annotated[
        int, Field(ge=1, le=100_000, description="Blocks of a task. Then the next validator has its turn.")
    ] = 100
    sampler_failover_grace_blocks: Annotated[
        int,
        Field(
            ge=0,
            le=100_000,
            description="Blocks that a validator has until the next one takes its turn. 0: half the interval.",
        ),
    ] = 0
    scorer_task_window: Annotated[
        int, Field(ge=1, le=10_000, description="Number of tasks that decide the ranks.")
    ] = 100
    scorer_settle_margin: Annotated[
        int, Field(ge=0, le=10_000, description="Number of newest tasks that do not count yet.")
    ] = 2
    scorer_max_lookback_blocks: Annotated[
        int, Field(ge=1, le=10_000_000, description="Blocks after which a task no longer counts.")
    ] = 30_000
    scorer_completeness_threshold: Annotated[
        _Share, Field(description="Part of the tasks in which a miner must have been evaluated.")
    ] = 0.8
    scorer_min_validators: Annotated[
        _Share, Field(description="Part of the active validators that must have evaluated a miner.")
    ] = 0.5
    dominance_threshold: Annotated[
        _Share, Field(description="Lead in the pass rate that takes the first place, in the profiles doc and code.")
    ] = 0.05
    allowlist_refresh_blocks: Annotated[int, Field(ge=1, le=100_000, description=f"{_UNUSED}{_NO_REFRESH}.")] = 300

    sampler_poll_interval: Annotated[
        float,
        Field(ge=0.05, le=3_600, allow_inf_nan=False, description="Seconds between two looks at whose turn it is."),
    ] = 60.0
    aggregation_read_concurrency: Annotated[
        int, Field(ge=1, le=256, description="Objects that are read from buckets at the same time.")
    ] = 16

    r2_endpoint: Annotated[
        str, Field(description="Address of the service with the buckets: https://HOST, or file:///FOLDER.")
    ] = ""
    r2_region: Annotated[str, Field(description="Region of the service.")] = "auto"
    r2_own_bucket: Annotated[
        str, Field(description="Bucket of this validator, which others read. The owner's: the allowlist.")
    ] = ""
    r2_own_write_access_key: Annotated[OptionalSecret, Field(description="Key that may write to it.")] = None
    r2_own_write_secret_key: Annotated[OptionalSecret, Field(description="Secret of that key.")] = None
    r2_source_bucket: Annotated[str, Field(description="Bucket of the owner, with the allowlist.")] = ""
    r2_videos_read_access_key: Annotated[OptionalSecret, Field(description="Key that may read it.")] = None
    r2_videos_read_secret_key: Annotated[OptionalSecret, Field(description="Secret of that key.")] = None
    peer_validators: Annotated[
        OptionalSecret,
        AfterValidator(checks.peers_text),
        Field(
            description="Every validator with its bucket, this one included, as a JSON list of {hotkey, bucket, "
            "endpoint, region, read_access_key, read_secret_key, uid}."
        ),
    ] = None

    gemini_api_key: Annotated[OptionalSecret, Field(description=f"{_UNUSED}{_NO_JUDGE}.")] = None
    chutes_api_key: Annotated[OptionalSecret, Field(description=f"{_UNUSED}{_NO_JUDGE}.")] = None
    leoma_env: Annotated[
        Literal["development", "production"],
        AfterValidator(checks.environment),
        Field(description="production: the log has no traces, and no default password is accepted."),
    ] = "development"

    @property
    def is_production(self) -> bool:
        return self.leoma_env == "production"

    @property
    def peers(self) -> tuple[PeerValidator, ...]:
        """The validators of PEER_VALIDATORS, in its order."""
        return checks.peers(self.peer_validators)

    @property
    def peer_keys(self) -> tuple[SecretStr, ...]:
        """The peers' keys, for the log to hide."""
        return tuple(
            key for peer in self.peers for key in (peer.read_access_key, peer.read_secret_key) if key is not None
        )

    @property
    def given_rules(self) -> dict[str, Any]:
        """By key of [federation], the values that the settings give explicitly."""
        return {
            key: getattr(self, name) for name, key in RULES_OF_SETTINGS.items() if name in self.model_fields_set
        }
