"""Settings of the services: environment and `.env` in, one frozen object out.

One setting is one variable and one flag: `--netuid` is `NETUID`. A flag wins over the environment, the environment
over the file. Times are in seconds, stakes in the chain's own unit, addresses are `host:port`.

A value that cannot be used is a `UsageError` that names the variable and the remedy. Secrets are kept as
`SecretStr`: they print as asterisks, wherever they end up.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args, get_origin
from urllib.parse import urlsplit

import click
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from soundsright.core.competition import PUBLISHED, Competition, competition_by_id
from soundsright.core.errors import EntryRefused, UsageError
from soundsright.core.sources import ModelRef
from soundsright.env_file import read_env_file

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

PUBLIC_ENDPOINT = "wss://entrypoint-finney.opentensor.ai:443"
LOG_LEVELS = ("TRACEX", "TRACE", "DEBUGX", "DEBUG", "INFOX", "INFO", "WARNING", "ERROR")
MODEL_PARTS = ("NAMESPACE", "NAME", "REVISION")
_WALLET_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_CLOCK_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_REMEDIES = {
    "int_parsing": "Give a whole number.",
    "int_parsing_size": "Give a whole number.",
    "int_from_float": "Give a whole number.",
    "float_parsing": "Give a number.",
    "finite_number": "Give a number.",
    "bool_parsing": "Give true or false.",
    "date_from_datetime_parsing": "Give a day, such as 2025-01-31.",
    "date_from_datetime_inexact": "Give a day, such as 2025-01-31.",
    "literal_error": "Choose one of {expected}.",
    "greater_than_equal": "Give {ge:g} or more.",
    "less_than_equal": "Give {le:g} or less.",
}


def _chain_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("ws", "wss", "http", "https") or not parts.hostname:
        raise ValueError("give ws:// or wss:// for Bittensor, http:// or https:// for a private chain")
    if parts.username or parts.password:
        raise ValueError("give the address without a user and password")
    return value


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise ValueError("give an http:// or https:// address, without a user and password")
    return value


def _wallet_name(value: str) -> str:
    if not _WALLET_NAME.fullmatch(value):
        raise ValueError("give the name of a wallet: letters, digits, '-', '_' and '.'")
    return value


def _log_level(value: Any) -> Any:
    if isinstance(value, str) and value.upper() in LOG_LEVELS:
        return value.upper()
    raise ValueError(f"choose one of {', '.join(LOG_LEVELS)}")


def _host(value: str) -> str:
    if not value or len(value) > 255 or any(c.isspace() or c == "/" for c in value):
        raise ValueError("give an address or a host name, such as 0.0.0.0")
    return value


def _external_ip(value: str) -> str:
    if value:
        try:
            ipaddress.IPv4Address(value)
        except ValueError:
            raise ValueError("give the IPv4 address under which others reach this machine") from None
    return value


def _time_of_day(value: str) -> str:
    if not _CLOCK_TIME.fullmatch(value):
        raise ValueError("give a time of day, UTC, such as 09:00")
    return value


def _competitions(value: str) -> str:
    for name in filter(None, (part.strip() for part in value.split(","))):
        try:
            competition_by_id(name)
        except UsageError as error:
            raise ValueError(error.remedy) from None
    return value


def _relays(value: str) -> str:
    for relay in filter(None, (part.strip() for part in value.split(","))):
        _http_url(relay)
    return value


def _empty_is_none(value: Any) -> Any:
    return None if value == "" else value


Port = Annotated[int, Field(ge=1, le=65_535)]
OptionalPath = Annotated[Path | None, BeforeValidator(_empty_is_none)]
OptionalSecret = Annotated[SecretStr | None, BeforeValidator(_empty_is_none)]


class Settings(BaseModel):
    """What miner and validator share. A field's name in capitals is its variable."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    netuid: Annotated[int, Field(ge=0, le=65_535, description="The subnet's number.")] = 105
    subtensor_chain_endpoint: Annotated[
        str,
        AfterValidator(_chain_url),
        Field(description="The chain: ws(s):// is Bittensor, http(s):// a private competition's."),
    ] = PUBLIC_ENDPOINT
    wallet: Annotated[str, AfterValidator(_wallet_name), Field(description="Name of the coldkey.")] = "default"
    hotkey: Annotated[str, AfterValidator(_wallet_name), Field(description="Name of the hotkey.")] = "default"
    wallet_path: Annotated[Path, Field(description="Folder that holds the wallets.")] = Path("~/.bittensor/wallets")
    log_level: Annotated[
        Literal["TRACEX", "TRACE", "DEBUGX", "DEBUG", "INFOX", "INFO", "WARNING", "ERROR"],
        BeforeValidator(_log_level),
        Field(description="How much is logged; TRACE and TRACEX log as DEBUG, INFOX as INFO."),
    ] = "INFO"
    healthcheck_api_host: Annotated[
        str, AfterValidator(_host), Field(description="Address that the health-check API listens on.")
    ] = "0.0.0.0"
    healthcheck_api_port: Annotated[Port, Field(description="Port of the health-check API.")] = 6000
    state_folder: Annotated[Path, Field(description="Folder for everything that the service keeps.")] = Path(
        "~/.soundsright-subnet"
    )
    hf_endpoint: Annotated[str, AfterValidator(_http_url), Field(description="Address of the models' hub.")] = (
        "https://huggingface.co"
    )
    soundsright_hub: Annotated[
        OptionalPath, Field(description="Folder of a private competition's models, instead of HF_ENDPOINT.")
    ] = None
    hf_token: Annotated[OptionalSecret, Field(description="Token for private repositories on the hub.")] = None
    soundsright_ruleset: Annotated[
        str,
        Field(description="The rules of payment, or an organiser's TOML file, which has all that is agreed on."),
    ] = "soundsright-v3"

    @property
    def is_bittensor(self) -> bool:
        return urlsplit(self.subtensor_chain_endpoint).scheme in ("ws", "wss")

    @property
    def hotkey_file(self) -> Path:
        return self.wallet_path.expanduser() / self.wallet / "hotkeys" / self.hotkey

    @property
    def folder(self) -> Path:
        return self.state_folder.expanduser()


