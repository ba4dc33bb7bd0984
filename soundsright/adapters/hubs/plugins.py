"""Hubs that other installed packages add, by entry points of the group `soundsright.hubs`.

An entry point is named by the URL scheme of its hub. It names a function that takes `HubOptions` and returns a
`ModelHub`:

    [project.entry-points."soundsright.hubs"]
    registry = "my_package.hub:make_hub"

With that package installed, HF_ENDPOINT can be `registry://host`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeGuard
from urllib.parse import urlsplit

from soundsright.core.errors import SoundsRightError, UsageError, printable
from soundsright.core.plugins import HUB_GROUP, PluginGroup
from soundsright.core.ports import ModelHub

BUILT_IN_SCHEMES = ("http", "https")


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


def _is_factory(value: object) -> TypeGuard[HubFactory]:
    return callable(value)


HUB_PLUGINS: PluginGroup[HubFactory] = PluginGroup(
    group=HUB_GROUP,
    noun="hub",
    expected="a function that takes HubOptions and returns a ModelHub",
    is_valid=_is_factory,
    built_in=BUILT_IN_SCHEMES,
)


def plugged_hub(options: HubOptions) -> ModelHub:
    """The hub that another installed package makes for the endpoint's scheme.

    Raises:
        UsageError: if no package adds the scheme, if it cannot be imported or fails, or if what it makes is not a
            `ModelHub`.
        HubUnavailable: if the package says that its hub does not answer.
    """
    scheme = urlsplit(options.endpoint).scheme
    factory = HUB_PLUGINS.load(scheme)
    try:
        hub = factory(options)
    except SoundsRightError:
        raise
    except (Exception, SystemExit) as e:
        # Code of another package can raise anything.
        raise UsageError(
            f"The hub {options.endpoint} cannot be opened: {printable(f'{type(e).__name__}: {e}')}",
            f"Check HF_ENDPOINT and the package that adds the hub {scheme!r}.",
        ) from e
    missing = [name for name, _ in inspect.getmembers(ModelHub) if name[0] != "_" and not hasattr(hub, name)]
    if missing:
        raise UsageError(
            f"The hub {scheme!r} made an object of type {type(hub).__name__}, which lacks {', '.join(missing)}",
            "Update or uninstall the package that adds it. It must make a ModelHub.",
        )
    return hub
