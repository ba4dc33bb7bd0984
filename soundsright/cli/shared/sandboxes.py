"""Options that choose the sandbox and how many models run at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soundsright.cli.shared.options import ANY_PATH, grouped, option
from soundsright.core.plugins import SANDBOXES
from soundsright.library import SandboxChoice

if TYPE_CHECKING:
    from soundsright.adapters.containers import Engine
    from soundsright.core.ports import Sandbox, SandboxLimits


class _SandboxName(click.Choice):  # type: ignore[type-arg,unused-ignore]
    """A built-in sandbox, or one that another installed package adds."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from soundsright.core.plugins import SANDBOX_GROUP, plugin_names

        if value not in self.choices and value in plugin_names(SANDBOX_GROUP):
            return value
        return super().convert(value, param, ctx)


sandbox_options = grouped(
    SandboxChoice,
    "sandbox",
    option(
        "--sandbox",
        "kind",
        type=_SandboxName(SANDBOXES),
        default="auto",
        envvar="SOUNDSRIGHT_SANDBOX",
        help="Sandbox in which models run. auto: bubblewrap, otherwise docker (verify only), otherwise process "
        "(only for folders of your own). process provides no isolation.",
    ),
    option(
        "--python",
        type=ANY_PATH,
        envvar="SOUNDSRIGHT_MODEL_PYTHON",
        help="Python interpreter with the models' packages, for bubblewrap and process. [default: this one]",
    ),
    option(
        "--build-network",
        type=click.Choice(["none", "default"]),
        default="default",
        envvar="SOUNDSRIGHT_BUILD_NETWORK",
        help="Network of an image's build. none: no network.",
    ),
    option(
        "--registries",
        default="",
        envvar="SOUNDSRIGHT_REGISTRIES",
        help="Registries that you run, as host:port, separated by commas. If one is down, no model is blamed.",
    ),
    option(
        "--runtime",
        default="",
        envvar="SOUNDSRIGHT_RUNTIME",
        help="Runtime of the container engine, such as runsc (gVisor).",
    ),
    option(
        "--gpus",
        default="none",
        envvar="SOUNDSRIGHT_GPUS",
        help="GPUs for models: none, all, or numbers separated by commas. The prefix cdi: requests them by CDI.",
    ),
    option(
        "--trust",
        is_flag=True,
        envvar="SOUNDSRIGHT_TRUST",
        help="Say that every model is your own. Allows --sandbox process for fetched models.",
    ),
)
"""The flags of a sandbox. The command gets them as one `SandboxChoice` named `sandbox`."""


class _Concurrency(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    name = "auto|N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if value in ("auto", 0, "0"):
            return 0
        try:
            number = int(value)
        except ValueError:
            number = -1
        if not 1 <= number <= 1_024:
            self.fail(f"{value!r} is neither auto nor a number from 1 to 1024", param, ctx)
        return number


concurrency_option = option(
    "--concurrency",
    "--slots",
    "slots",
    type=_Concurrency(),
    default="auto",
    envvar="SOUNDSRIGHT_SLOTS",
    help="Models that run at the same time. auto: as many as the machine can hold; a line says why.",
)


def chosen_concurrency(choice: SandboxChoice, limits: SandboxLimits, slots: int) -> int:
    """How many models run at the same time: `slots`, or if that is 0, as many as the machine can hold.

    In the second case a line on stderr gives the reason.
    """
    from soundsright.adapters.sandboxes import concurrency, memory_bytes, usable_cpus

    if slots:
        return slots
    pool = choice.gpu_pool
    number, reason = concurrency(
        limits, cpus=len(usable_cpus()), memory_bytes=memory_bytes(), gpus=len(pool) if pool is not None else None
    )
    click.echo(f"Models: {reason}", err=True)
    return number


def chosen_sandbox(
    choice: SandboxChoice,
    *,
    local: bool,
    round_id: str,
    auto: Sequence[str] = ("bubblewrap", "docker"),
    engine: Engine | None = None,
    kept_out: Sequence[Path | None] = (),
) -> Sandbox:
    """`library.opened_sandbox`, with its warning on stderr. Of `kept_out`, None is left out."""
    from soundsright.library import opened_sandbox

    return opened_sandbox(
        choice,
        local=local,
        round_id=round_id,
        auto=auto,
        engine=engine,
        kept_out=[path for path in kept_out if path is not None],
        warn=lambda warning: click.echo(warning, err=True),
    )
