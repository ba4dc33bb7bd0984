"""Experiment trackers, all with the shape of wandb: `init`, `log`, `finish`.

    wandb         Weights & Biases; WANDB_MODE=offline keeps everything on this machine
    trackio       the same calls, kept on this machine
    tensorboard   event files below ./runs-tensorboard, or TENSORBOARD_LOGDIR

A tracker is another's program with settings of its own, which it reads from its own variables.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from soundsright.core.errors import InfrastructureFault, UsageError

TRACKERS = ("wandb", "trackio", "tensorboard")
DEFAULT_LOGDIR = "runs-tensorboard"


class Tracker(Protocol):
    """One run of a tracker."""

    def log(self, values: Mapping[str, float]) -> None: ...
    def finish(self) -> None: ...


def open_tracker(kind: str, *, project: str, name: str, config: Mapping[str, Any]) -> Tracker:
    """Begin a run called `name` in `project`.

    Raises:
        UsageError: the tracker is unknown or not installed.
        InfrastructureFault: it does not begin.
    """
    if kind not in TRACKERS:
        raise UsageError(f"Unknown tracker {kind!r}", f"Choose from {', '.join(TRACKERS)}.")
    if kind == "tensorboard":
        return _EventFiles(_installed("tensorboardX"), project, name, config)
    return _Run(_installed(kind), kind, project, name, config)


class _Run:
    """wandb and what has its shape."""

    def __init__(self, module: ModuleType, kind: str, project: str, name: str, config: Mapping[str, Any]) -> None:
        self._module = module
        self._kind = kind
        self._call("init", project=project, name=name, config=dict(config))

    def log(self, values: Mapping[str, float]) -> None:
        self._call("log", dict(values))

    def finish(self) -> None:
        self._call("finish")

    def _call(self, action: str, *args: Any, **options: Any) -> None:
        own = getattr(self._module, "Error", OSError)
        try:
            getattr(self._module, action)(*args, **options)
        except (OSError, RuntimeError, ValueError, own) as error:
            raise InfrastructureFault(
                f"{self._kind}.{action} failed ({error})", "See the tracker's own log."
            ) from error


class _EventFiles:
    """TensorBoard's event files, one folder per run."""

    def __init__(self, module: ModuleType, project: str, name: str, config: Mapping[str, Any]) -> None:
        folder = Path(os.environ.get("TENSORBOARD_LOGDIR", DEFAULT_LOGDIR)) / _part(project) / _part(name)
        try:
            self._writer = module.SummaryWriter(str(folder))
        except OSError as error:
            raise InfrastructureFault(f"{folder} cannot be written ({error})", "Set TENSORBOARD_LOGDIR.") from error
        self._writer.add_text("config", "\n".join(f"    {key}: {value}" for key, value in config.items()))

    def log(self, values: Mapping[str, float]) -> None:
        for key, value in values.items():
            self._writer.add_scalar(key, value, 0)

    def finish(self) -> None:
        self._writer.close()


def _installed(module: str) -> ModuleType:
    try:
        return import_module(module)
    except ImportError as error:
        raise UsageError(f"{module} is not installed", f"pip install {module}") from error


def _part(text: str) -> str:
    """One plain part of a path.

    >>> _part("../a b/c")
    'a-b-c'
    """
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in text)
    return kept.strip(".-")[:100] or "x"
