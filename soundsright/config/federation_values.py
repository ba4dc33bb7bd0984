"""Checks of a federation's settings. Each returns the value, or raises a ValueError that says what to give instead.

No message shows a value of PEER_VALIDATORS, because it has keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from soundsright.config.values import empty_is_none, http_url
from soundsright.core.ss58 import is_address
from soundsright.core.strict_json import NotStrictJson, strict_json
from soundsright.core.text_files import comma_separated

if TYPE_CHECKING:
    from pydantic import ValidationInfo

MAX_PEERS = 256
_MAX_PEERS_BYTES = 262_144
_PEERS_DEPTH = 3
_DEFAULT_PASSWORDS = frozenset(
    {"admin", "changeme", "default", "leoma", "leoma_password", "password", "postgres", "root", "secret"}
    | {"soundsright", "test"}
)

_Text = Annotated[str, Field(max_length=1_000)]
_Secret = Annotated[SecretStr | None, BeforeValidator(empty_is_none)]


class PeerValidator(BaseModel):
    """One validator of PEER_VALIDATORS: its hotkey, and its bucket with the keys that may read it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    hotkey: _Text
    bucket: _Text
    endpoint: _Text = ""
    region: _Text = "auto"
    read_access_key: _Secret = None
    read_secret_key: _Secret = None
    uid: Annotated[int | None, Field(ge=0, le=65_535)] = None


def peers_text(value: SecretStr | None) -> SecretStr | None:
    """Check the text of PEER_VALIDATORS."""
    peers(value)
    return value


def peers(value: SecretStr | None) -> tuple[PeerValidator, ...]:
    """The validators of a JSON list.

    Raises:
        ValueError: it is no list of validators, a hotkey is no address, or two have one hotkey or one bucket.

    >>> text = '[{"hotkey": "5F3sa2TJAWMqDhXG6jhV4N8ko9SxwGy8TpaNS1repo5EYjQX", "bucket": "one"}]'
    >>> [peer.bucket for peer in peers(SecretStr(text))]
    ['one']
    """
    if value is None:
        return ()
    raw = value.get_secret_value().encode()
    if len(raw) > _MAX_PEERS_BYTES:
        raise ValueError(f"give at most {_MAX_PEERS_BYTES} bytes")
    try:
        entries = strict_json(raw, _PEERS_DEPTH)
    except NotStrictJson as error:
        raise ValueError(f"give a JSON list of validators; it is no JSON ({error.fault})") from None
    if not isinstance(entries, list) or len(entries) > MAX_PEERS:
        raise ValueError(f'give a JSON list of at most {MAX_PEERS} validators, such as [{{"hotkey": …}}]')
    found = tuple(_peer(number, entry) for number, entry in enumerate(entries, start=1))
    _check_apart(found)
    return found


def _peer(number: int, entry: Any) -> PeerValidator:
    try:
        peer = PeerValidator.model_validate(entry)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))[:60]
        raise ValueError(f"entry {number}: {where or 'it'}: {first['msg'][:100]}") from None
    if not is_address(peer.hotkey):
        raise ValueError(f"entry {number}: give the SS58 address of a hotkey in hotkey")
    if (peer.read_access_key is None) != (peer.read_secret_key is None):
        raise ValueError(f"entry {number}: give read_access_key and read_secret_key, or neither")
    return peer


def _check_apart(found: tuple[PeerValidator, ...]) -> None:
    keys: dict[str, list[tuple[str, ...]]] = {
        "hotkey": [(peer.hotkey,) for peer in found],
        "bucket": [(peer.endpoint.rstrip("/"), peer.region, peer.bucket) for peer in found],
    }
    for name, listed in keys.items():
        for number, key in enumerate(listed, start=1):
            first = listed.index(key) + 1
            if first != number:
                raise ValueError(f"entries {first} and {number} have the same {name}; give each validator its own")


def origins(value: str) -> str:
    """Check a list of origins of web pages: a scheme, a host and a port."""
    for origin in comma_separated(value):
        parts = urlsplit(http_url(origin))
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ValueError("give origins without a path, such as https://ranks.example, separated by commas")
    return value


def environment(value: str, info: ValidationInfo) -> str:
    """Check that production has no default password. The databases are validated before."""
    if value != "production":
        return value
    for name in ("database_url", "redis_url"):
        address = info.data.get(name)
        if address is not None and _has_default_password(address.get_secret_value()):
            raise ValueError(f"{name.upper()} has a default password; give the database one of its own")
    password = info.data.get("database_password")
    if password is not None and password.get_secret_value().lower() in _DEFAULT_PASSWORDS:
        raise ValueError("DATABASE_PASSWORD is a default password; give the database one of its own")
    return value


def _has_default_password(address: str) -> bool:
    """Whether the address of a database has no password, or one that everybody knows. A file has none, and is fine.

    >>> _has_default_password("postgresql://leoma:leoma@db/leoma"), _has_default_password("sqlite:///api.db")
    (True, False)
    """
    parts = urlsplit(address)
    if not parts.hostname:
        return False
    password = unquote(parts.password or "")
    return not password or password.lower() in _DEFAULT_PASSWORDS | {unquote(parts.username or "").lower()}
