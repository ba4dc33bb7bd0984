"""Checks of single settings. Each returns the value, or raises a ValueError that says what to give instead."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from soundsright.config.redis_server import (
    DEFAULT_HOST,
    DEFAULT_INDEX,
    DEFAULT_PORT,
    is_loopback,
    redis_server,
)
from soundsright.core.competition import is_competition_name
from soundsright.core.endpoint import PeerNetworks
from soundsright.core.plugins import (
    CHAIN_GROUP,
    CHAIN_SCHEMES,
    HUB_GROUP,
    HUB_SCHEMES,
    SANDBOX_GROUP,
    plugin_names,
)
from soundsright.core.signed_http import DIALECTS
from soundsright.core.text_files import comma_separated

if TYPE_CHECKING:
    from pydantic import SecretStr, ValidationInfo

MAX_API_KEYS = 1_000
LOG_LEVELS = ("TRACEX", "TRACE", "DEBUGX", "DEBUG", "INFOX", "INFO", "WARNING", "ERROR")
_WALLET_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_IMAGE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,254}")
_URL_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_API_KEY = re.compile(r"[A-Za-z0-9_-]{16,128}")
_CLOCK_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")


def chain_url(value: str) -> str:
    """Check the address of a chain: a WebSocket, HTTP, or a scheme that another installed package adds."""
    parts = urlsplit(value)
    plugged = _plugged_schemes(CHAIN_GROUP, CHAIN_SCHEMES)
    if parts.scheme not in plugged and (parts.scheme not in CHAIN_SCHEMES or not parts.hostname):
        others = _offered(plugged, "chain")
        raise ValueError(f"give ws:// or wss:// for Bittensor, http:// or https:// for a private chain{others}")
    return _without_password(value)


def http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise ValueError("give an http:// or https:// address without a user and password")
    return value


def hub_url(value: str) -> str:
    """Check the address of a hub: HTTP, or a scheme that another installed package adds."""
    plugged = _plugged_schemes(HUB_GROUP, HUB_SCHEMES)
    if urlsplit(value).scheme in plugged:
        return _without_password(value)
    try:
        return http_url(value)
    except ValueError as error:
        raise ValueError(f"{error}{_offered(plugged, 'hub')}") from None


def _plugged_schemes(group: str, built_in: tuple[str, ...]) -> tuple[str, ...]:
    """The URL schemes that other installed packages add. Names that cannot be a scheme are left out."""
    return tuple(name for name in plugin_names(group) if name not in built_in and _URL_SCHEME.fullmatch(name))


def _offered(schemes: tuple[str, ...], noun: str) -> str:
    """The schemes as the end of a message, empty if there are none."""
    addresses = " or ".join(f"{scheme}://" for scheme in schemes)
    return f", or {addresses} for the {noun} of an installed package" if schemes else ""


def _without_password(value: str) -> str:
    parts = urlsplit(value)
    if parts.username or parts.password:
        raise ValueError("give the address without a user and password")
    return value


def wallet_name(value: str) -> str:
    if not _WALLET_NAME.fullmatch(value):
        raise ValueError("give the name of a wallet: letters, digits, '-', '_' and '.'")
    return value


def log_level(value: Any) -> Any:
    if isinstance(value, str) and value.upper() in LOG_LEVELS:
        return value.upper()
    raise ValueError(f"choose one of {', '.join(LOG_LEVELS)}")


def sandbox(value: Any, built_in: Callable[[Any], Any]) -> Any:
    """Check the name of a sandbox: a built-in one, or one that another installed package adds."""
    return value if value in plugin_names(SANDBOX_GROUP) else built_in(value)


def image_name(value: str) -> str:
    """Check the name of an image as an engine takes it. It becomes a line of a Dockerfile."""
    if not _IMAGE_NAME.fullmatch(value):
        raise ValueError("give the name of an image, such as python:3.12-slim")
    return value


def host(value: str) -> str:
    if not value or len(value) > 255 or any(c.isspace() or c == "/" for c in value):
        raise ValueError("give an address or a host name, such as 0.0.0.0")
    return value


def redis_host(value: str, info: ValidationInfo) -> str:
    """Check the host of Redis. One on another machine needs a password, which is validated before the host."""
    if info.data.get("database_password") is None and not is_loopback(value):
        raise ValueError("it is another machine, so set DATABASE_PASSWORD too, or give 127.0.0.1")
    return value


def redis_url(value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
    """Check the URL of Redis. The separate settings, which are validated before, must not be set beside it."""
    if value is None:
        return None
    defaults = {
        "database_password": None,
        "database_host": DEFAULT_HOST,
        "database_port": DEFAULT_PORT,
        "database_index": DEFAULT_INDEX,
    }
    for name, default in defaults.items():
        if info.data.get(name, default) != default:
            raise ValueError(f"clear either it or {name.upper()}, because it has all parts of the address")
    redis_server(value.get_secret_value())
    return value


def external_ip(value: str) -> str:
    if value:
        try:
            ipaddress.IPv4Address(value)
        except ValueError:
            raise ValueError("give the IPv4 address at which other machines reach this one") from None
    return value


def peer_networks(value: str) -> str:
    """Check a list of networks in which peers may be."""
    PeerNetworks.of(value)
    return value


def auth_dialects(value: str) -> str:
    """Check a list of dialects in which requests may be signed."""
    names = comma_separated(value)
    unknown = [name for name in names if name not in DIALECTS]
    if unknown:
        raise ValueError(f"{unknown[0][:40]!r} is not one of {', '.join(DIALECTS)}")
    if DIALECTS[0] not in names:
        raise ValueError(f"{DIALECTS[0]} is always on, because only it may write: give it too")
    return value


def time_of_day(value: str) -> str:
    if not _CLOCK_TIME.fullmatch(value):
        raise ValueError("give a time of day in UTC, such as 09:00")
    return value


def competition_names(value: str) -> str:
    """Check a list of competitions, separated by commas. The organiser's file says which competitions exist."""
    if not all(is_competition_name(name) for name in comma_separated(value)):
        raise ValueError("give names of competitions, separated by commas, such as DENOISING_16000HZ")
    return value


