"""The engine's disk: how much is free, and the removal of models' images. Sizes are in bytes."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from soundsright.adapters.containers.build_limits import BuildLimits
from soundsright.adapters.containers.engine import Engine, engine_faults
from soundsright.adapters.containers.labels import CONTENT_LABEL, LABEL
from soundsright.core.errors import EngineUnavailable, InfrastructureFault

PULLED_REPOSITORY = "soundsright/pulled"
"""The repository of the tags that mark pulled images in the engine. Each tag is the content hash of a model."""


def free_bytes_reader(engine: Engine) -> Callable[[], int] | None:
    """A function that returns the free bytes on the engine's disk. None if this process cannot see that disk."""
    with contextlib.suppress(InfrastructureFault, OSError), engine_faults():
        root = engine.client.info().get("DockerRootDir", "")
        shutil.disk_usage(root)
        return lambda: shutil.disk_usage(root).free
    return None


@dataclass(frozen=True)
class _ModelImage:
    """An image of the harness. `contents` are its models' content hashes: one image can be in two registries."""

    id: str
    contents: frozenset[str]
    own_bytes: int
    created_s: int


def remove_unused_images(engine: Engine, limits: BuildLimits, last_used_s: Mapping[str, float]) -> None:
    """Remove models' images beyond `kept_bytes`, first those not used for the longest time.

    `last_used_s` gives, for each content hash, when its image was used last in this process.
    """
    rows: list[dict[str, Any]] = []
    # Some engines refuse to count while containers start and end. The next build tries again.
    with contextlib.suppress(EngineUnavailable), engine_faults():
        rows = engine.client.df().get("Images") or []
    images = [image for row in rows if (image := _model_image(row)) is not None]

    def last_use(image: _ModelImage) -> tuple[float, int]:
        return max((last_used_s.get(content, 0.0) for content in image.contents), default=0.0), image.created_s

    bytes_left, keep = limits.kept_bytes, set[str]()
    for image in sorted(images, key=last_use, reverse=True):
        bytes_left -= image.own_bytes
        if bytes_left < 0:
            break
        keep |= image.contents
    if bytes_left < 0:
        remove_images(engine, frozenset(keep))
        remove_pulled_images(engine, frozenset(keep))


def _model_image(row: Mapping[str, Any]) -> _ModelImage | None:
    """An image of the harness in a row of the engine's list; None for any other image."""
    labels = row.get("Labels") or {}
    contents = _pulled_contents(row.get("RepoTags"))
    if not contents and labels.get(LABEL) == "model":
        contents = frozenset({labels.get(CONTENT_LABEL, "")})
    # Removing an image does not free the layers that it shares with others.
    own_bytes = max(0, int(row.get("Size", 0)) - max(0, int(row.get("SharedSize", 0))))
    return _ModelImage(str(row.get("Id")), contents, own_bytes, int(row.get("Created", 0))) if contents else None


def _pulled_contents(tags: Sequence[str] | None) -> frozenset[str]:
    """The content hashes of the models for which an image was pulled, from its tags. Podman adds a host to tags."""
    names = (tag.removeprefix("localhost/").partition(":") for tag in tags or ())
    return frozenset(content for repository, _, content in names if repository == PULLED_REPOSITORY)


def names_of(row: Mapping[str, Any]) -> list[str]:
    """The names of an image in a row of the engine's list, by digest and by tag. `<none>` is no name."""
    names = [*(row.get("RepoDigests") or ()), *(row.get("RepoTags") or ())]
    return [name for name in names if not name.startswith("<none>")]


def remove_images(engine: Engine, keep: frozenset[str]) -> int:
    """Remove the models' images that the harness built, except those with a content hash in `keep`.

    Returns the number of removed images.
    """
    import docker.errors

    removed = 0
    with engine_faults():
        for row in engine.client.api.images(filters={"label": f"{LABEL}=model"}):
            # A pulled image has the labels that its builder chose.
            if row["Labels"].get(CONTENT_LABEL) not in keep and not _pulled_contents(row.get("RepoTags")):
                # The engine refuses to remove an image in which a container runs, perhaps of another harness.
                with contextlib.suppress(docker.errors.APIError):
                    engine.client.images.remove(row["Id"], force=True)
                    removed += 1
    return removed


def remove_pulled_images(engine: Engine, keep: frozenset[str]) -> int:
    """Remove the images that the harness pulled, except those of models with a content hash in `keep`.

    An image that has a tag of somebody else loses only the harness's tags. Returns the number of removed images.
    """
    removed = 0
    with engine_faults():
        for row in engine.client.api.images():
            contents = _pulled_contents(row.get("RepoTags"))
            if contents and not contents & keep:
                removed += _remove_names(engine, row)
    return removed


def _remove_names(engine: Engine, row: Mapping[str, Any]) -> bool:
    """Remove the harness's names of a pulled image, and with the last one the image. Returns if all are gone."""
    import docker.errors

    tags = [name for name in names_of(row) if "@" not in name]
    ours = [tag for tag in tags if _pulled_contents([tag])]
    # Remove the tags last. The engine refuses to remove an image in which a container runs, and it is found again.
    digests = [name for name in names_of(row) if "@" in name] if len(ours) == len(tags) else []
    try:
        for name in (*digests, *ours):
            with contextlib.suppress(docker.errors.ImageNotFound):
                engine.client.images.remove(name)
    except docker.errors.APIError:
        return False
    return True
