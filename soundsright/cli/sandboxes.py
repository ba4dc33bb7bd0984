"""What models run in: the flags that say so, shared by every command that runs one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from soundsright.core.errors import UsageError

if TYPE_CHECKING:
    from soundsright.core.ports import Sandbox

F = TypeVar("F", bound=Callable[..., Any])

SANDBOXES = ("auto", "bubblewrap", "docker", "process")

_OPTIONS = (
    click.option(
        "--sandbox",
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
        "--runtime",
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
        help="`all`, or numbers with commas between.",
    ),
)


def sandbox_options(command: F) -> F:
    """The flags of `chosen_sandbox`: sandbox, python, build_network, runtime, gpus."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def chosen_sandbox(
    kind: str,
    python: Path | None,
    *,
    build_network: str,
    runtime: str | None,
    gpus: str,
    allow_process: bool,
    round_id: str,
    auto: Sequence[str] = ("bubblewrap", "docker"),
) -> Sandbox:
    """The sandbox asked for, or the first that holds a stranger and can be used.

    `auto` names those that `--sandbox auto` tries. With it and `allow_process`, a machine that has none of them
    runs plain processes, and one line says so.

    Raises:
        UsageError: none can be used.
    """
    from soundsright.adapters.docker_build import BuildLimits
    from soundsright.adapters.docker_engine import Engine
    from soundsright.adapters.gpu import GpuPool, chosen_gpus, find_gpus
    from soundsright.adapters.sandbox_bubblewrap import BubblewrapSandbox
    from soundsright.adapters.sandbox_docker import DockerSandbox, DockerSettings
    from soundsright.adapters.sandbox_process import ProcessSandbox

    if kind == "process":
        return ProcessSandbox(python)
    chosen = chosen_gpus(gpus, find_gpus() if gpus != "none" else ())
    docker = DockerSandbox(
        Engine(),
        settings=DockerSettings(build=BuildLimits(network=build_network), runtime=runtime, round_id=round_id),
        gpus=GpuPool(chosen) if chosen else None,
    )
    bubblewrap = BubblewrapSandbox(python)
    wanted = auto if kind == "auto" else (kind,)
    obstacles = []
    for sandbox in (bubblewrap, docker):
        if sandbox.name not in wanted:
            continue
        if (obstacle := sandbox.available()) is None:
            return sandbox
        obstacles.append(f"{sandbox.name}: {obstacle}")
    if kind == "auto" and allow_process:
        click.echo(
            f"No isolation ({'; '.join(obstacles)}): models run as plain processes. Run only what you trust.",
            err=True,
        )
        return ProcessSandbox(python)
    raise UsageError(f"No sandbox can be used ({'; '.join(obstacles)})", "Install bubblewrap or an engine.")
