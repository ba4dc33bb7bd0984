"""What an entry answers: enhancers of this project, run in this process, and signals made from their output.

Signals are float32 `(n,)`, full scale ±1. A system hears only the degraded signal, as a model in a sandbox does.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np

from soundsright.core.audio import Samples
from soundsright.core.errors import ModelCrashed, UsageError
from soundsright.core.shipped import models_folder

Answering = Callable[[Samples, int], Samples]
"""A function of the degraded signal and its rate in Hz."""
Change = Callable[[Samples, Samples], Samples]
"""A function of an enhancer's output and the degraded signal."""


@dataclass(frozen=True)
class System:
    """An entry's answers. `name` identifies them: two systems with one name give the same answers."""

    name: str
    answer: Answering = field(compare=False)


@cache
def _module(folder: Path) -> ModuleType:
    """The module `app.enhance` of a model's folder, loaded under a package name of its own."""
    package = f"soundsright_attack_{folder.name.replace('-', '_')}"
    app = folder / "app"
    spec = importlib.util.spec_from_file_location(
        package, app / "__init__.py", submodule_search_locations=[str(app)]
    )
    if spec is None:
        raise UsageError(f"{app} is not a model", "Restore models/ from the repository.")
    sys.modules[package] = importlib.util.module_from_spec(spec)
    try:
        model = importlib.import_module(f"{package}.enhance")
    except ModuleNotFoundError as missing:
        raise UsageError(
            f"The model {folder.name} needs a package that is not installed ({missing.name})",
            "Run `pip install 'soundsright[demo]'`.",
        ) from missing
    if hasattr(model, "load"):
        model.load()
    return model


def model_folder(name: str) -> Path:
    """The folder of one of the models that ship with the project.

    Raises:
        UsageError: the models are not installed.
    """
    return models_folder() / name


def enhancer(name: str) -> System:
    """An enhancer that ships with the project, by the name of its folder. It is loaded at its first answer.

    Raises:
        UsageError: at the first answer, if its packages are not installed.
    """

    def answer(degraded: Samples, rate_hz: int) -> Samples:
        enhanced: Samples = np.asarray(_module(model_folder(name)).enhance(degraded, rate_hz), dtype=np.float32)
        return enhanced

    return System(name, answer)


def made_from(base: System, name: str, change: Change) -> System:
    """A system that changes the output of another: `change(output, degraded)`."""

    def answer(degraded: Samples, rate_hz: int) -> Samples:
        return np.asarray(change(base.answer(degraded, rate_hz), degraded), dtype=np.float32)

    return System(f"{base.name}, {name}", answer)


def crashing() -> System:
    """A system that answers nothing: the cheapest junk."""

    def answer(degraded: Samples, rate_hz: int) -> Samples:
        raise ModelCrashed("The process ended", 1)

    return System("junk", answer)


def against_the_input(output: Samples, degraded: Samples, share: float = 0.06) -> Samples:
    """Subtract a little of what the enhancer removed: SI-SIR rises, and everything else falls."""
    return np.asarray(output - np.float32(share) * (degraded - output), dtype=np.float32)


def towards_the_input(output: Samples, degraded: Samples) -> Samples:
    """The mean of output and input: SI-SAR rises, because fewer artefacts remain."""
    return np.asarray((output + degraded) / 2, dtype=np.float32)


def later(samples: int) -> Change:
    """A change that delays the output by a number of samples."""

    def delayed(output: Samples, _degraded: Samples) -> Samples:
        return np.concatenate((np.zeros(samples, np.float32), output[:-samples]))

    return delayed


def disguised(number: int) -> Change:
    """Disguise `number` of a near copy: a delay, a level and a short equaliser, different for each number."""
    rng = np.random.default_rng([number, 0xD15])
    delay = 1 + int(rng.integers(400))
    taps = np.concatenate(([1.0], rng.uniform(-0.15, 0.15, 3))) * rng.uniform(0.7, 1.0)

    def change(output: Samples, degraded: Samples) -> Samples:
        filtered = np.convolve(output, taps)[: len(output)].astype(np.float32)
        return later(delay)(filtered, degraded)

    return change
