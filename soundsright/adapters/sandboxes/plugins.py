"""Sandboxes that other installed packages add, by entry points of the group `soundsright.sandboxes`.

An entry point names a function that takes `SandboxOptions` and returns a `Sandbox`:

    [project.entry-points."soundsright.sandboxes"]
    firecracker = "my_package.sandbox:make_sandbox"
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from soundsright.adapters.sandboxes.gpu import GpuPool
from soundsright.core.errors import EngineUnavailable, SoundsRightError, UsageError, printable
from soundsright.core.plugins import SANDBOX_GROUP, PluginGroup
from soundsright.core.ports import Sandbox

BUILT_IN_SANDBOXES = ("bubblewrap", "docker", "process")


@dataclass(frozen=True)
class SandboxOptions:
    """The operator's choices for a sandbox. A sandbox may ignore those that do not concern it.

    Attributes:
        python: the interpreter that has the models' packages, for a sandbox that builds no image.
        trusted: whether the operator trusts every model. If false, a sandbox without isolation must refuse to run.
        gpus: the GPUs that models reserve in turn, or None for none.
        round_id: the round that runs, for labels; empty outside a round.
    """

    python: Path | None = None
    trusted: bool = False
    gpus: GpuPool | None = None
    round_id: str = ""


SandboxFactory = Callable[[SandboxOptions], Sandbox]


def _is_factory(value: object) -> TypeGuard[SandboxFactory]:
    return callable(value)


SANDBOX_PLUGINS: PluginGroup[SandboxFactory] = PluginGroup(
    group=SANDBOX_GROUP,
    noun="sandbox",
    expected="a function that takes SandboxOptions and returns a Sandbox",
    is_valid=_is_factory,
    built_in=("auto", *BUILT_IN_SANDBOXES),
)


def plugged_sandbox(name: str, options: SandboxOptions) -> Sandbox:
    """The sandbox of that name from another installed package.

    Raises:
        UsageError: if no package adds it, if it cannot be imported, if what it makes is not a `Sandbox`, or if it
            provides no isolation and the models are not trusted.
        EngineUnavailable: if it cannot be made on this machine.
    """
    factory = SANDBOX_PLUGINS.load(name)
    try:
        sandbox = factory(options)
    except SoundsRightError:
        raise
    except (Exception, SystemExit) as e:
        # A function of another package can raise anything.
        raise EngineUnavailable(
            f"The sandbox {name!r} cannot be made: {printable(f'{type(e).__name__}: {e}')}",
            "See the documentation of the package that adds it, or use another --sandbox.",
        ) from e
    missing = [member for member in _sandbox_members() if not hasattr(sandbox, member)]
    if missing:
        raise UsageError(
            f"The sandbox {name!r} made a {type(sandbox).__name__} without {', '.join(missing)}",
            "Update or uninstall the package that adds it, or use another --sandbox.",
        )
    if not sandbox.isolated and not options.trusted:
        raise UsageError(
            f"The sandbox {name!r} provides no isolation, and these models may come from other people",
            "Use another --sandbox, or add --trust if you trust every model.",
        )
    return sandbox


def _sandbox_members() -> list[str]:
    """The names that every `Sandbox` has."""
    return [name for name, _ in inspect.getmembers(Sandbox) if not name.startswith("_")]
