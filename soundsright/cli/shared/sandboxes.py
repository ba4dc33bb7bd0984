"""What models run in: the flags that say so, shared by every command that runs one, and what is made of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from soundsright.core.plugins import SANDBOX_GROUP, plugin_names
from soundsright.library import SandboxChoice as SandboxChoice

if TYPE_CHECKING:
    from soundsright.adapters.containers import Engine
    from soundsright.core.ports import Sandbox, SandboxLimits

F = TypeVar("F", bound=Callable[..., Any])

SANDBOXES = ("auto", "bubblewrap", "docker", "process")


class _SandboxName(click.Choice):  # type: ignore[type-arg,unused-ignore]
    """A built-in sandbox, or one that another installed package adds."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if value in plugin_names(SANDBOX_GROUP) else super().convert(value, param, ctx)


_OPTIONS = (
    click.option(
        "--sandbox",
        "kind",
        type=_SandboxName(SANDBOXES),
        default="auto",
        show_default=True,
        envvar="SOUNDSRIGHT_SANDBOX",
        show_envvar=True,
        help="What the model runs in.",
    ),
    click.option(
        "--python",
        type=click.Path(path_type=Path),
        envvar="SOUNDSRIGHT_MODEL_PYTHON",
        show_envvar=True,
        help="Interpreter that has the model's packages, where no image is built. [default: this one]",
    ),
    click.option(
        "--build-network",
        type=click.Choice(["none", "default"]),
        default="default",
        show_default=True,
        envvar="SOUNDSRIGHT_BUILD_NETWORK",
        show_envvar=True,
        help="What an image's build may reach.",
    ),
    click.option(
        "--registries",
        default="",
        envvar="SOUNDSRIGHT_REGISTRIES",
        show_envvar=True,
        help="Registries that you vouch for, host:port, with commas between: their outage is no model's fault.",
    ),
    click.option(
        "--runtime",
        default="",
        envvar="SOUNDSRIGHT_RUNTIME",
        show_envvar=True,
        help="An engine's runtime, such as runsc (gVisor).",
    ),
    click.option(
        "--gpus",
        default="none",
        show_default=True,
        envvar="SOUNDSRIGHT_GPUS",
        show_envvar=True,
        help="`all`, or numbers with commas between; after `cdi:` they are asked for by CDI.",
    ),
    click.option(
        "--trust",
        is_flag=True,
        envvar="SOUNDSRIGHT_TRUST",
        show_envvar=True,
        help="Every model is your own: with it, --sandbox process, which holds nothing, runs strangers' as well.",
    ),
)


def sandbox_options(command: F) -> F:
    """The flags of a sandbox, given to the command as one `SandboxChoice` named `sandbox`."""

    @functools.wraps(command)
    def with_choice(*args: Any, **values: Any) -> Any:
        choice = SandboxChoice(**{name: values.pop(name) for name in SandboxChoice.__dataclass_fields__})
        return command(*args, sandbox=choice, **values)

    decorated: Any = with_choice
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]


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


concurrency_option = click.option(
    "--concurrency",
    "--slots",
    "slots",
    type=_Concurrency(),
    default="auto",
    show_default=True,
    envvar="SOUNDSRIGHT_SLOTS",
    show_envvar=True,
    help="Models that run at a time; auto: as many as the machine holds, and a line says why.",
)


def chosen_concurrency(choice: SandboxChoice, limits: SandboxLimits, slots: int) -> int:
    """How many models run at a time: `slots`, or for 0 what the machine holds, explained in a line on stderr."""
    from soundsright.adapters.sandboxes import concurrency, memory_bytes, usable_cpus

    if slots:
        return slots
    pool = choice.gpu_pool
    number, why = concurrency(
        limits, cpus=len(usable_cpus()), memory_bytes=memory_bytes(), gpus=len(pool) if pool is not None else None
    )
    click.echo(f"Models: {why}", err=True)
    return number


def chosen_sandbox(
    choice: SandboxChoice,
    *,
    local: bool,
    round_id: str,
    auto: Sequence[str] = ("bubblewrap", "docker"),
    engine: Engine | None = None,
) -> Sandbox:
    """`library.opened_sandbox`, with its warning on stderr."""
    from soundsright.library import opened_sandbox

    return opened_sandbox(
        choice,
        local=local,
        round_id=round_id,
        auto=auto,
        engine=engine,
        warn=lambda warning: click.echo(warning, err=True),
    )
