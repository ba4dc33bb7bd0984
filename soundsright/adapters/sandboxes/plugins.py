"""Sandboxes that other installed packages add, by entry points of the group `soundsright.sandboxes`.

An entry point names a function that takes `SandboxOptions` and returns a `Sandbox`:

    [project.entry-points."soundsright.sandboxes"]
    firecracker = "my_package.sandbox:make_sandbox"
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from soundsright.adapters.sandboxes.gpu import GpuPool
from soundsright.core.errors import EngineUnavailable, UsageError
from soundsright.core.plugins import SANDBOX_GROUP, SANDBOXES, PluginGroup, is_function, made_by_plugin
from soundsright.core.ports import Sandbox


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


SANDBOX_PLUGINS: PluginGroup[SandboxFactory] = PluginGroup(
    group=SANDBOX_GROUP,
    noun="sandbox",
    expected="a function that takes SandboxOptions and returns a Sandbox",
    is_valid=is_function,
    built_in=SANDBOXES,
)


def plugged_sandbox(name: str, options: SandboxOptions) -> Sandbox:
    """The sandbox of that name from another installed package.

    Raises:
        UsageError: if no package adds it, if it cannot be imported, if what it makes is not a `Sandbox`, or if it
            provides no isolation and the models are not trusted.
        EngineUnavailable: if it cannot be made on this machine.
    """

    def failure(text: str) -> EngineUnavailable:
        return EngineUnavailable(
            f"The sandbox {name!r} cannot be made: {text}",
            "See the documentation of the package that adds it, or use another --sandbox.",
        )

    sandbox = made_by_plugin(SANDBOX_PLUGINS, name, options, port=Sandbox, failure=failure)
    if not sandbox.isolated and not options.trusted:
        raise UsageError(
            f"The sandbox {name!r} provides no isolation, and these models may come from other people",
            "Use another --sandbox, or add --trust if you trust every model.",
        )
    return sandbox
