"""The hotkeys as which the two services of the executor sign, as the settings name them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from soundsright.config import ExecutorServices
    from soundsright.core.ports import LiveChain


@dataclass(frozen=True)
class ServiceHotkeys:
    """The hotkeys of the settings, otherwise that of the chain's owner. The chain is asked for it once at most.

    Each raises:
        UsageError: the setting is empty, and the chain has no owner.
        ChainUnavailable: the chain does not answer.
    """

    settings: ExecutorServices
    chain: LiveChain

    @property
    def coordinator(self) -> str:
        """SUBNET_API_HOTKEY, or the owner."""
        return self.settings.subnet_api_hotkey or self._owner_for("SUBNET_API_HOTKEY", "coordinator")

    @property
    def executor(self) -> str:
        """EXECUTOR_API_HOTKEY, or the owner."""
        return self.settings.executor_api_hotkey or self._owner_for("EXECUTOR_API_HOTKEY", "executor")

    @cached_property
    def _owner(self) -> str | None:
        return self.chain.owner()

    def _owner_for(self, setting: str, service: str) -> str:
        if self._owner is None:
            raise UsageError(
                f"{setting} is empty, and the chain has no owner", f"Set it to the hotkey of the {service}."
            )
        return self._owner


def check_own_hotkey(own: str, expected: str, *, setting: str, service: str) -> None:
    """Check that others expect this key of the service.

    Raises:
        UsageError: they expect another one.
    """
    if own != expected:
        raise UsageError(
            f"This hotkey is {own}, and the {service}'s is {expected}",
            f"Use that key, or tell everybody to set {setting} to yours, and set it here too.",
        )
