"""The tasks of competitions: the two published ones, and those that other installed packages add.

A package declares a `CustomTask` as an entry point:

    [project.entry-points."soundsright.tasks"]
    declipping = "my_package:DECLIPPING"

A competition's rules can then name it as `task`, and `soundsright generate --task` makes sets for it. Everyone who
runs or replays the competition needs the package.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias, TypeGuard

from soundsright.core.errors import UsageError
from soundsright.core.plugins import PluginGroup

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NAME = re.compile(r"[A-Z][A-Z0-9_]{1,47}")


class Task(StrEnum):
    """The work of a model on its input."""

    DENOISING = "DENOISING"
    DEREVERBERATION = "DEREVERBERATION"


@dataclass(frozen=True, eq=False)
class TaskSignals:
    """One clip of a custom task: the target, the model's input, and facts for the recipe.

    Both signals are float, of the shape and alignment of the speech. Levels are relative to the speech.
    """

    clean: NDArray[np.floating]
    degraded: NDArray[np.floating]
    facts: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class CustomTask:
    """A task from another package.

    `degrade(rng, speech, sample_rate_hz)` gets speech as float64 of shape `(n,)`, and returns the `TaskSignals`. It
    draws all random numbers from `rng`, so that the same seed gives the same clip.

    Raises:
        ValueError: the name is not 2 to 48 capital letters, digits and `_`.
    """

    name: str
    degrade: Callable[[np.random.Generator, NDArray[np.float64], int], TaskSignals]

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.name) is None:
            raise ValueError(f"the name {self.name[:80]!r} is not 2 to 48 capital letters, digits and `_`")

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Callable[[str], AnyTask], tuple[str]]:
        # A worker loads the task from its package, because a function of another package may not be picklable.
        return task_by_name, (self.name,)

    @property
    def value(self) -> str:
        """The name, as for a published task."""
        return self.name

    @property
    def has_noise(self) -> bool:
        """False: the task draws nothing from recordings of noise."""
        return False

    @property
    def has_room(self) -> bool:
        """False: the task draws nothing from rooms."""
        return False


AnyTask: TypeAlias = "Task | CustomTask"


def _is_task(loaded: object) -> TypeGuard[CustomTask]:
    return isinstance(loaded, CustomTask)


TASKS = PluginGroup("soundsright.tasks", "task", "a soundsright.core.tasks.CustomTask", _is_task)


def custom_tasks() -> dict[str, CustomTask]:
    """The tasks that other installed packages add, by name.

    Raises:
        UsageError: an entry point cannot be imported or is no `CustomTask`, or two tasks have one name.
    """
    by_name: dict[str, CustomTask] = {}
    for point, task in TASKS.load_all().items():
        if task.name in by_name or task.name in (*Task, "BOTH"):
            raise UsageError(
                f"Two tasks are called {task.name!r}",
                f"Uninstall the package that adds the entry point {point!r} to {TASKS.group}.",
            )
        by_name[task.name] = task
    return by_name


def task_by_name(name: str) -> AnyTask:
    """The published or installed task of that name.

    Raises:
        UsageError: there is none.

    >>> task_by_name("DENOISING")
    <Task.DENOISING: 'DENOISING'>
    """
    if name in list(Task):
        return Task(name)
    custom = custom_tasks()
    if name not in custom:
        raise UsageError(
            f"Unknown task {name!r}",
            f"Choose one of {', '.join((*Task, *custom))}, or install the package that adds it.",
        )
    return custom[name]