def _model_part(part: str, competition: Competition) -> Any:
    what = {"NAMESPACE": "Owner", "NAME": "Name", "REVISION": "Commit (40 hex digits)"}[part]
    return Field(default="", description=f"{what} of the model for {competition.title}.")


class MinerSettings(Settings):
    """What a miner is told. The model's own variables are in `models`: the competition, then HF_MODEL_…."""

    openai_api_key: Annotated[OptionalSecret, Field(description="Key for generating speech for training.")] = None
    axon_port: Annotated[Port, Field(description="Port that validators reach for reveals and feedback.")] = 6001
    axon_external_ip: Annotated[
        str,
        AfterValidator(_external_ip),
        Field(description="Address published on the chain. Empty: nothing is published."),
    ] = ""
    validator_min_stake: Annotated[
        float, Field(ge=0, allow_inf_nan=False, description="Least stake of a validator that is answered.")
    ] = 1_000.0
    feedback_hook: Annotated[
        str, Field(description="Called with each feedback: module:function, or a command.")
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

    def entry(self) -> tuple[Competition, ModelRef]:
        """The one model that this hotkey enters, and its competition.

        Raises:
            UsageError: none, two, half a model, or a revision that is not a commit.
        """
        found: list[tuple[Competition, ModelRef]] = []
        for competition in PUBLISHED:
            names = [f"{competition.id}_HF_MODEL_{part}" for part in MODEL_PARTS]
            values = [str(getattr(self, name.lower())) for name in names]
            if not any(values):
                continue
            missing = [name for name, value in zip(names, values, strict=True) if not value]
            if missing:
                raise UsageError(f"{missing[0]} is empty", f"A model is {', '.join(names)}: give all three.")
            try:
                found.append((competition, ModelRef(*values)))
            except EntryRefused as refused:
                name = names[2] if refused.code == "bad_revision" else _named_badly(names, values)
                remedy = "Give the commit's 40 hex digits." if name == names[2] else "Give it as on the hub."
                raise UsageError(f"{name}: {refused.sentence}", remedy) from refused
        if not found:
            raise UsageError("No model is given", f"Fill in one of {', '.join(_model_variables())}.")
        if len(found) > 1:
            raise UsageError(
                f"Two models are given: {found[0][0].id}_HF_MODEL_NAME and {found[1][0].id}_HF_MODEL_NAME",
                "A hotkey enters one competition: clear one of them, and register another hotkey for it.",
            )
        return found[0]


class ValidatorSettings(Settings):
    """What a validator is told."""

    openai_api_key: Annotated[OptionalSecret, Field(description="Accepted as published; nothing reads it.")] = None
    cuda_directory: Annotated[
        OptionalPath, Field(description="Accepted as published; a model's image brings its own CUDA.")
    ] = None
    use_docker: Annotated[bool, Field(description="With the sandbox `docker`: Docker's engine, else Podman's.")] = (
        False
    )
    soundsright_sandbox: Annotated[
        Literal["auto", "bubblewrap", "docker", "process"], Field(description="What the models run in.")
    ] = "auto"
    soundsright_model_python: Annotated[
        OptionalPath, Field(description="Interpreter with the models' packages, for bubblewrap and process.")
    ] = None
    soundsright_trust: Annotated[
        bool, Field(description="Every model is your own: without it, the sandbox `process` is refused.")
    ] = False
    soundsright_build_network: Annotated[
        Literal["none", "default"], Field(description="What an image's build may reach.")
    ] = "default"
    soundsright_registries: Annotated[
        str, Field(description="Registries of yours, host:port, by comma: their outage is no model's fault.")
    ] = ""
    soundsright_runtime: Annotated[str, Field(description="An engine's runtime, such as runsc (gVisor).")] = ""
    soundsright_gpus: Annotated[
        str, Field(description="`none`, `all`, or numbers by comma; after `cdi:` they are asked for by CDI.")
    ] = "none"
    soundsright_competition: Annotated[
        str, AfterValidator(_competitions), Field(description="Competitions judged, by comma. Empty: all four.")
    ] = ""
    soundsright_clips: Annotated[int, Field(ge=1, le=100_000, description="Clips in each set.")] = 200
    soundsright_corpus: Annotated[
        OptionalPath, Field(description="Folder of recordings. Empty: the ones that are shipped.")
    ] = None
    drand_relays: Annotated[
        str,
        AfterValidator(_relays),
        Field(description="Where sealed entries' keys are read, by comma, asked in turn."),
    ] = "https://api.drand.sh,https://api2.drand.sh,https://drand.cloudflare.com"
    soundsright_slots: Annotated[
        int, Field(ge=0, le=1_024, description="Models that run at a time; 0: as many as the machine holds.")
    ] = 0
    soundsright_workers: Annotated[
        int, Field(ge=0, le=1_024, description="Processes that draw and score; 0: one per processor.")
    ] = 0
    soundsright_kept_rounds: Annotated[
        int, Field(ge=1, le=1_000, description="Rounds whose audio, models and feedback stay on the disk.")
    ] = 3
    round_time_of_day: Annotated[
        str, AfterValidator(_time_of_day), Field(description="When rounds start, UTC.")
    ] = "09:00"
    round_every_days: Annotated[int, Field(ge=1, le=366, description="Days from one round to the next.")] = 1
    round_first_day: Annotated[datetime.date, Field(description="Day of the first round.")] = datetime.date(
        2025, 1, 1
    )
    round_seed_delay_blocks: Annotated[
        int, Field(ge=1, le=100_000, description="Blocks from the close of entries to the seed's block.")
    ] = 25
    weights_every_blocks: Annotated[
        int, Field(ge=0, le=100_000, description="Blocks after which weights are set anew; 0: the chain's tempo.")
    ] = 0
    burn_hotkey: Annotated[
        str, Field(description="Hotkey that takes what nobody won. Empty: the winners share it.")
    ] = ""

    @property
    def competitions(self) -> tuple[Competition, ...]:
        wanted = {competition_by_id(part.strip()).id for part in self.soundsright_competition.split(",") if part}
        return tuple(c for c in PUBLISHED if not wanted or c.id in wanted)

    @property
    def round_start_s(self) -> int:
        hours, minutes = self.round_time_of_day.split(":")
        return int(hours) * 3_600 + int(minutes) * 60

    @property
    def first_day(self) -> int:
        return (self.round_first_day - datetime.date(1970, 1, 1)).days


S = TypeVar("S", bound=Settings)


def read_settings(
    kind: type[S],
    *,
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    env_file: Path | None = None,
) -> S:
    """Flags over environment over the file; what none of them names has its default.

    Raises:
        UsageError: a line of the file, or a value, cannot be used.

    >>> read_settings(MinerSettings, environment={"NETUID": "7"}).netuid
    7
    """
    values: dict[str, Any] = read_env_file(env_file) if env_file is not None else {}
    values |= os.environ if environment is None else environment
    chosen: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        value = values.get(name.upper())
        # An empty line of a sample means "not given", except where empty is a value.
        if value is not None and (value.strip() or field.default == ""):
            chosen[name] = value.strip()
    chosen |= {name: value for name, value in (flags or {}).items() if value is not None}
    try:
        return kind.model_validate(chosen)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        field_value = chosen.get(name)
        shown = "" if _is_secret(kind, name) else f" {str(field_value)[:80]!r}"
        raise UsageError(f"{name.upper()}{shown} cannot be used", _remedy(first)) from None


def _remedy(error: ErrorDetails) -> str:
    """What to give instead, as one sentence."""
    plain = _REMEDIES.get(error["type"])
    if plain is not None:
        return plain.format_map(error.get("ctx", {}))
    reason = error["msg"].removeprefix("Value error, ").rstrip(".")
    return f"{reason[:1].upper()}{reason[1:]}."


def settings_options(kind: type[Settings]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that gives a command one flag per setting of `kind`."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for name, field in reversed(kind.model_fields.items()):
            command = click.option(
                f"--{name.replace('_', '-')}",
                name,
                default=None,
                envvar=name.upper(),
                show_envvar=True,
                metavar=_metavar(field.annotation),
                help=f"{field.description} {_shown_default(field.default)}",
            )(command)
        return command

    return decorate


def _metavar(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return "|".join(get_args(annotation))
    return {int: "NUMBER", float: "NUMBER", bool: "true|false", Path: "PATH"}.get(annotation, "TEXT")


def _shown_default(default: Any) -> str:
    return "" if default in (None, "") else f"[default: {default}]"


def _is_secret(kind: type[Settings], name: str) -> bool:
    return "SecretStr" in str(kind.model_fields[name].annotation) if name in kind.model_fields else True


def _model_variables() -> list[str]:
    return [f"{competition.id}_HF_MODEL_NAME" for competition in PUBLISHED]


def _named_badly(names: list[str], values: list[str]) -> str:
    try:
        ModelRef(values[0], "name", "0" * 40)
    except EntryRefused:
        return names[0]
    return names[1]
