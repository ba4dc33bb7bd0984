"""Limits of a build, the engine's disk, and who is to blame for an image that does not come.

Times are in seconds, sizes in bytes. The submission is to blame if the image does not exist or if the submission
chose the registry. The operator is to blame if the engine's default registry, or one that the operator vouches for,
does not answer.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from soundsright.adapters.containers.engine import CONTENT_LABEL, LABEL, Engine, engine_faults
from soundsright.core.dockerfile import (
    BaseImage,
)
from soundsright.core.errors import (
    EngineUnavailable,
    InfrastructureFault,
    ModelCrashed,
    ModelFault,
    UsageError,
)

NETWORKS = ("none", "default")

DISK_FULL = re.compile(r"no space left on device\s*$", re.I)
"""Only at its end is what an engine says its own: before that it quotes what a submission chose."""
_NOT_THERE = re.compile(
    r"manifest unknown|manifest .*not found|pull access denied|repository does not exist|not found: manifest"
    r"|no matching manifest|invalid reference format|invalid image name|name unknown",
    re.I,
)
_OTHER_BYTES = re.compile(r"verification failed|digest did not match|does not match", re.I)


@dataclass(frozen=True)
class BuildLimits:
    """`network` is `none` or `default`; `registries` are hosts that the operator vouches for, with their ports.

    `min_free_bytes` is what a build must leave on the engine's disk, `kept_bytes` what the harness's own images may
    take there before those that were not used for longest are removed.
    """

    network: str = "default"
    registries: tuple[str, ...] = ()
    timeout_s: float = 1_800.0
    memory_bytes: int = 8_000_000_000
    max_image_bytes: int = 20_000_000_000
    max_layer_bytes: int = 10_000_000_000
    min_free_bytes: int = 2_000_000_000
    kept_bytes: int = 200_000_000_000
    log_bytes: int = 1_000_000

    def __post_init__(self) -> None:
        if self.network not in NETWORKS:
            raise UsageError(f"Build network {self.network!r} is unknown", f"Use one of {', '.join(NETWORKS)}.")


@dataclass(frozen=True)
class BuiltImage:
    """`id` runs it; `build_s` is 0 where the image was there already."""

    id: str
    build_s: float = 0.0
    log: str = ""


def free_bytes(engine: Engine) -> Callable[[], int] | None:
    """How much is free where the engine keeps its images, where that can be seen from here."""
    with contextlib.suppress(InfrastructureFault, OSError), engine_faults():
        root = engine.client.info().get("DockerRootDir", "")
        shutil.disk_usage(root)
        return lambda: shutil.disk_usage(root).free
    return None


def pull_fault(bases: Sequence[BaseImage], text: str, limits: BuildLimits) -> ModelFault | InfrastructureFault:
    """Who is to blame for an image that does not come, given what the engine said of it."""
    names = " or ".join(base.reference[:200] for base in bases) or "the base image"
    said = " ".join(text.split())[:300]
    if DISK_FULL.search(text):
        return EngineUnavailable(f"The engine's disk is full: {said}", "Free space there.")
    if _NOT_THERE.search(text):
        return ModelCrashed(f"there is no image {names}: {said}")
    if _OTHER_BYTES.search(text):
        return EngineUnavailable(
            f"What came for {names} is not that image: {said}", "Try again; see the engine's log."
        )
    if any(base.host is not None and base.host not in limits.registries for base in bases):
        return ModelCrashed(f"the registry that it names does not give {names}: {said}")
    return EngineUnavailable(
        f"The image {names} cannot be pulled: {said}", "Check the engine's network, or pull it beforehand."
    )


def make_room(engine: Engine, limits: BuildLimits, used: Mapping[str, float]) -> None:
    """Remove models' images beyond `kept_bytes`, first those not used for longest."""
    rows: list[dict[str, Any]] = []
    # Some engines refuse to count while containers come and go: the next build asks again.
    with contextlib.suppress(EngineUnavailable), engine_faults():
        rows = engine.client.df().get("Images") or []
    rows = [row for row in rows if (row.get("Labels") or {}).get(LABEL) == "model"]
    contents = {row["Labels"].get(CONTENT_LABEL, ""): row for row in rows}
    room, keep = limits.kept_bytes, set()
    for content in sorted(contents, key=lambda c: (used.get(c, 0.0), contents[c].get("Created", 0)), reverse=True):
        # What an image shares with others would not come free with it.
        room -= max(0, int(contents[content].get("Size", 0)) - max(0, int(contents[content].get("SharedSize", 0))))
        if room < 0:
            break
        keep.add(content)
    if len(keep) < len(contents):
        remove_images(engine, frozenset(keep))


def remove_images(engine: Engine, keep: frozenset[str]) -> int:
    """Remove the images that this harness built of models whose content hash is not to be kept; says how many."""
    import docker.errors

    removed = 0
    with engine_faults():
        for image in engine.client.images.list(filters={"label": f"{LABEL}=model"}):
            if image.labels.get(CONTENT_LABEL) not in keep:
                # One that a container runs in stays: it is in use, perhaps by another harness.
                with contextlib.suppress(docker.errors.APIError):
                    engine.client.images.remove(image.id, force=True)
                    removed += 1
    return removed
