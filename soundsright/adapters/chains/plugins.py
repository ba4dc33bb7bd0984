"""Chains that other installed packages add, by entry points of the group `soundsright.chains`.

An entry point is named by the URL scheme of its chain. It names a function that takes `ChainOptions` and returns a
`LiveChain`:

    [project.entry-points."soundsright.chains"]
    ledger = "my_package.chain:make_chain"

With that package installed, SUBTENSOR_CHAIN_ENDPOINT can be `ledger://host`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from soundsright.core.errors import UsageError
from soundsright.core.plugins import CHAIN_GROUP, CHAIN_SCHEMES, PluginGroup, is_function, made_by_plugin
from soundsright.core.ports import Account, LiveChain


@dataclass(frozen=True)
class ChainOptions:
    """The chain that an operator chose.

    Attributes:
        endpoint: the address, as in SUBTENSOR_CHAIN_ENDPOINT. Its scheme is the plug-in's name.
        netuid: the number of the subnet. A chain with only one may ignore it.
        account: the hotkey that signs writes, or None if there will be no writes.
    """

    endpoint: str
    netuid: int
    account: Account | None


ChainFactory = Callable[[ChainOptions], LiveChain]

CHAIN_PLUGINS: PluginGroup[ChainFactory] = PluginGroup(
    group=CHAIN_GROUP,
    noun="chain",
    expected="a function that takes ChainOptions and returns a LiveChain",
    is_valid=is_function,
    built_in=CHAIN_SCHEMES,
)


def plugged_chain(options: ChainOptions) -> LiveChain:
    """The chain that another installed package makes for the endpoint's scheme.

    Raises:
        UsageError: if no package adds the scheme, if it cannot be imported or fails, or if what it makes is not a
            `LiveChain`.
        ChainUnavailable: if the package says that its chain does not answer.
    """
    scheme = urlsplit(options.endpoint).scheme

    def failure(text: str) -> UsageError:
        return UsageError(
            f"The chain {options.endpoint} cannot be opened: {text}",
            f"Check SUBTENSOR_CHAIN_ENDPOINT and the package that adds the chain {scheme!r}.",
        )

    return made_by_plugin(CHAIN_PLUGINS, scheme, options, port=LiveChain, failure=failure)
