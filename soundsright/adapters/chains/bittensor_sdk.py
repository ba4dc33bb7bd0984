"""Bittensor's SDK without what a service never uses.

It loads Ethereum's keys and QR codes when it is imported: ten megabytes of a process that waits for months.
Placeholders stand for those packages meanwhile.
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
    """Import the SDK; `import bittensor` is for free afterwards.

    Raises:
        UsageError: it is not installed.
    """
    if "bittensor" in sys.modules:
        return
    finder = _Placeholders()
    sys.meta_path.insert(0, finder)
    try:
        import bittensor  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "A SUBTENSOR_CHAIN_ENDPOINT with ws:// needs the Bittensor SDK", "pip install soundsright[chain]"
        ) from error
    finally:
        sys.meta_path.remove(finder)
        # Whoever imports them later gets the real ones.
        for name in [name for name, module in sys.modules.items() if isinstance(module, _Placeholder)]:
            del sys.modules[name]


class _Placeholder(ModuleType):
    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {"__module__": self.__name__})


class _Placeholders(MetaPathFinder, Loader):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.partition(".")[0] in _UNUSED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Placeholder(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing in it."""