def competition_name(value: str) -> str:
    if value and not is_competition_name(value):
        raise ValueError("give the name as the organiser's file has it, such as summer-2030")
    return value


def http_urls(value: str) -> str:
    """Check a list of addresses, separated by commas."""
    for url in comma_separated(value):
        http_url(url)
    return value


def model_endpoint(value: str) -> str:
    """Check the address of a model that somebody runs for a prover."""
    return http_url(value) if value else value


def api_keys(value: SecretStr | None) -> SecretStr | None:
    """Check a list of keys, separated by commas. The message shows none of them."""
    keys = comma_separated(value.get_secret_value()) if value is not None else ()
    for number, key in enumerate(keys, start=1):
        if not _API_KEY.fullmatch(key):
            raise ValueError(f"key {number} is not of 16 to 128 letters, digits, '-' or '_'")
    if len(keys) > MAX_API_KEYS:
        raise ValueError(f"{len(keys)} keys are too many: give at most {MAX_API_KEYS}")
    if len(set(keys)) < len(keys):
        raise ValueError("a key is given twice")
    return value


def api_key(value: SecretStr | None) -> SecretStr | None:
    """Check one key. The message does not show it."""
    if value is not None and not _API_KEY.fullmatch(value.get_secret_value()):
        raise ValueError("give one key of 16 to 128 letters, digits, '-' or '_'")
    return value


def gateway_url(value: str) -> str:
    """Check the address of a gateway."""
    if not value:
        return value
    parts = urlsplit(value)
    if parts.query or parts.fragment:
        raise ValueError("give the address of the gateway without ? and #")
    return http_url(value)


def empty_is_none(value: Any) -> Any:
    return None if value == "" else value
