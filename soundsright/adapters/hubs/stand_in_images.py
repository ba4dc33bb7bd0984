"""Models in a folder that stand in for images, where no container engine runs.

The digest of such an image is the content hash of its model, so it names one version, as a real digest does. Its
repository is `HOST/NAMESPACE/NAME`, and the model is NAMESPACE/NAME on the folder's hub.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from soundsright.adapters.hubs.folder import FolderHub
from soundsright.core.errors import EntryRefused
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.sources import ImageRef, ModelRef
from soundsright.core.submission import FetchedModel, Submission

STAND_IN_HOST = "stand-in.invalid"
"""The host in the names of such images. No registry has it, so nobody can pull them by accident."""


class StandInImages:
    """The `ModelHub` port for images that are folders of models on a `FolderHub`. It needs no container engine.

    Use it only for models that you trust, with a sandbox that runs their Dockerfile's command.
    """

    def __init__(self, hub: FolderHub) -> None:
        self._hub = hub

    def publish(self, namespace: str, name: str, folder: Path) -> ImageRef:
        """Copy a model's folder to the hub, and return the image that it stands for.

        Raises:
            EntryRefused: the namespace or the name is not valid.
            UnpublishableFolder: the folder is missing or empty, or contains something that cannot be published.
            InfrastructureFault: the hub's folder cannot be written.
        """
        model = self._hub.publish(namespace, name, folder)
        return ImageRef(f"{STAND_IN_HOST}/{namespace}/{name}", self._hub.content_of(model))

    def fetch(self, submission: Submission, *, limits: FetchLimits) -> FetchedModel:
        """The model that the image stands for.

        Raises:
            EntryRefused: `bad_image_ref`, if the source is no such image; or as the folder's hub.
            HubUnavailable: the files changed while they were copied.
            InfrastructureFault: the cache cannot be read or written, or its disk is too full.
        """
        image = submission.source
        parts = image.repository.split("/") if isinstance(image, ImageRef) else []
        if not isinstance(image, ImageRef) or len(parts) != 3 or parts[0] != STAND_IN_HOST:
            raise EntryRefused(
                "bad_image_ref", f"{str(image)[:200]!r} is not {STAND_IN_HOST}/NAMESPACE/NAME with a digest"
            )
        model = replace(submission, source=ModelRef(parts[1], parts[2], image.sha256[:40]))
        fetched = self._hub.fetch(model, limits=limits)
        if fetched.content_hash != image.sha256:
            raise EntryRefused(
                "revision_mismatch",
                f"The files of {image.repository} do not hash to the image's digest",
                {"digest": image.sha256, "content": fetched.content_hash},
            )
        return replace(fetched, submission=submission)

    def cached(self, submission: Submission, content_hash: str) -> FetchedModel | None:
        """The model from the cache, or None if the cache does not have all of it."""
        return self._hub.cached(submission, content_hash)

    def forget(self, keep: Collection[str]) -> int:
        """Remove all fetched models except those with these content hashes. Returns how many were removed."""
        return self._hub.forget(keep)
