"""Hubs that other installed packages add, by entry points of the group `soundsright.hubs`.

An entry point is named by the URL scheme of its hub. It names a function that takes `HubOptions` and returns a
`ModelHub`:

    [project.entry-points."soundsright.hubs"]
    registry = "my_package.hub:make_hub"

With that package installed, HF_ENDPOINT can be `registry://host`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from soundsright.core.errors import UsageError
from soundsright.core.plugins import HUB_GROUP, HUB_SCHEMES, PluginGroup, is_function, made_by_plugin
from soundsright.core.ports import ModelHub


@dataclass(frozen=True)
class HubOptions:
    """The hub that an operator chose.

    Attributes:
        endpoint: the address, as in HF_ENDPOINT. Its scheme is the plug-in's name.
        cache: the folder for fetched models. It may not exist yet.
        token: the operator's token for private models, or None.
    """

    endpoint: str
    cache: Path
    token: str | None = field(default=None, repr=False)


HubFactory = Callable[[HubOptions], ModelHub]

HUB_PLUGINS: PluginGroup[HubFactory] = PluginGroup(
    group=HUB_GROUP,
    noun="hub",
    expected="a function that takes HubOptions and returns a ModelHub",
    is_valid=is_function,
    built_in=HUB_SCHEMES,
)


def plugged_hub(options: HubOptions) -> ModelHub:
    """The hub that another installed package makes for the endpoint's scheme.

    Raises:
        UsageError: if no package adds the scheme, if it cannot be imported or fails, or if what it makes is not a
            `ModelHub`.
        HubUnavailable: if the package says that its hub does not answer.
    """
    scheme = urlsplit(options.endpoint).scheme

    def failure(text: str) -> UsageError:
        return UsageError(
            f"The hub {options.endpoint} cannot be opened: {text}",
            f"Check HF_ENDPOINT and the package that adds the hub {scheme!r}.",
        )

    return made_by_plugin(HUB_PLUGINS, scheme, options, port=ModelHub, failure=failure)
