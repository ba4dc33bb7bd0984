"""Shared parts of the commands of `soundsright chain`: the flags of an account, and the chain that it signs for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soundsright.cli.shared.options import env_file_option
from soundsright.cli.shared.settings_options import settings_from, settings_options
from soundsright.config import Settings
from soundsright.core.errors import UsageError
from soundsright.core.ss58 import is_address

if TYPE_CHECKING:
    from soundsright.adapters.chains import HttpChain
    from soundsright.adapters.peers import Hotkey

_ACCOUNT_SETTINGS = ("subtensor_chain_endpoint", "wallet", "hotkey", "wallet_path", "state_folder")


def account_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The flags of a command that acts for an account."""
    return env_file_option(settings_options(Settings, _ACCOUNT_SETTINGS)(command))


def account_settings(flags: dict[str, Any], env_file: Path | None) -> Settings:
    return settings_from(Settings, flags, env_file)


def private_chain_with_account(settings: Settings) -> tuple[HttpChain, Hotkey]:
    """The chain, signing as the account of WALLET and HOTKEY, and that account."""
    from soundsright.adapters.peers import Hotkey

    account = Hotkey.read(settings.hotkey_file)
    return private_chain(settings, account), account


def private_chain(settings: Settings, account: Hotkey | None = None) -> HttpChain:
    from soundsright.adapters.chains import HttpChain

    if not settings.is_private_chain:
        raise UsageError(
            f"SUBTENSOR_CHAIN_ENDPOINT {settings.subtensor_chain_endpoint} is not a private chain",
            "Give the http:// address of a private chain. For Bittensor, use `btcli`.",
        )
    return HttpChain(settings.subtensor_chain_endpoint, account)


def coldkey_account(settings: Settings) -> Hotkey:
    """The coldkey of WALLET."""
    from soundsright.adapters.peers import Hotkey

    return Hotkey.read(settings.coldkey_file, variable="WALLET")


def check_address(name: str, address: str) -> None:
    """Check that the value of the argument `name` is an address.

    Raises:
        UsageError: it is not.
    """
    if not is_address(address):
        raise UsageError(
            f"{name} {address[:80]!r} is not the address of a key",
            "Give the address that `soundsright chain account` printed.",
        )
