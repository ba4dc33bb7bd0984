"""Experiment trackers: they receive the numbers of a run.

    wandb         Weights & Biases; with WANDB_MODE=offline, nothing leaves this machine
    trackio       the same calls as wandb, stored on this machine
    tensorboard   event files in the folder TENSORBOARD_LOGDIR, by default ./runs-tensorboard

Each tracker is a separate package and reads its settings from its own environment variables.
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
    """One run in an experiment tracker."""

    def log(self, values: Mapping[str, float]) -> None: ...
    def finish(self) -> None: ...


def open_tracker(kind: str, *, project: str, name: str, config: Mapping[str, Any]) -> Tracker:
    """Start a run called `name` in `project`.

    Raises:
        UsageError: the tracker is unknown or not installed.
        InfrastructureFault: the tracker cannot start a run.
    """
    if kind not in TRACKERS:
        raise UsageError(f"Unknown tracker {kind!r}", f"Choose from {', '.join(TRACKERS)}.")
    if kind == "tensorboard":
        return _TensorBoardTracker(_installed("tensorboardX"), project, name, config)
    return _WandbTracker(_installed(kind), kind, project, name, config)


class _WandbTracker:
    """A run of wandb, or of a package with the same calls."""

    def __init__(self, module: ModuleType, kind: str, project: str, name: str, config: Mapping[str, Any]) -> None:
        self._module = module
        self._kind = kind
        self._call("init", project=project, name=name, config=dict(config))

    def log(self, values: Mapping[str, float]) -> None:
        self._call("log", dict(values))

    def finish(self) -> None:
        self._call("finish")

    def _call(self, action: str, *args: Any, **options: Any) -> None:
        tracker_error = getattr(self._module, "Error", OSError)
        try:
            getattr(self._module, action)(*args, **options)
        except (OSError, RuntimeError, ValueError, tracker_error) as error:
            raise InfrastructureFault(
                f"{self._kind}.{action} failed ({error})", f"Read the log of {self._kind}, and check its settings."
            ) from error


class _TensorBoardTracker:
    """A run in TensorBoard's event files, in its own folder."""

    def __init__(self, module: ModuleType, project: str, name: str, config: Mapping[str, Any]) -> None:
        folder = Path(os.environ.get("TENSORBOARD_LOGDIR", DEFAULT_LOGDIR)) / _path_part(project) / _path_part(name)
        try:
            self._writer = module.SummaryWriter(str(folder))
        except OSError as error:
            raise InfrastructureFault(
                f"Cannot write to {folder} ({error})", "Set TENSORBOARD_LOGDIR to a folder that you can write to."
            ) from error
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
        raise UsageError(f"The Python package {module} is not installed", f"Run `pip install {module}`.") from error


def _path_part(text: str) -> str:
    """The text as one part of a path, with only letters, digits, dots, hyphens and underscores.

    >>> _path_part("../a b/c")
    'a-b-c'
    """
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in text)
    return safe.strip(".-")[:100] or "x"
