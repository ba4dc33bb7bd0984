"""The hotkeys as which the two services of the executor sign, as the settings name them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from soundsright.config import ExecutorServices
    from soundsright.core.ports import LiveChain


def coordinator_hotkey(settings: ExecutorServices, chain: LiveChain) -> str:
    """The hotkey of the coordinator: SUBNET_API_HOTKEY, otherwise the chain's owner.

    Raises:
        UsageError: the setting is empty, and the chain has no owner.
        ChainUnavailable: the chain does not answer.
    """
    return settings.subnet_api_hotkey or _owner(chain, "SUBNET_API_HOTKEY", "coordinator")


def executor_hotkey(settings: ExecutorServices, chain: LiveChain) -> str:
    """The hotkey of the executor: EXECUTOR_API_HOTKEY, otherwise the chain's owner.

    Raises:
        UsageError: the setting is empty, and the chain has no owner.
        ChainUnavailable: the chain does not answer.
    """
    return settings.executor_api_hotkey or _owner(chain, "EXECUTOR_API_HOTKEY", "executor")


def _owner(chain: LiveChain, setting: str, service: str) -> str:
    owner = chain.owner()
    if owner is None:
        raise UsageError(
            f"{setting} is empty, and the chain has no owner", f"Set it to the hotkey of the {service}."
        )
    return owner
