"""Publishes a model's folder as an image in a registry: it is built, pushed, and removed from the engine again."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from soundsright.adapters.containers.build_limits import BuildLimits
from soundsright.adapters.containers.docker import DockerSandbox, DockerSettings
from soundsright.adapters.containers.engine import Engine, engine_faults
from soundsright.adapters.containers.engine_stream import EngineStream
from soundsright.core.competition import PUBLISHED
from soundsright.core.content import content_hash, files_below, sha256_of_file
from soundsright.core.dockerfile import parse_dockerfile
from soundsright.core.errors import EngineUnavailable, RegistryUnavailable
from soundsright.core.sources import ImageRef, ModelRef
from soundsright.core.submission import FetchedModel, Submission

_PUSH_TIMEOUT_S = 600.0
_TAG = "published"


def publish_image(
    engine: Engine,
    folder: Path,
    repository: str,
    *,
    base: str | None = None,
    limits: BuildLimits | None = None,
) -> ImageRef:
    """Build a model's image, push it, and return its name by digest. The engine keeps no name for the image.

    `repository` is the image's name with its registry, such as `127.0.0.1:5000/lab/gate`. `base` replaces the base
    image of the Dockerfile: it must have the model's packages, because no command of the build runs then.

    Raises:
        ModelFault: the Dockerfile is refused, or the build fails.
        InfrastructureFault: the engine or the registry failed.
    """
    build = limits or BuildLimits()
    with _copied(folder, base) as model:
        image_id = DockerSandbox(engine, settings=DockerSettings(build=build)).build(model).id
    with engine_faults():
        image = engine.client.images.get(image_id)
        image.tag(repository, tag=_TAG)
        try:
            digest = _pushed(engine, repository)
        finally:
            _forget(engine, image_id, repository)
    return ImageRef(repository, digest.removeprefix("sha256:"))


@contextlib.contextmanager
def _copied(folder: Path, base: str | None) -> Iterator[FetchedModel]:
    """A copy of the folder in which links are files, as a published model is."""
    with tempfile.TemporaryDirectory(prefix="sr-publish-") as parent:
        copy = Path(parent) / "model"
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("__pycache__", "tests", ".*"))
        if base is not None:
            dockerfile = copy / "Dockerfile"
            dockerfile.write_text(on_base(dockerfile.read_text(encoding="utf-8"), base), encoding="utf-8")
        hashes = {path.relative_to(copy).as_posix(): sha256_of_file(path) for path in files_below(copy)}
        source = ModelRef("local", "model", "0" * 40)
        submission = Submission(0, "local", PUBLISHED[0], source, 0)
        yield FetchedModel(submission, copy, content_hash=content_hash(hashes), checkpoint_hashes=())


def on_base(dockerfile: str, base: str) -> str:
    """The Dockerfile on another base image that has the packages already: without its `RUN` instructions.

    >>> on_base("FROM python:3\\nRUN pip install x\\nCOPY . .\\nCMD [\\"a\\"]", "mine:1").splitlines()
    ['FROM mine:1', 'COPY . .', 'CMD ["a"]']
    """
    lines = []
    for instruction in parse_dockerfile(dockerfile):
        if instruction.name == "FROM":
            lines.append(f"FROM {base}")
        elif instruction.name != "RUN":
            lines.append(" ".join((instruction.name, *instruction.flags, instruction.value)))
    return "\n".join(lines) + "\n"


def _pushed(engine: Engine, repository: str) -> str:
    """Push the image's tag. Returns the digest that the registry stored."""
    from docker.auth import get_config_header, resolve_repository_name

    registry = resolve_repository_name(repository)[0]
    # An engine wants this header, also without credentials.
    header: Any = get_config_header(engine.client.api, registry) or "e30="
    stream = EngineStream(
        engine,
        f"/images/{repository}/push",
        {"tag": _TAG},
        headers={"X-Registry-Auth": header},
        timeout_s=_PUSH_TIMEOUT_S,
    )
    digest, error = "", ""
    for event in stream:
        error = str(event.get("error") or error)
        if isinstance(event.get("aux"), dict):
            digest = str(event["aux"].get("Digest", digest))
    if error:
        raise RegistryUnavailable(
            f"{repository} cannot be pushed: {error[:300]}", "Check the registry, and log in with `docker login`."
        )
    if not digest:
        raise EngineUnavailable(
            f"The engine pushed {repository} and named no digest",
            "Push it with `docker push`, and read the digest.",
        )
    return digest


def _forget(engine: Engine, image_id: str, repository: str) -> None:
    """Remove the names that this image got here. The image stays if somebody else has a name for it."""
    import docker.errors

    attributes = engine.client.images.get(image_id).attrs
    names = [name for name in attributes.get("RepoDigests") or () if name.partition("@")[0] == repository]
    for name in (
        *names,
        f"{repository}:{_TAG}",
        *(t for t in attributes["RepoTags"] if t.startswith("soundsright/")),
    ):
        with contextlib.suppress(docker.errors.APIError):
            engine.client.images.remove(name)
