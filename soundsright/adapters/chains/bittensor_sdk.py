"""Imports Bittensor's SDK without packages that a service never uses.

The SDK imports packages for Ethereum's keys and for QR codes. They would take ten megabytes of memory in a service
that mostly waits. Placeholders replace them during the import.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from soundsright.core.errors import UsageError

_UNUSED = frozenset({"eth_abi", "eth_account", "qrcode"})


def load_sdk() -> None:
    """Import the SDK. A later `import bittensor` gives the same module.

    Raises:
        UsageError: the SDK is not installed.
    """
    if "bittensor" in sys.modules:
        return
    finder = _Placeholders()
    sys.meta_path.insert(0, finder)
    try:
        import bittensor  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "SUBTENSOR_CHAIN_ENDPOINT with ws:// or wss:// needs the Bittensor SDK",
            "Run `pip install 'soundsright[chain]'`.",
        ) from error
    finally:
        sys.meta_path.remove(finder)
        # A later import of these packages gets the real ones.
        for name in [name for name, module in sys.modules.items() if isinstance(module, _Placeholder)]:
            del sys.modules[name]


class _Placeholder(ModuleType):
    """A module in which every name is an empty class."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {"__module__": self.__name__})


class _Placeholders(MetaPathFinder, Loader):
    """Finds and loads a placeholder for each unused package."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.partition(".")[0] in _UNUSED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Placeholder(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: the module is empty."""
