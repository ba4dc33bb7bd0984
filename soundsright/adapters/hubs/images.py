"""Entries that are container images. Each becomes a folder with one file, `IMAGE`, that names the image.

A sandbox for containers pulls the image by its digest when it runs the model.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path

from soundsright.adapters.hubs.model_cache import STAGING_PREFIX, disk_errors_at, forget_models, model_in_cache
from soundsright.core.content import IMAGE_FILE, image_content_hash, image_file_text
from soundsright.core.dockerfile import BaseImage
from soundsright.core.errors import EntryRefused, InfrastructureFault
from soundsright.core.fetch_limits import FetchLimits
from soundsright.core.image_names import name_refusal
from soundsright.core.sources import ImageRef
from soundsright.core.submission import FetchedModel, Submission


class ImageFolders:
    """The `ModelHub` port for entries whose source is an image. The limits of a fetch do not apply to images.

    `registries` are the registries that the operator trusts, as `host:port`. Any other must have a public name.
    With None, only the sandbox checks the names.
    """

    def __init__(self, cache: Path, registries: Collection[str] | None = None) -> None:
        self._cache = cache.absolute()
        self._registries = registries

    def fetch(self, submission: Submission, *, limits: FetchLimits) -> FetchedModel:
        """A folder with one file, `IMAGE`, that names the submission's image.

        Raises:
            EntryRefused: `bad_image_ref`, if the source is not an image; `image_not_public`, if it is a local image
                or its registry is inside somebody's network.
            InfrastructureFault: the cache cannot be read or written.
        """
        if not isinstance(submission.source, ImageRef):
            raise EntryRefused("bad_image_ref", f"{str(submission.source)[:200]!r} is not an image")
        if self._registries is not None:
            _check_name(submission.source, self._registries)
        with disk_errors_at(self._cache):
            self._cache.mkdir(parents=True, exist_ok=True)
            staging = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=self._cache))
            try:
                file = staging / IMAGE_FILE
                file.write_text(image_file_text(submission.source), encoding="utf-8")
                file.chmod(0o444)
                digest = image_content_hash(submission.source)
                if self.cached(submission, digest) is None:
                    staging.chmod(0o755)
                    staging.rename(self._cache / digest)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
        fetched = self.cached(submission, digest)
        if fetched is None:
            raise InfrastructureFault(f"Another program changed {self._cache / digest} while it was written")
        return fetched

    def cached(self, submission: Submission, content_hash: str) -> FetchedModel | None:
        """The model from the cache, or None if the cache does not have all of it."""
        return model_in_cache(self._cache, submission, content_hash)

    def forget(self, keep: Collection[str]) -> int:
        """Remove all fetched models except those with these content hashes. Returns how many were removed."""
        return forget_models(self._cache, keep)


def _check_name(image: ImageRef, registries: Collection[str]) -> None:
    refusal = name_refusal(BaseImage(1, str(image)), registries)
    if refusal is not None:
        raise EntryRefused("image_not_public", refusal, {"image": str(image)})
