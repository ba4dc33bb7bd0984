"""The engine's disk: how much is free, and the removal of models' images. Sizes are in bytes."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Mapping
from typing import Any

from soundsright.adapters.containers.build_limits import BuildLimits
from soundsright.adapters.containers.engine import Engine, engine_faults
from soundsright.adapters.containers.labels import CONTENT_LABEL, LABEL
from soundsright.core.errors import EngineUnavailable, InfrastructureFault


def free_bytes_reader(engine: Engine) -> Callable[[], int] | None:
    """A function that returns the free bytes on the engine's disk. None if this process cannot see that disk."""
    with contextlib.suppress(InfrastructureFault, OSError), engine_faults():
        root = engine.client.info().get("DockerRootDir", "")
        shutil.disk_usage(root)
        return lambda: shutil.disk_usage(root).free
    return None


def remove_unused_images(engine: Engine, limits: BuildLimits, last_used_s: Mapping[str, float]) -> None:
    """Remove models' images beyond `kept_bytes`, first those not used for the longest time.

    `last_used_s` gives, for each content hash, when its image was used last in this process.
    """
    rows: list[dict[str, Any]] = []
    # Some engines refuse to count while containers start and end. The next build tries again.
    with contextlib.suppress(EngineUnavailable), engine_faults():
        rows = engine.client.df().get("Images") or []
    rows = [row for row in rows if (row.get("Labels") or {}).get(LABEL) == "model"]
    by_content = {row["Labels"].get(CONTENT_LABEL, ""): row for row in rows}
    newest_first = sorted(
        by_content, key=lambda c: (last_used_s.get(c, 0.0), by_content[c].get("Created", 0)), reverse=True
    )
    bytes_left, keep = limits.kept_bytes, set()
    for content in newest_first:
        row = by_content[content]
        # Removing an image does not free the layers that it shares with others.
        bytes_left -= max(0, int(row.get("Size", 0)) - max(0, int(row.get("SharedSize", 0))))
        if bytes_left < 0:
            break
        keep.add(content)
    if len(keep) < len(by_content):
        remove_images(engine, frozenset(keep))


def remove_images(engine: Engine, keep: frozenset[str]) -> int:
    """Remove the models' images that the harness built, except those with a content hash in `keep`.

    Returns the number of removed images.
    """
    import docker.errors

    removed = 0
    with engine_faults():
        for image in engine.client.images.list(filters={"label": f"{LABEL}=model"}):
            if image.labels.get(CONTENT_LABEL) not in keep:
                # The engine refuses to remove an image in which a container runs, perhaps of another harness.
                with contextlib.suppress(docker.errors.APIError):
                    engine.client.images.remove(image.id, force=True)
                    removed += 1
    return removed
