"""Plug-ins: objects that other installed packages add through entry points.

A package declares a plug-in in its `pyproject.toml`, with a name and the object that the name stands for:

    [project.entry-points."soundsright.sandboxes"]
    firecracker = "my_package.sandbox:make_sandbox"

`PluginGroup` reads one such group. It imports a plug-in only when it is loaded, so a broken package that nobody
uses does no harm.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeGuard, TypeVar

from soundsright.core.errors import SoundsRightError, UsageError, printable

T = TypeVar("T")
Options = TypeVar("Options")
Made = TypeVar("Made")

CHAIN_GROUP = "soundsright.chains"
HUB_GROUP = "soundsright.hubs"
SANDBOX_GROUP = "soundsright.sandboxes"

CHAIN_SCHEMES = ("ws", "wss", "http", "https")
HUB_SCHEMES = ("http", "https")
SANDBOXES = ("auto", "bubblewrap", "docker", "process")
"""Names of this package's own chains, hubs and sandboxes. No plug-in may use them."""


def plugin_names(group: str) -> tuple[str, ...]:
    """The names of the installed plug-ins of a group, sorted. Nothing is imported."""
    return tuple(sorted({point.name for point in entry_points(group=group)}))


@dataclass(frozen=True)
class PluginGroup(Generic[T]):
    """One group of entry points whose objects are of one kind.

    Attributes:
        group: the group's name, such as `soundsright.sandboxes`.
        noun: the word for one plug-in, for messages: "sandbox".
        expected: the kind of object that an entry point names, for messages: "a function that returns a Sandbox".
        is_valid: whether a loaded object is what the group expects.
        built_in: names that this package has itself and that no plug-in may use.
    """

    group: str
    noun: str
    expected: str
    is_valid: Callable[[object], TypeGuard[T]]
    built_in: tuple[str, ...] = ()

    def names(self) -> tuple[str, ...]:
        """The names of the installed plug-ins, sorted. Nothing is imported."""
        return plugin_names(self.group)

    def load(self, name: str) -> T:
        """Import the plug-in of that name.

        Raises:
            UsageError: if no package or more than one adds it, if it takes a built-in name, if it cannot be
                imported, or if it is not what the group expects.
        """
        points = [point for point in entry_points(group=self.group) if point.name == name]
        if not points:
            known = ", ".join((*self.built_in, *self.names())) or "none"
            raise UsageError(
                f"Unknown {self.noun} {name!r}",
                f"Choose from: {known}; or install the package that adds it (entry points {self.group}).",
            )
        if len(points) > 1:
            packages = ", ".join(_package_of(point) for point in points)
            raise UsageError(
                f"{len(points)} packages add a {self.noun} {name!r}: {packages}", "Uninstall all but one of them."
            )
        if name in self.built_in:
            raise UsageError(
                f"The package {_package_of(points[0])} adds a {self.noun} {name!r}, but that name is built in",
                "Uninstall the package, or give its entry point another name.",
            )
        return self._checked(points[0])

    def load_all(self) -> dict[str, T]:
        """Import every installed plug-in, by name.

        Raises:
            UsageError: if one of them cannot be used; see `load`.
        """
        return {name: self.load(name) for name in self.names()}

    def _checked(self, point: EntryPoint) -> T:
        plugin = f"The {self.noun} {point.name!r} of the package {_package_of(point)}"
        try:
            loaded = point.load()
        except (Exception, SystemExit) as e:
            # While it is imported, a module of another package can raise anything, or end the program without an
            # error.
            raise UsageError(
                f"{plugin} cannot be imported from {point.value}: {printable(f'{type(e).__name__}: {e}')}",
                "Repair, update or uninstall that package.",
            ) from e
        if not self.is_valid(loaded):
            raise UsageError(
                f"{plugin}: {point.value} is of type {type(loaded).__name__}, not {self.expected}",
                f"Update or uninstall that package, or correct its entry point in {self.group}.",
            )
        return loaded


def is_function(value: object) -> TypeGuard[Callable[..., Any]]:
    """Whether a plug-in can be called, for groups whose plug-ins are functions."""
    return callable(value)


def made_by_plugin(
    group: PluginGroup[Callable[[Options], Made]],
    name: str,
    options: Options,
    *,
    port: type,
    failure: Callable[[str], SoundsRightError],
) -> Made:
    """The object that the function of a plug-in makes. It must have every method of the protocol `port`.

    Raises:
        UsageError: if the plug-in cannot be loaded (see `PluginGroup.load`), or its object lacks a method.
        SoundsRightError: an error of this package that the function raised. For any other, the error that `failure`
            makes from its text.
    """
    function = group.load(name)
    try:
        made = function(options)
    except SoundsRightError:
        raise
    except (Exception, SystemExit) as e:
        # Code of another package can raise anything.
        raise failure(printable(f"{type(e).__name__}: {e}")) from e
    missing = [member for member, _ in inspect.getmembers(port) if member[0] != "_" and not hasattr(made, member)]
    if missing:
        raise UsageError(
            f"The {group.noun} {name!r} made an object of type {type(made).__name__}, which lacks"
            f" {', '.join(missing)}",
            f"Update or uninstall the package that adds it. It must make a {port.__name__}.",
        )
    return made


def _package_of(point: EntryPoint) -> str:
    """The name and version of the package that adds the entry point; its module if the package is unknown."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value.partition(":")[0]
