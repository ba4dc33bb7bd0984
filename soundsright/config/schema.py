"""The settings of the miner and the validator: name, type, default and meaning.

A field `netuid` is the variable `NETUID` and the flag `--netuid`. Times are in seconds, stakes in the chain's unit.
Secrets are `SecretStr`, which prints as asterisks.
"""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, WrapValidator

from soundsright.config import redis_server, values
from soundsright.config.executor_services import ExecutorServices, ServiceUrl, log_hotkey
from soundsright.config.values import LOG_LEVELS as LOG_LEVELS
from soundsright.core.competition import PUBLISHED, Competition
from soundsright.core.errors import EntryRefused, UsageError
from soundsright.core.sources import ModelRef
from soundsright.core.text_files import comma_separated

PUBLIC_ENDPOINT = "wss://entrypoint-finney.opentensor.ai:443"
MODEL_PARTS = ("NAMESPACE", "NAME", "REVISION")

Port = Annotated[int, Field(ge=1, le=65_535)]
OptionalPath = Annotated[Path | None, BeforeValidator(values.empty_is_none)]
OptionalSecret = Annotated[SecretStr | None, BeforeValidator(values.empty_is_none)]


class Settings(BaseModel):
    """The settings that miner and validator share."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    netuid: Annotated[
        int, Field(ge=0, le=65_535, description="Number of the subnet. A private chain ignores it.")
    ] = 105
    subtensor_chain_endpoint: Annotated[
        str,
        AfterValidator(values.chain_url),
        Field(description="Address of the chain: ws:// or wss:// for Bittensor, http:// or https:// if private."),
    ] = PUBLIC_ENDPOINT
    wallet: Annotated[str, AfterValidator(values.wallet_name), Field(description="Name of the coldkey.")] = (
        "default"
    )
    hotkey: Annotated[str, AfterValidator(values.wallet_name), Field(description="Name of the hotkey.")] = "default"
    wallet_path: Annotated[Path, Field(description="Folder with the wallets.")] = Path("~/.bittensor/wallets")
    log_level: Annotated[
        Literal["TRACEX", "TRACE", "DEBUGX", "DEBUG", "INFOX", "INFO", "WARNING", "ERROR"],
        BeforeValidator(values.log_level),
        Field(description="Lowest level to log. TRACEX, TRACE and DEBUGX mean DEBUG; INFOX means INFO."),
    ] = "INFO"
    healthcheck_api_host: Annotated[
        str, AfterValidator(values.host), Field(description="Address on which the health-check API listens.")
    ] = "0.0.0.0"
    healthcheck_api_port: Annotated[Port, Field(description="Port of the health-check API.")] = 6000
    state_folder: Annotated[Path, Field(description="Folder for the service's database and files.")] = Path(
        "~/.soundsright-subnet"
    )
    hf_endpoint: Annotated[
        str, AfterValidator(values.hub_url), Field(description="Address of the hub with the models.")
    ] = "https://huggingface.co"
    soundsright_hub: Annotated[
        OptionalPath, Field(description="Folder with a private competition's models. It replaces HF_ENDPOINT.")
    ] = None
    hf_token: Annotated[OptionalSecret, Field(description="Token for private repositories on the hub.")] = None
    soundsright_ruleset: Annotated[
        str, Field(description="Name of a ruleset, such as soundsright-v5, or an organiser's TOML file.")
    ] = "soundsright-v5"
    soundsright_auth_dialects: Annotated[
        str,
        AfterValidator(values.auth_dialects),
        Field(
            description="How requests may be signed: btauth always; leoma and talkhead, separated by commas, for "
            "routes that only read."
        ),
    ] = "btauth"
    signature_expiry_seconds: Annotated[
        int,
        Field(
            ge=1,
            le=86_400,
            description="Highest age of a signed request. It lowers the dialect's own, which is 10 (btauth), 120 "
            "(talkhead) or 300 (leoma), and never raises it.",
        ),
    ] = 300
    axon_port: Annotated[Port, Field(description="Port for validators' requests.")] = 6001
    axon_external_ip: Annotated[
        str,
        AfterValidator(values.external_ip),
        Field(description="IPv4 address to publish on the chain. Empty: publish none."),
    ] = ""
    soundsright_connections: Annotated[
        int, Field(ge=8, le=65_536, description="Connections that each API holds at the same time.")
    ] = 256
    soundsright_connections_per_client: Annotated[
        int,
        Field(
            ge=0,
            le=65_536,
            description="Connections of one address (IPv6: of one /64). 0: no limit, behind a proxy that has one.",
        ),
    ] = 64
    round_time_of_day: Annotated[
        str, AfterValidator(values.time_of_day), Field(description="Time of day, in UTC, at which rounds start.")
    ] = "09:00"
    round_every_days: Annotated[int, Field(ge=1, le=366, description="Days between two rounds.")] = 1
    round_first_day: Annotated[datetime.date, Field(description="Day of the first round.")] = datetime.date(
        2025, 1, 1
    )
    round_seed_delay_blocks: Annotated[
        int, Field(ge=1, le=100_000, description="Blocks between the close of entries and the block of the seed.")
    ] = 25

    @property
    def is_bittensor(self) -> bool:
        return urlsplit(self.subtensor_chain_endpoint).scheme in ("ws", "wss")

    @property
    def is_private_chain(self) -> bool:
        return urlsplit(self.subtensor_chain_endpoint).scheme in ("http", "https")

    @property
    def has_plugged_hub(self) -> bool:
        """Whether another installed package makes the hub."""
        return urlsplit(self.hf_endpoint).scheme not in ("http", "https")

    @property
    def auth_dialects(self) -> tuple[str, ...]:
        return comma_separated(self.soundsright_auth_dialects)

    @property
    def hotkey_file(self) -> Path:
        return self.wallet_path.expanduser() / self.wallet / "hotkeys" / self.hotkey

    @property
    def coldkey_file(self) -> Path:
        return self.wallet_path.expanduser() / self.wallet / "coldkey"

    @property
    def folder(self) -> Path:
        return self.state_folder.expanduser()

    @property
    def round_start_s(self) -> int:
        hours, minutes = self.round_time_of_day.split(":")
        return int(hours) * 3_600 + int(minutes) * 60

    @property
    def first_day(self) -> int:
        """Days from 1970-01-01 to the first round."""
        return (self.round_first_day - datetime.date(1970, 1, 1)).days


def _model_part(part: str, competition: Competition) -> Any:
    meaning = {"NAMESPACE": "Owner", "NAME": "Name", "REVISION": "Commit (40 hex digits)"}[part]
    return Field(default="", description=f"{meaning} of your model for {competition.title}.")


class MinerSettings(Settings):
    """The settings of a miner. Each competition has three variables for its model: ID_HF_MODEL_NAMESPACE, ..."""

    openai_api_key: Annotated[
        OptionalSecret,
        Field(description="Key for `soundsright generate --speech openai`. The miner itself needs none."),
    ] = None
    validator_min_stake: Annotated[
        float, Field(ge=0, allow_inf_nan=False, description="Stake that a validator needs to get an answer.")
    ] = 1_000.0
    publish_at_close: Annotated[
        bool,
        Field(description="Commit a model in a private repository, and make it public with HF_TOKEN at the close."),
    ] = False
    feedback_hook: Annotated[
        str, Field(description="Function (module:function) or command to run for each feedback.")
    ] = ""

    denoising_16000hz_hf_model_namespace: str = _model_part("NAMESPACE", PUBLISHED[0])
    denoising_16000hz_hf_model_name: str = _model_part("NAME", PUBLISHED[0])
    denoising_16000hz_hf_model_revision: str = _model_part("REVISION", PUBLISHED[0])
    dereverberation_16000hz_hf_model_namespace: str = _model_part("NAMESPACE", PUBLISHED[1])
    dereverberation_16000hz_hf_model_name: str = _model_part("NAME", PUBLISHED[1])
    dereverberation_16000hz_hf_model_revision: str = _model_part("REVISION", PUBLISHED[1])
    denoising_48000hz_hf_model_namespace: str = _model_part("NAMESPACE", PUBLISHED[2])
    denoising_48000hz_hf_model_name: str = _model_part("NAME", PUBLISHED[2])
    denoising_48000hz_hf_model_revision: str = _model_part("REVISION", PUBLISHED[2])
    dereverberation_48000hz_hf_model_namespace: str = _model_part("NAMESPACE", PUBLISHED[3])
    dereverberation_48000hz_hf_model_name: str = _model_part("NAME", PUBLISHED[3])
    dereverberation_48000hz_hf_model_revision: str = _model_part("REVISION", PUBLISHED[3])

    competition_name: Annotated[
        str,
        AfterValidator(values.competition_name),
        Field(description="Name of the competition, if the organiser gives it one. Empty: its task and rate."),
    ] = ""

    def entry(self) -> tuple[Competition, ModelRef]:
        """The one model that this hotkey enters, and its competition.

        Raises:
            UsageError: no model or more than one is named, or a part of the model is missing or malformed.
        """
        entries = [
            (competition, model) for competition in PUBLISHED if (model := self._model_for(competition)) is not None
        ]
        if not entries:
            variables = ", ".join(f"{competition.id}_HF_MODEL_NAME" for competition in PUBLISHED)
            raise UsageError("No model is given", f"Set one of {variables}, with its namespace and revision.")
        if len(entries) > 1:
            first, second = entries[0][0].id, entries[1][0].id
            raise UsageError(
                f"Two models are given: {first}_HF_MODEL_NAME and {second}_HF_MODEL_NAME",
                "A hotkey enters one competition. Clear one of them, and register another hotkey for it.",
            )
        competition, model = entries[0]
        return replace(competition, name=self.competition_name or competition.name), model

    def _model_for(self, competition: Competition) -> ModelRef | None:
        """The model that the three variables of this competition name; None if all three are empty."""
        names = [f"{competition.id}_HF_MODEL_{part}" for part in MODEL_PARTS]
        parts = [str(getattr(self, name.lower())) for name in names]
        if not any(parts):
            return None
        missing = [name for name, value in zip(names, parts, strict=True) if not value]
        if missing:
            raise UsageError(f"{missing[0]} is empty", f"Set all three: {', '.join(names)}.")
        try:
            return ModelRef(*parts)
        except EntryRefused as refused:
            if refused.code == "bad_revision":
                name, remedy = names[2], "Give the commit's 40 hex digits."
            else:
                name = names[1] if _is_namespace(parts[0]) else names[0]
                remedy = "Copy it from the model's page on the hub."
            raise UsageError(f"{name}: {refused.sentence}", remedy) from refused


class ValidatorSettings(ExecutorServices, Settings):
    """The settings of a validator."""

    soundsright_peer_networks: Annotated[
        str,
        AfterValidator(values.peer_networks),
        Field(
            description="Networks, besides the public Internet, in which the validator calls peers: private, "
            "loopback, or such as 10.20.0.0/16, separated by commas. Empty: none."
        ),
    ] = ""
    openai_api_key: Annotated[
        OptionalSecret, Field(description="Key of the account that pays for new speech by openai.")
    ] = None
    openai_tts_model: Annotated[str, Field(description="Model of OpenAI's service that speaks.")] = (
        "gpt-4o-mini-tts"
    )
    cuda_directory: Annotated[
        OptionalPath, Field(description="Unused. Accepted because the original subnet's sample file has it.")
    ] = None
    use_docker: Annotated[
        bool, Field(description="For the docker sandbox: true uses Docker's engine, false uses Podman's.")
    ] = False
    soundsright_sandbox: Annotated[
        Literal["auto", "bubblewrap", "docker", "process"],
        WrapValidator(values.sandbox),
        Field(description="Sandbox in which the validator runs models. auto: docker, otherwise bubblewrap."),
    ] = "auto"
    soundsright_model_python: Annotated[
        OptionalPath,
        Field(description="Python interpreter with the models' packages, for bubblewrap and process."),
    ] = None
    soundsright_trust: Annotated[
        bool, Field(description="Set true if every model is your own. Allows the sandbox process.")
    ] = False
    soundsright_build_network: Annotated[
        Literal["none", "default"], Field(description="Network of an image's build. none: no network.")
    ] = "default"
    soundsright_registries: Annotated[
        str,
        Field(
            description="Registries that you run, as host:port, separated by commas. If one is down, no model is "
            "blamed."
        ),
    ] = ""
    soundsright_runtime: Annotated[
        str, Field(description="Runtime of the container engine, such as runsc (gVisor).")
    ] = ""
    soundsright_gpus: Annotated[
        str,
        Field(
            description="GPUs for models: none, all, or numbers separated by commas. The prefix cdi: requests them "
            "by CDI."
        ),
    ] = "none"
    soundsright_competition: Annotated[
        str,
        AfterValidator(values.competition_names),
        Field(description="Competitions to judge, separated by commas. Empty: all."),
    ] = ""
    soundsright_clips: Annotated[int, Field(ge=1, le=100_000, description="Number of clips in each set.")] = 200
    soundsright_corpus: Annotated[
        OptionalPath, Field(description="Private corpus, or folder with a manifest. Empty: the shipped recordings.")
    ] = None
    soundsright_speech: Annotated[
        Literal["auto", "recordings", "espeak-ng", "flite", "openai"],
        Field(
            description="Speech of the sets: recordings, or a synthesiser that speaks new sentences in each round. "
            "auto: openai if its key is set, otherwise recordings if SOUNDSRIGHT_CORPUS is set, otherwise "
            "flite or espeak-ng if installed."
        ),
    ] = "auto"
    soundsright_speech_max_usd: Annotated[
        float,
        Field(
            ge=0, allow_inf_nan=False, description="Highest price of the new speech of one round, in US dollars."
        ),
    ] = 5.0
    soundsright_corpus_key: Annotated[
        OptionalPath, Field(description="Key file of the private corpus in SOUNDSRIGHT_CORPUS.")
    ] = None
    soundsright_pay_on_public_corpus: Annotated[
        bool, Field(description="true: pay prizes also on recordings that anybody may have heard. See the rules.")
    ] = False
    drand_relays: Annotated[
        str,
        AfterValidator(values.http_urls),
        Field(
            description="Addresses that publish the keys of sealed entries, separated by commas. They are tried in "
            "order."
        ),
    ] = "https://api.drand.sh,https://api2.drand.sh,https://drand.cloudflare.com"
    soundsright_slots: Annotated[
        int, Field(ge=0, le=1_024, description="Models that run at the same time. 0: as many as the machine can.")
    ] = 0
    soundsright_workers: Annotated[
        int, Field(ge=0, le=1_024, description="Processes that draw and score clips. 0: one per processor.")
    ] = 0
    soundsright_kept_rounds: Annotated[
        int, Field(ge=1, le=1_000, description="Number of rounds whose audio, models and feedback are kept.")
    ] = 3
    round_log_url: Annotated[
        ServiceUrl,
        Field(description="Address of the log that gets each signed round, as http://HOST:PORT. Empty: none does."),
    ] = ""
    round_log_hotkey: Annotated[
        str, AfterValidator(log_hotkey), Field(description="Hotkey of the log at ROUND_LOG_URL.")
    ] = ""
    weights_every_blocks: Annotated[
        int, Field(ge=0, le=100_000, description="Blocks between two settings of weights. 0: the chain's tempo.")
    ] = 0
    burn_hotkey: Annotated[
        str, Field(description="Hotkey that gets the prizes nobody won. Empty: the winners share them.")
    ] = ""

    database_password: Annotated[
        OptionalSecret,
        Field(description="Password of Redis, which then keeps the counters. Empty: the state does."),
    ] = None
    database_port: Annotated[Port, Field(description="Port of Redis.")] = redis_server.DEFAULT_PORT
    database_index: Annotated[
        int, Field(ge=0, le=redis_server.MAX_INDEX, description="Number of the database inside Redis.")
    ] = redis_server.DEFAULT_INDEX
    database_host: Annotated[
        str,
        AfterValidator(values.host),
        AfterValidator(values.redis_host),
        Field(description="Address of Redis. Another machine's needs DATABASE_PASSWORD."),
    ] = redis_server.DEFAULT_HOST
    redis_url: Annotated[
        OptionalSecret,
        AfterValidator(values.redis_url),
        Field(description="Address of Redis as redis://:PASSWORD@HOST:PORT/INDEX. It replaces DATABASE_HOST, ..."),
    ] = None

    @property
    def redis(self) -> redis_server.RedisServer | None:
        """The Redis server for counters, or None if the state's database is for them."""
        if self.redis_url is not None:
            return redis_server.redis_server(self.redis_url.get_secret_value())
        if self.database_password is None:
            return None
        return redis_server.RedisServer(
            self.database_host, self.database_port, self.database_index, password=self.database_password
        )

    @property
    def competition_names(self) -> tuple[str, ...]:
        """The competitions to judge, as they are written. Empty means all of them."""
        return comma_separated(self.soundsright_competition)


def _is_namespace(text: str) -> bool:
    try:
        ModelRef(text, "name", "0" * 40)
    except EntryRefused:
        return False
    return True
