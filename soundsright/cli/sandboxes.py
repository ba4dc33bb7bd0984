"""What models run in: the flags that say so, shared by every command that runs one, and what is made of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from soundsright.adapters.containers import Engine
    from soundsright.adapters.sandboxes import GpuPool
    from soundsright.core.ports import Sandbox, SandboxLimits

F = TypeVar("F", bound=Callable[..., Any])

SANDBOXES = ("auto", "bubblewrap", "docker", "process")
_BY_CDI = "cdi:"

_OPTIONS = (
    click.option(
        "--sandbox",
        "kind",
        type=click.Choice(SANDBOXES),
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


@dataclass(frozen=True)
class SandboxChoice:
    """What the flags say. `auto` tries those that hold a stranger, in the order that a command prefers."""

    kind: str = "auto"
    python: Path | None = None
    build_network: str = "default"
    registries: str = ""
    runtime: str = ""
    gpus: str = "none"
    trust: bool = False

    @functools.cached_property
    def gpu_pool(self) -> GpuPool | None:
        """The GPUs that models take in turn; None where there shall be none.

        Raises:
            UsageError: one is named that is not there.
            EngineUnavailable: the machine has none at all.
        """
        from soundsright.adapters.sandboxes import GpuPool, chosen_gpus, find_gpus

        wanted = self.gpus.removeprefix(_BY_CDI)
        chosen = chosen_gpus(wanted, find_gpus() if wanted != "none" else ())
        return GpuPool(chosen) if chosen else None


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
    """The sandbox asked for, or the first of `auto` that can be used.

    `local` says that every model is of this machine's own folders. Where that is so, or `--trust` was said, a
    machine that has none of them runs plain processes, and one line says so.

    Raises:
        UsageError: none can be used.
        EngineUnavailable: a GPU is asked for and the machine has none.
    """
    from soundsright.adapters.containers import BuildLimits, DockerSandbox, DockerSettings
    from soundsright.adapters.sandboxes import BubblewrapSandbox, ProcessSandbox, checked_interpreter

    trusted = local or choice.trust
    # A wrong path is told even where nothing comes of it.
    python = checked_interpreter(choice.python) if choice.python else None
    gpus = choice.gpu_pool
    if choice.kind == "process":
        return ProcessSandbox(python, trusted=trusted, gpus=gpus)
    registries = tuple(name.strip() for name in choice.registries.split(",") if name.strip())
    docker = DockerSandbox(
        engine,
        settings=DockerSettings(
            build=BuildLimits(network=choice.build_network, registries=registries),
            runtime=choice.runtime or None,
            round_id=round_id,
            cdi=choice.gpus.startswith(_BY_CDI),
        ),
        gpus=gpus,
    )
    made: dict[str, BubblewrapSandbox | DockerSandbox] = {"docker": docker}
    obstacles = []
    if gpus is None:
        made["bubblewrap"] = BubblewrapSandbox(python)
    else:
        obstacles.append("bubblewrap: it gives out no GPU")
    for name in auto if choice.kind == "auto" else (choice.kind,):
        if name not in made:
            continue
        if (obstacle := made[name].available()) is None:
            return made[name]
        obstacles.append(f"{name}: {obstacle}")
    if choice.kind == "auto" and trusted:
        click.echo(
            f"No isolation ({'; '.join(obstacles)}): models run as plain processes. Run only what you trust.",
            err=True,
        )
        return ProcessSandbox(python, trusted=trusted, gpus=gpus)
    raise UsageError(
        f"No sandbox can be used ({'; '.join(obstacles)})",
        "Install bubblewrap or start an engine; --sandbox process with --trust is for models of your own.",
    )
