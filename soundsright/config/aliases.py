"""Other names of settings: variables and flags that miners and validators of other subnets already have.

A name and its alias may both be given if they agree. Each alias in use is told once in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from soundsright.core.errors import UsageError, printable

if TYPE_CHECKING:
    from pydantic import BaseModel

_log = logging.getLogger(__name__)

NETWORKS = {
    "finney": "wss://entrypoint-finney.opentensor.ai:443",
    "test": "wss://test.finney.opentensor.ai:443",
    "local": "ws://127.0.0.1:9944",
}
"""The names of Bittensor's networks, which stand for the address of a chain."""

ALIASES = {
    "WALLET_NAME": "wallet",
    "HOTKEY_NAME": "hotkey",
    "NETWORK": "subtensor_chain_endpoint",
    "PORT": "executor_port",
    "STATE_FILE": "executor_state",
    "NEURON_TGI_ENDPOINT": "prover_model_endpoint",
}
_FLAGS = {
    "--wallet.name": "wallet",
    "--wallet.hotkey": "hotkey",
    "--wallet.path": "wallet_path",
    "--subtensor.network": "subtensor_chain_endpoint",
    "--subtensor.chain_endpoint": "subtensor_chain_endpoint",
    "--neuron.epoch_length": "weights_every_blocks",
    "--neuron.tgi_endpoint": "prover_model_endpoint",
}
_NAMES_A_NETWORK = ("NETWORK", "--subtensor.network")
_MAX_SHOWN = 80


def flag_aliases(kind: type[BaseModel]) -> dict[str, str]:
    """The setting behind each flag that is an alias. A setting `database_host` also has `--database.host`.

    >>> from soundsright.config import ValidatorSettings
    >>> flag_aliases(ValidatorSettings)["--database.port"]
    'database_port'
    """
    dotted = {
        f"--{group}.{name.removeprefix(f'{group}_')}": name
        for name in kind.model_fields
        for group in ("database", "neuron", "blacklist")
        if name.startswith(f"{group}_")
    }
    return {flag: name for flag, name in (_FLAGS | dotted).items() if name in kind.model_fields}


def parameter(flag: str) -> str:
    """The name under which the value of such a flag is passed on.

    >>> parameter("--wallet.name")
    'alias_wallet_name'
    """
    return "alias_" + flag.removeprefix("--").replace(".", "_")


def add_aliases(
    kind: type[BaseModel], chosen: dict[str, Any], variables: Mapping[str, Any], flags: Mapping[str, Any]
) -> None:
    """Add to `chosen` the settings that are given by an alias.

    Raises:
        UsageError: two names of one setting disagree, or a network has no known name.
    """
    given = [(name, setting, variables.get(name)) for name, setting in ALIASES.items()]
    given += [(flag, setting, flags.get(parameter(flag))) for flag, setting in flag_aliases(kind).items()]
    names = {setting: setting.upper() for setting in chosen}
    for alias, setting, raw in given:
        text = "" if raw is None else str(raw).strip()
        if not text or setting not in kind.model_fields:
            continue
        value = _endpoint(alias, text) if alias in _NAMES_A_NETWORK else text
        if setting in chosen and not _agree(setting, chosen[setting], value):
            raise _disagreement(kind, setting, (names[setting], chosen[setting]), (alias, text))
        chosen.setdefault(setting, value)
        names.setdefault(setting, alias)
        _tell(alias, setting.upper())


def _endpoint(alias: str, value: str) -> str:
    """The address of a network. What is an address already stays."""
    if "://" in value:
        return value
    if value not in NETWORKS:
        raise UsageError(
            f"{alias} {printable(value[:_MAX_SHOWN])!r} is not a network that is known here",
            f"Give {', '.join(NETWORKS)}, or the address of the chain in SUBTENSOR_CHAIN_ENDPOINT.",
        )
    return NETWORKS[value]


def _agree(setting: str, first: Any, second: str) -> bool:
    if setting == "subtensor_chain_endpoint":
        return str(first).strip().rstrip("/") == second.rstrip("/")
    return str(first).strip() == second


def _disagreement(
    kind: type[BaseModel], setting: str, first: tuple[str, Any], second: tuple[str, str]
) -> UsageError:
    """The error. It shows no value of a secret."""
    is_secret = "SecretStr" in str(kind.model_fields[setting].annotation)
    shown = [
        name if is_secret else f"{name} {printable(str(value).strip()[:_MAX_SHOWN])!r}"
        for name, value in (first, second)
    ]
    return UsageError(
        f"{' and '.join(shown)} disagree", f"They are names of one setting, {setting.upper()}: give one of them."
    )


@cache
def _tell(alias: str, name: str) -> None:
    _log.warning("%s is read as %s", alias, name)
