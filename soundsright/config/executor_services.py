"""Settings of the two services of the executor, as their clients need them."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, Field

from soundsright.core.errors import EntryRefused
from soundsright.core.sources import ImageRef
from soundsright.core.ss58 import is_address
from soundsright.core.text_files import comma_separated


def service_url(value: str) -> str:
    """Check the address of a service: a scheme, a host and a port, without a path. Empty means that there is none.

    >>> service_url("https://coordinator.example:9001/")
    'https://coordinator.example:9001'
    """
    parts = urlsplit(value)
    is_plain = not (parts.username or parts.password or parts.query or parts.fragment) and parts.path in ("", "/")
    if value and (parts.scheme not in ("http", "https") or not parts.hostname or not is_plain):
        raise ValueError("give an http:// or https:// address without a path, such as http://10.0.0.7:9001")
    return value.rstrip("/")


def hotkey_or_empty(value: str) -> str:
    """Check the address of a hotkey. Empty means the chain's owner."""
    if value and not is_address(value):
        raise ValueError("give the SS58 address of a hotkey, or clear it for the chain's owner")
    return value


def log_hotkey(value: str) -> str:
    """Check the hotkey of a log. Empty means that there is no log."""
    if value and not is_address(value):
        raise ValueError("give the SS58 address of the log's hotkey, which `soundsright log serve` prints")
    return value


def hotkeys(value: str) -> str:
    """Check a list of hotkeys, separated by commas."""
    if not all(map(is_address, comma_separated(value))):
        raise ValueError("give SS58 addresses of hotkeys, separated by commas")
    return value


def image_or_empty(value: str) -> str:
    """Check the name of an image by its digest. Empty means that none is given."""
    try:
        return value and str(ImageRef.of_text(value))
    except EntryRefused:
        raise ValueError(
            "give the image by its digest in small letters, as REPOSITORY@sha256: and 64 hex digits. "
            "A tag would not do: it can change"
        ) from None


ServiceUrl = Annotated[str, AfterValidator(service_url)]
HotkeyOrEmpty = Annotated[str, AfterValidator(hotkey_or_empty)]


class ExecutorServices(BaseModel):
    """The addresses of the coordinator and the executor, and the hotkeys as which they sign."""

    subnet_api_url: Annotated[
        ServiceUrl, Field(description="Address of the coordinator of the executor, as http://HOST:PORT.")
    ] = ""
    subnet_api_hotkey: Annotated[
        HotkeyOrEmpty, Field(description="Hotkey of the coordinator. Empty: the chain's owner.")
    ] = ""
    executor_api_url: Annotated[
        ServiceUrl, Field(description="Address of the executor, as http://HOST:PORT. Empty: SUBNET_API_URL.")
    ] = ""
    executor_api_hotkey: Annotated[
        HotkeyOrEmpty, Field(description="Hotkey of the executor. Empty: the chain's owner.")
    ] = ""

    @property
    def executor_url(self) -> str:
        """The address of the executor; empty if neither service is given."""
        return self.executor_api_url or self.subnet_api_url
