"""A base image that the operator gives in place of the one that a model's Dockerfile names."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from soundsright.adapters.containers.engine import Engine, engine_faults
from soundsright.adapters.containers.labels import OWNER_LABEL, this_owner
from soundsright.core.errors import EngineUnavailable, UsageError, printable

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_TIMEOUT_S = 60
_MISSING = """
import sys
from importlib.metadata import PackageNotFoundError, version
for name in sys.argv[1:]:
    try:
        version(name)
    except PackageNotFoundError:
        print(name)
"""


def required_packages(models: Iterable[Path]) -> tuple[str, ...]:
    """The names of the packages in the files `requirements*.txt` of these models' folders, sorted."""
    names = set()
    for model in models:
        for path in sorted(model.glob("requirements*.txt")):
            for line in path.read_text(encoding="utf-8").splitlines():
                if (match := _NAME.match(line.strip())) is not None:
                    names.add(match[0])
    return tuple(sorted(names))


def pull_base(engine: Engine, base: str) -> None:
    """Pull this image if the engine lacks it.

    Raises:
        UsageError: it cannot be pulled.
        EngineUnavailable: the engine does not answer.
    """
    import docker.errors

    with engine_faults():
        try:
            engine.client.images.get(base)
        except docker.errors.ImageNotFound:
            try:
                engine.client.images.pull(base)
            except docker.errors.APIError as error:
                raise UsageError(
                    f"The engine has no image {printable(base)[:200]}, and cannot pull it",
                    "Check its name and the network, or name an image with Python that the engine has.",
                ) from error


def check_base(engine: Engine, base: str, packages: Iterable[str]) -> None:
    """Check that the engine has this image, and that its Python has the packages.

    Raises:
        UsageError: it does not, or has no Python.
        EngineUnavailable: the engine failed.
    """
    import docker.errors

    words = ["-c", _MISSING, *packages]
    try:
        with engine_faults():
            engine.client.images.get(base)
            with _container(engine, base, words) as container:
                container.start()
                code = container.wait(timeout=_TIMEOUT_S)["StatusCode"]
                output = container.logs().decode(errors="replace")
    except EngineUnavailable as error:
        cause = error.__cause__
        if isinstance(cause, docker.errors.ImageNotFound):
            raise UsageError(
                f"The engine has no image {printable(base)[:200]}", "Build, import or pull it first."
            ) from error
        # Starting a container without the program is an error of the request, not of the engine.
        if isinstance(cause, docker.errors.APIError) and "python" in str(cause.explanation):
            raise UsageError(f"The image {base} has no program `python`", "Give an image with Python.") from error
        raise
    if code:
        raise UsageError(
            f"Python in the image {base} fails: {printable(output.strip())[-200:]}", "Give an image with Python 3."
        )
    if missing := output.split():
        raise UsageError(
            f"Python in the image {base} lacks {', '.join(missing)}", "Install what the models need into the image."
        )


@contextlib.contextmanager
def _container(engine: Engine, image: str, words: list[str]) -> Iterator[Any]:
    """A container that runs `python` with these words and has no network. It is removed at the end."""
    container = engine.client.containers.create(
        image,
        words,
        entrypoint="python",
        network_mode="none",
        mem_limit="1g",
        labels={OWNER_LABEL: this_owner()},
    )
    try:
        yield container
    finally:
        container.remove(force=True, v=True)
