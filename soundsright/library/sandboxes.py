"""The sandbox that models run in: your choice as a record, and the sandbox that it opens on this machine."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from soundsright.core.errors import UsageError
from soundsright.core.text_files import comma_separated

if TYPE_CHECKING:
    from soundsright.adapters.containers import DockerSandbox, Engine
    from soundsright.adapters.sandboxes import GpuPool, PrivatePaths
    from soundsright.core.ports import Sandbox

_BY_CDI = "cdi:"
_USUAL_PLACES = (Path("~/.bittensor"), Path("~/.soundsright-subnet"))
_PACKAGE_FOLDERS = {"site-packages", "dist-packages"}


@dataclass(frozen=True)
class SandboxChoice:
    """Which sandbox to use, and how to set it up.

    `kind` is `auto`, `bubblewrap`, `docker`, `process`, or the name of a sandbox from another installed package;
    `auto` uses the first isolating sandbox that works here.
    `python` is the interpreter that runs models without an image. `trust` says that every model is your own.
    `build_timeout_s` limits the build of an image, or its pull; None means the usual limit.
    """

    kind: str = "auto"
    python: Path | None = None
    build_network: str = "default"
    registries: str = ""
    runtime: str = ""
    gpus: str = "none"
    trust: bool = False
    build_timeout_s: float | None = None

    @functools.cached_property
    def gpu_pool(self) -> GpuPool | None:
        """The GPUs that models take in turn, or None if models get no GPU.

        Raises:
            UsageError: the machine lacks a GPU that `gpus` names.
            EngineUnavailable: the machine has no GPU at all.
        """
        from soundsright.adapters.sandboxes import GpuPool, chosen_gpus, find_gpus

        names = self.gpus.removeprefix(_BY_CDI)
        chosen = chosen_gpus(names, find_gpus() if names != "none" else ())
        return GpuPool(chosen) if chosen else None


def opened_sandbox(
    choice: SandboxChoice,
    *,
    local: bool,
    round_id: str,
    auto: Sequence[str] = ("bubblewrap", "docker"),
    engine: Engine | None = None,
    kept_out: Sequence[Path] = (),
    warn: Callable[[str], None] = lambda warning: None,
) -> Sandbox:
    """The chosen sandbox; for `auto`, the first of the names in `auto` that works on this machine.

    `local` says that every model comes from a folder of this machine. If that is so, or you trust every model,
    and no isolating sandbox works, models run as plain processes and `warn` gets one sentence that says so.
    `kept_out` are paths that no model may read, besides the wallets and the state at their usual places.

    Raises:
        UsageError: no sandbox can be used, or a model would see one of those paths.
        EngineUnavailable: you ask for a GPU and the machine has none.
    """
    from soundsright.adapters.sandboxes import (
        SANDBOX_PLUGINS,
        BubblewrapSandbox,
        ProcessSandbox,
        SandboxOptions,
        checked_interpreter,
        plugged_sandbox,
    )

    trusted = local or choice.trust
    # Report a wrong path even if the chosen sandbox does not use it.
    python = checked_interpreter(choice.python) if choice.python else None
    gpus = choice.gpu_pool
    if choice.kind not in SANDBOX_PLUGINS.built_in:
        return plugged_sandbox(choice.kind, SandboxOptions(python, trusted, gpus, round_id))
    if choice.kind == "process":
        return ProcessSandbox(python, trusted=trusted, gpus=gpus)
    private = private_paths(kept_out)
    made: dict[str, BubblewrapSandbox | DockerSandbox] = {
        "docker": _docker_sandbox(choice, engine, round_id, private)
    }
    obstacles = []
    if gpus is None:
        made["bubblewrap"] = BubblewrapSandbox(python, trusted=trusted, private=private)
    else:
        obstacles.append("bubblewrap: it cannot give a model a GPU")
    for name in auto if choice.kind == "auto" else (choice.kind,):
        if name not in made:
            continue
        if (obstacle := made[name].available()) is None:
            return made[name]
        obstacles.append(f"{name}: {obstacle}")
    if choice.kind == "auto" and trusted:
        warn(f"No isolation ({'; '.join(obstacles)}): models run as plain processes. Run only what you trust.")
        return ProcessSandbox(python, trusted=trusted, gpus=gpus)
    raise UsageError(
        f"No sandbox can be used ({'; '.join(obstacles)})",
        "Install bubblewrap or start a container engine. For models of your own: --sandbox process with --trust.",
    )


def private_paths(kept_out: Sequence[Path] = ()) -> PrivatePaths:
    """The paths that no model may read: those given, the wallets, and the state at its usual places.

    Recordings and models that are installed as packages are hidden instead, because packages have one place only.
    """
    from platformdirs import user_cache_path

    from soundsright.adapters.sandboxes import PrivatePaths
    from soundsright.core.shipped import datasets_folder, models_folder

    hidden = [path for path in kept_out if _is_packaged(path)]
    for folder in (datasets_folder, models_folder):
        with contextlib.suppress(UsageError):
            hidden.append(folder())
    return PrivatePaths((*kept_out, *_USUAL_PLACES, user_cache_path("soundsright")), tuple(hidden))


def _is_packaged(path: Path) -> bool:
    """Whether it is a corpus or a model that an installed package brings."""
    in_package = bool(_PACKAGE_FOLDERS & set(path.absolute().parts))
    return in_package and any((path / name).is_file() for name in ("manifest.jsonl", "Dockerfile"))


def check_folder(folder: Path, kept_out: Sequence[Path] = ()) -> None:
    """Check that a model's folder, which is copied as it is, contains no path that no model may read.

    Raises:
        UsageError: it contains one.
    """
    from soundsright.adapters.sandboxes import exposure

    if (exposed := exposure([folder], private_paths(kept_out))) is not None:
        raise UsageError(exposed.problem, exposed.remedy)


def _docker_sandbox(
    choice: SandboxChoice, engine: Engine | None, round_id: str, private: PrivatePaths
) -> DockerSandbox:
    from soundsright.adapters.containers import BuildLimits, DockerSandbox, DockerSettings

    settings = DockerSettings(
        build=BuildLimits(network=choice.build_network, registries=comma_separated(choice.registries)),
        runtime=choice.runtime or None,
        round_id=round_id,
        cdi=choice.gpus.startswith(_BY_CDI),
        private=private,
    )
    return DockerSandbox(engine, settings=settings, gpus=choice.gpu_pool)
